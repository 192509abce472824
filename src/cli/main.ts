#!/usr/bin/env node
/** The entry of the command line. It loads nothing but the parser; each command loads what it needs. */
import { fileURLToPath } from 'node:url'

/**
 * A running SQL query holds one thread of libuv's pool and the pool's size is read once, at its first use: four threads
 * would leave too few for file reads beside two queries.
 */
const POOL_THREADS = '8'

const NODE_MAJOR_MIN = 24

/**
 * Keeps what V8 made of the code for the next start, a fifth of which it is. It lies beside the code, where only those
 * can write who could change that too; where nobody may, every start does without.
 */
function keepCompiled(): void {
  const folder = fileURLToPath(new URL('../compiled', import.meta.url))
  process.getBuiltinModule('node:module').enableCompileCache(folder)
}

if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR_MIN) {
  process.stderr.write(
    `stratalog: this is Node ${process.version}; Node ${NODE_MAJOR_MIN} is needed.\n`,
  )
  process.exitCode = 2
} else {
  process.env['UV_THREADPOOL_SIZE'] ??= POOL_THREADS
  if (import.meta.url.endsWith('.js')) keepCompiled()
  const { runCommandLine } = await import('./run.ts')
  process.exitCode = await runCommandLine(process.argv.slice(2))
}
