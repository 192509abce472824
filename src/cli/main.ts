#!/usr/bin/env node
/** The entry of the command line. It loads nothing but the parser; each command loads what it needs. */
import process from 'node:process'

/**
 * A running SQL query holds one thread of libuv's pool and the pool's size is read once, at its first use: four threads
 * would leave too few for file reads beside two queries.
 */
const POOL_THREADS = '8'

const NODE_MAJOR_MIN = 24

if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR_MIN) {
  process.stderr.write(
    `stratalog: this is Node ${process.version}; Node ${NODE_MAJOR_MIN} is needed.\n`,
  )
  process.exitCode = 2
} else {
  process.env['UV_THREADPOOL_SIZE'] ??= POOL_THREADS
  const { runCommandLine } = await import('./run.ts')
  process.exitCode = await runCommandLine(process.argv.slice(2))
}
