/** Where the programs are that tests start; build-global.ts says what is built, and why. */
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { repositoryRoot } from './repository.ts'

/** Names the environment variable with the folder of what a run of the tests built. */
export const BUILT_VARIABLE = 'STRATALOG_TEST_BUILT'

const CLI = 'src/cli/main.ts'

/** Programs of the tests alone that are built, beside the command line. */
export const CHILDREN = [
  'test/soak/corrupt/corrupt-child.ts',
  'test/soak/kill/kill-child.ts',
  'test/support/archive-child.ts',
  'test/support/producer-child.ts',
] as const

/** The file to start: built, in a run of the tests, and otherwise the source. */
export function programAt(path: typeof CLI | (typeof CHILDREN)[number]): string {
  const built = process.env[BUILT_VARIABLE]
  if (built === undefined) return join(repositoryRoot, path)
  if (path === CLI) return join(built, 'dist/cli/main.js')
  return join(built, 'dist/chunks', basename(path).replace(/\.ts$/, '.js'))
}

/** The files that start threads and processes by a URL beside themselves. */
export const STARTS_THREADS: RegExp = /\/src\/engine\/workers\/spawn-[\w-]+\.ts$/

/** What stands for `import.meta.url` in these: a place beside the threads, built if there is anything built. */
export function besideThreads(): string {
  const built = process.env[BUILT_VARIABLE]
  if (built === undefined) return 'import.meta.url'
  return JSON.stringify(pathToFileURL(join(built, 'dist/chunks/spawn.js')).href)
}
