/**
 * Two projects. `fast` is what `npm run check` runs: no server, no network, no child process that lasts.
 * `integration` uses real files, loopback, MinIO and child processes. `npm test` runs both.
 * Forks, not threads: DuckDB, the WAL worker and process-wide locks want a process of their own.
 */
import { fileURLToPath } from 'node:url'
import { defineConfig, type ViteUserConfig } from 'vitest/config'

const root = fileURLToPath(new URL('..', import.meta.url))

const shared = {
  pool: 'forks' as const,
  globalSetup: ['test/support/require-node.ts'],
}

const config: ViteUserConfig = defineConfig({
  root,
  test: {
    maxWorkers: 2,
    reporters: ['default', './test/support/count-reporter.ts'],
    projects: [
      {
        root,
        test: {
          ...shared,
          name: 'fast',
          include: ['test/unit/**/*.test.ts', 'test/contract/**/*.test.ts', 'test/tidy.test.ts'],
          testTimeout: 20_000,
        },
      },
      {
        root,
        test: {
          ...shared,
          name: 'integration',
          include: [
            'test/integration/**/*.test.ts',
            'test/simulation/**/*.test.ts',
            'test/golden/**/*.test.ts',
            'test/docs.test.ts',
          ],
          globalSetup: [...shared.globalSetup, 'test/support/minio-global.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})

export default config
