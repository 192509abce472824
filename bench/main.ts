/**
 * `npm run bench -- [name…] [--quick] [--json] [--list] [--check]`. Results go to standard output, progress to standard
 * error. Exit status: 0 done, 2 usage, 10 a case below its floor under `--check`.
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ackBeside } from './ack-beside.bench.ts'
import { appendDurable } from './append-durable.bench.ts'
import { appendMemory } from './append-memory.bench.ts'
import { coldRead } from './cold-read.bench.ts'
import { runBenchmark, type Benchmark } from './harness.ts'
import { durableStreams } from './durable-streams.bench.ts'
import { http } from './http.bench.ts'
import { importBench } from './import.bench.ts'
import { manifest } from './manifest.bench.ts'
import { memoryFootprint } from './memory-footprint.bench.ts'
import { pointMemory } from './point-memory.bench.ts'
import { readMemory } from './read-memory.bench.ts'
import { recovery } from './recovery.bench.ts'
import { requests } from './requests.bench.ts'
import { restoreLazy } from './restore-lazy.bench.ts'
import { restoreMemory } from './restore-memory.bench.ts'
import { restoreBench } from './restore.bench.ts'
import { snapshot } from './snapshot.bench.ts'
import { sqlCold } from './sql-cold.bench.ts'
import { sqlHot } from './sql-hot.bench.ts'
import { sqlLatest } from './sql-latest.bench.ts'
import { startup } from './startup.bench.ts'
import { streamSql } from './stream-sql.bench.ts'
import { formatResult } from './table.ts'
import { tiering } from './tiering.bench.ts'

const benchmarks: readonly Benchmark[] = [
  appendMemory,
  readMemory,
  pointMemory,
  memoryFootprint,
  startup,
  appendDurable,
  recovery,
  ackBeside,
  tiering,
  manifest,
  coldRead,
  requests,
  restoreBench,
  sqlHot,
  sqlCold,
  sqlLatest,
  streamSql,
  restoreLazy,
  restoreMemory,
  http,
  durableStreams,
  snapshot,
  importBench,
]

const USAGE = 'usage: npm run bench -- [name...] [--quick] [--json] [--list] [--check]'
const EXIT_INVALID = 2
const EXIT_BELOW_FLOOR = 10

interface Arguments {
  readonly names: readonly string[]
  readonly quick: boolean
  readonly json: boolean
  readonly list: boolean
  readonly check: boolean
}

// Threads and processes of ours start from the source; the built package has no types to strip each time.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(
  new URL('../node_modules/.cache/node', import.meta.url),
)

// A reader that closed the pipe (`| head`) wants no more of it.
process.stdout.once('error', () => process.exit(0))
process.exitCode = await main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<number> {
  const given = readArguments(argv)
  if (given === null) return EXIT_INVALID
  if (given.list) {
    for (const { name, question } of benchmarks) writeOut(`${name.padEnd(18)}${question}`)
    return 0
  }
  const chosen = benchmarks.filter(
    ({ name }) => given.names.length === 0 || given.names.includes(name),
  )
  let short = false
  for (const benchmark of chosen) {
    if (!given.json) writeOut(`\n${benchmark.question}`)
    for await (const result of runBenchmark(
      benchmark,
      given.quick ? 'quick' : 'full',
      showProgress,
    )) {
      clearProgress()
      short ||= result.met === 'short'
      writeOut(given.json ? JSON.stringify(result) : formatResult(result))
    }
  }
  return given.check && short ? EXIT_BELOW_FLOOR : 0
}

function readArguments(argv: readonly string[]): Arguments | null {
  const flag = { type: 'boolean', default: false } as const
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: { quick: flag, json: flag, list: flag, check: flag },
    })
    const unknown = positionals.filter((name) => !benchmarks.some((known) => known.name === name))
    if (unknown.length === 0) return { names: positionals, ...values }
    const known = benchmarks.map(({ name }) => name).join(', ')
    writeError(`There is no benchmark ${unknown.join(', ')}; there are: ${known}.\n${USAGE}`)
  } catch (error) {
    writeError(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
  }
  return null
}

/** One line that is overwritten on a terminal; silent in a pipe. */
function showProgress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${line}`)
}

function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[2K')
}

function writeOut(line: string): void {
  process.stdout.write(`${line}\n`)
}

function writeError(line: string): void {
  process.stderr.write(`${line}\n`)
}
