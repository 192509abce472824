/**
 * `npm run soak -- <harness> [options]`: long runs over the shipped engine that a plain test has no time for. Progress
 * goes to standard error; the last line of standard output is JSON with what was tried and what broke (`all`: an array
 * of those, see all.ts). Exit status: 0 nothing broke, 2 usage, 10 a promise was broken, 130 `all` was stopped.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { parseBytes } from '../../src/base/units.ts'
import { type AllHarness, allSoaks } from './all.ts'
import { corruptSoak } from './corrupt/corrupt.ts'
import { diskSoak } from './disk.ts'
import { fuzzSoak } from './fuzz/fuzz.ts'
import { killSoak } from './kill/kill.ts'
import { LoopDisk } from './kill/loop-disk.ts'
import { powerSoak } from './kill/power.ts'
import { loadSoak } from './load/load.ts'
import { memorySoak } from './memory.ts'
import { OBJECT_STORE_CASES, objectStoreSoak } from './object-store.ts'
import type { SoakLimits } from './report.ts'
import { simulationSoak } from './simulate.ts'
import { threadsSoak } from './threads.ts'
import { stopSoaks } from './time-limit.ts'
import { writersSoak } from './writers.ts'

const EXIT_INVALID = 2
const EXIT_VIOLATION = 10
const EXIT_STOPPED = 130
/** Of no use where the time is given: then a harness goes on until that is over. */
const ENDLESS = Number.MAX_SAFE_INTEGER

/** A load where no time is given. */
const LOAD_MS = 600_000

interface Harness {
  readonly what: string
  /** The option that counts its cases, and how many there are by default. */
  readonly counted: 'cycles' | 'seeds' | 'samples' | 'records'
  readonly cases: number
  /** Of the time of `all`, against those of the others. */
  readonly share: number
  /** What `all` gives it beside its time and seed. */
  readonly inAll?: readonly string[]
  /** Why it cannot run on this machine; null where it can. */
  readonly lack?: () => string | null
  readonly run: (limits: SoakLimits, values: Values) => Promise<Outcome>
}

interface Outcome {
  readonly violations: readonly unknown[]
}

const OPTIONS = {
  cycles: { type: 'string' },
  seeds: { type: 'string' },
  samples: { type: 'string' },
  records: { type: 'string' },
  minutes: { type: 'string' },
  seed: { type: 'string', default: '1' },
  only: { type: 'string' },
  logs: { type: 'string', default: '100' },
  budget: { type: 'string', default: '256MB' },
  verbose: { type: 'boolean', default: false },
} as const

type Values = ReturnType<typeof readArguments>['values']

const HARNESSES: Readonly<Record<string, Harness>> = {
  simulate: {
    what: 'runs the engine on a simulated machine that crashes and fails, a seed after the other from --seed on',
    counted: 'seeds',
    // So that `--seed S` alone runs that one again.
    cases: 1,
    share: 4,
    run: ({ seed, cycles, timeMs }) =>
      simulationSoak({
        seed,
        seeds: cycles,
        timeMs,
        // The last steps before a violation are for a person, wherever they are read.
        progress: (line) => process.stderr.write(`${line}\n`),
      }),
  },
  kill: {
    what: 'kills a process at random moments and before its system calls',
    counted: 'cycles',
    cases: 300,
    share: 2,
    run: killSoak,
  },
  power: {
    what: 'cuts the power of a disk that a process writes to (root, loop devices)',
    counted: 'cycles',
    cases: 100,
    share: 1,
    lack: lackOfLoopDisks,
    run: powerSoak,
  },
  disk: {
    what: 'fails syncs and writes of a process, and fills its disk (strace; root for the full disk)',
    counted: 'cycles',
    cases: 40,
    share: 1,
    run: diskSoak,
  },
  'object-store': {
    what: 'disturbs every call of the store (memory, directory, MinIO), and kills in every step of every move',
    counted: 'cycles',
    cases: OBJECT_STORE_CASES,
    share: 4,
    run: (limits) => objectStoreSoak(limits),
  },
  writers: {
    what: 'stops a process, has another take its directory, and lets it go on',
    counted: 'cycles',
    cases: 20,
    share: 1,
    run: writersSoak,
  },
  threads: {
    what: 'writes the WAL on a real thread, with random delays on both sides',
    counted: 'cycles',
    cases: 100,
    share: 1,
    run: threadsSoak,
  },
  corrupt: {
    what: 'damages files of directory and archive, and looks what becomes of it [--verbose]',
    counted: 'samples',
    cases: 5_000,
    share: 3,
    run: ({ seed, cycles, timeMs, onProgress }, { verbose }) =>
      corruptSoak({
        samples: cycles,
        seed,
        timeMs,
        onProgress: (tried) => onProgress(`${tried} samples`),
        ...(verbose || cycles === 1 ? { onCase: (line) => process.stderr.write(`${line}\n`) } : {}),
      }),
  },
  fuzz: {
    what: 'sends a server what no client would send',
    counted: 'samples',
    cases: 100_000,
    share: 2,
    run: fuzzSoak,
  },
  load: {
    what: 'runs a server at 80 % of the most it takes, with a dead store, readers that stop and a drill; --minutes 10',
    counted: 'cycles',
    cases: 1,
    share: 2,
    run: (limits) =>
      loadSoak({ ...limits, timeMs: Number.isFinite(limits.timeMs) ? limits.timeMs : LOAD_MS }),
  },
  memory: {
    what: 'appends and evicts, and watches the memory of the process [--logs 100] [--budget 256MB]',
    counted: 'records',
    cases: 36_000_000,
    share: 1,
    inAll: ['--budget', '64MB'],
    run: ({ seed, cycles, timeMs }, { logs, budget }) =>
      memorySoak({
        timeMs,
        logs: count(logs, 'logs'),
        records: cycles,
        budgetBytes: parseBytes(budget, 'budget'),
        seed,
      }),
  },
}

process.exitCode = await main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<number> {
  let asked: Asked
  try {
    asked = read(argv)
  } catch (error) {
    // An option that there is not, one without its value, or with another than it takes.
    process.stderr.write(`${(error as Error).message}\n${usage()}`)
    return EXIT_INVALID
  }
  if (asked.name === 'all') return runAll(asked)
  process.once('SIGTERM', stopSoaks)
  const outcome = await runHarness(asked)
  process.stdout.write(`${JSON.stringify(outcome)}\n`)
  return outcome.violations.length === 0 ? 0 : EXIT_VIOLATION
}

/** What was asked for: `all`, or one harness. */
interface Asked {
  readonly name: string
  readonly values: Values
  readonly seed: number
  readonly timeMs: number | null
  /** Of `all`. */
  readonly only: readonly string[]
}

/** @throws Error what to tell whoever asked. */
function read(argv: readonly string[]): Asked {
  const { values, positionals } = readArguments(argv)
  const [name = ''] = positionals
  const only = values.only?.split(',') ?? Object.keys(HARNESSES)
  const isKnown = (each: string): boolean => Object.hasOwn(HARNESSES, each)
  if (positionals.length !== 1) throw new RangeError('One harness is run, or all.')
  for (const each of name === 'all' ? only : [name])
    if (!isKnown(each)) throw new RangeError(`There is no harness '${each}'.`)
  if (name !== 'all' && values.only !== undefined) throw new RangeError('--only is for all.')
  for (const counted of ['cycles', 'seeds', 'samples', 'records'] as const)
    if (name === 'all' && values[counted] !== undefined)
      throw new RangeError(`--${counted} is for one harness; all takes --minutes.`)
  const timeMs = values.minutes === undefined ? null : minutes(values.minutes) * 60_000
  return { name, values, seed: count(values.seed, 'seed'), timeMs, only }
}

async function runAll({ only, seed, timeMs }: Asked): Promise<number> {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort())
  const harnesses = only.flatMap((name): AllHarness[] => {
    const harness = HARNESSES[name]
    if (harness === undefined) return []
    const { share, inAll = [], lack = () => null } = harness
    return [{ name, share, options: inAll, lack: lack() }]
  })
  const onProgress = (line: string): void => void process.stderr.write(`${line}\n`)
  for (const { name, lack } of harnesses)
    if (lack !== null) onProgress(`${name} is left out: ${lack}`)
  const main = fileURLToPath(import.meta.url)
  const { signal } = stop
  const reports = await allSoaks({ harnesses, timeMs, seed, main, signal, onProgress })
  process.stdout.write(`${JSON.stringify(reports)}\n`)
  if (reports.some(({ violations }) => violations.length > 0)) return EXIT_VIOLATION
  return signal.aborted ? EXIT_STOPPED : 0
}

async function runHarness({ name, values, seed, timeMs }: Asked): Promise<Outcome> {
  const harness = HARNESSES[name]
  if (harness === undefined) throw new RangeError(`There is no harness '${name}'.`)
  const { counted } = harness
  const asked = values[counted]
  const cases = asked === undefined ? harness.cases : count(asked, counted)
  const outcome = await harness.run(
    {
      seed,
      cycles: timeMs !== null && asked === undefined ? ENDLESS : cases,
      timeMs: timeMs ?? Infinity,
      onProgress: (line) => showProgress(`${name}: ${line}`),
    },
    values,
  )
  if (process.stderr.isTTY) process.stderr.write('\n')
  return outcome
}

function lackOfLoopDisks(): string | null {
  const directory = mkdtempSync(join(tmpdir(), 'stratalog-power-'))
  try {
    using _disk = new LoopDisk(directory)
    return null
  } catch (error) {
    return (error as Error).message.trim()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function readArguments(argv: readonly string[]) {
  return parseArgs({ args: [...argv], allowPositionals: true, options: OPTIONS })
}

/** On a terminal one line that changes; elsewhere nothing but the result. */
function showProgress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`)
}

function count(text: string, name: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new RangeError(`--${name} is a whole number above 0; got ${text}`)
}

function minutes(text: string): number {
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new RangeError(`--minutes is a number above 0; got ${text}`)
}

function usage(): string {
  const lines = Object.entries(HARNESSES).map(
    ([name, { what, counted, cases }]) => `  ${name.padEnd(14)}${what} [--${counted} ${cases}]`,
  )
  return `usage: npm run soak -- <harness>|all [--minutes M] [--seed S] [--only a,b (of all)]\n${lines.join('\n')}\n`
}
