/**
 * Two projects. `fast` is what `npm run check` runs: no server, no network, no child process that lasts.
 * `integration` uses real files, loopback, MinIO and child processes. `npm test` runs both.
 * Forks, not threads: DuckDB, the WAL worker and process-wide locks want a process of their own.
 */
import { fileURLToPath } from 'node:url'
import { availableParallelism } from 'node:os'
import { env } from 'node:process'
import { defineConfig, type ViteUserConfig } from 'vitest/config'
import type { Vite, VitestPluginContext } from 'vitest/node'
import { MUTANT_VARIABLE, isChanged, mutantNamed, mutate } from './mutants/mutate.ts'
import type { Mutant } from './mutants/mutant.ts'
import { LongFirst } from './support/long-first.ts'
import { STARTS_THREADS, besideThreads } from './support/program.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/**
 * Processes and threads of the tests load the source as it is, and half of what an engine costs to open is to strip its
 * types: they share what Node made of each file. Set here, so that what runs the tests and what they start have it.
 */
env['NODE_COMPILE_CACHE'] ??= `${root}node_modules/.cache/node`

/** With a mutant in the environment the tests see the source with it (mutants/mutate.ts). */
const planted = env[MUTANT_VARIABLE]
const mutant = planted === undefined ? null : mutantNamed(planted)
const plugins = mutant === null ? [] : [planting(mutant)]

/** What it changes is never cached; all else is as it is without it, and so shares that cache. */
function planting(one: Mutant): Vite.Plugin {
  return {
    name: 'mutant',
    enforce: 'pre',
    api: { vitest: { ignoreFsModuleCache: true } },
    configureVitest: ({ defineCacheKeyGenerator }: VitestPluginContext) =>
      defineCacheKeyGenerator(({ id }) => (isChanged(one, id) ? false : null)),
    transform: (source: string, id: string) => mutate(one, id, source),
  }
}

/** Threads of an engine start from what is built too; what the tests call themselves stays the source. */
const builtThreads: Vite.Plugin = {
  name: 'built-threads',
  enforce: 'pre',
  configureVitest: ({ defineCacheKeyGenerator }: VitestPluginContext) =>
    defineCacheKeyGenerator(({ id }) => (STARTS_THREADS.test(id) ? besideThreads() : null)),
  transform: (source: string, id: string) =>
    STARTS_THREADS.test(id) ? source.replaceAll('import.meta.url', besideThreads()) : source,
}

/**
 * A file waits for a third of its time, for syncs, children and timers, or keeps two processes busy and waits for them:
 * on two cores three files leave neither idle.
 */
const WORKERS = Math.min(Math.max(availableParallelism(), 3), 4)

const shared = {
  pool: 'forks' as const,
  globalSetup: ['test/support/require-node.ts'],
}

const config: ViteUserConfig = defineConfig({
  root,
  test: {
    maxWorkers: WORKERS,
    sequence: { sequencer: LongFirst },
    reporters: ['default', './test/support/count-reporter.ts'],
    projects: [
      {
        root,
        plugins,
        test: {
          ...shared,
          name: 'fast',
          include: ['test/unit/**/*.test.ts', 'test/contract/**/*.test.ts', 'test/tidy.test.ts'],
          testTimeout: 60_000,
        },
      },
      {
        root,
        plugins: [...plugins, builtThreads],
        test: {
          ...shared,
          name: 'integration',
          include: [
            'test/integration/**/*.test.ts',
            'test/simulation/**/*.test.ts',
            'test/golden/**/*.test.ts',
            'test/docs.test.ts',
          ],
          globalSetup: [
            ...shared.globalSetup,
            'test/support/build-global.ts',
            'test/support/minio-global.ts',
          ],
          testTimeout: 240_000,
          hookTimeout: 240_000,
        },
      },
    ],
  },
})

export default config
