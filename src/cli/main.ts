#!/usr/bin/env node
/** The entry of the command line. It loads nothing but the parser; each command loads what it needs. */
import process from 'node:process'

/**
 * A running SQL query holds one thread of libuv's pool and the pool's size is read once, at its first use: four threads
 * would leave too few for file reads beside two queries.
 */
const POOL_THREADS = '8'

process.env['UV_THREADPOOL_SIZE'] ??= POOL_THREADS

const { runCommandLine } = await import('./run.ts')
process.exitCode = await runCommandLine(process.argv.slice(2))
