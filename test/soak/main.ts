/**
 * `npm run soak -- <harness> [options]`: long runs over the shipped engine that a plain test has no time for. Progress
 * goes to standard error; the last line of standard output is JSON with what was tried and what broke (`all`: an array
 * of those). Exit status: 0 nothing broke, 2 usage, 10 a promise was broken.
 */
import { parseArgs } from 'node:util'
import { parseBytes } from '../../src/base/units.ts'
import { corruptSoak } from './corrupt/corrupt.ts'
import { diskSoak } from './disk.ts'
import { fuzzSoak } from './fuzz/fuzz.ts'
import { killSoak } from './kill/kill.ts'
import { powerSoak } from './kill/power.ts'
import { loadSoak } from './load/load.ts'
import { memorySoak } from './memory.ts'
import { OBJECT_STORE_CASES, objectStoreSoak } from './object-store.ts'
import type { SoakLimits } from './report.ts'
import { simulationSoak } from './simulate.ts'
import { threadsSoak } from './threads.ts'
import { writersSoak } from './writers.ts'

const EXIT_INVALID = 2
const EXIT_VIOLATION = 10
/** Of no use where the time is given: then a harness goes on until that is over. */
const ENDLESS = Number.MAX_SAFE_INTEGER

/** A load where no time is given. */
const LOAD_MS = 600_000

interface Harness {
  readonly what: string
  /** The option that counts its cases, and how many there are by default. */
  readonly counted: 'cycles' | 'seeds' | 'samples' | 'records'
  readonly cases: number
  /** Whether `all` runs it. */
  readonly inAll: boolean
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
    inAll: true,
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
    inAll: true,
    run: killSoak,
  },
  power: {
    what: 'cuts the power of a disk that a process writes to (root, loop devices)',
    counted: 'cycles',
    cases: 100,
    inAll: true,
    run: powerSoak,
  },
  disk: {
    what: 'fails syncs and writes of a process, and fills its disk (strace; root for the full disk)',
    counted: 'cycles',
    cases: 40,
    inAll: true,
    run: diskSoak,
  },
  'object-store': {
    what: 'disturbs every call of the store (memory, directory, MinIO), and kills in every step of every move',
    counted: 'cycles',
    cases: OBJECT_STORE_CASES,
    inAll: true,
    run: (limits) => objectStoreSoak(limits),
  },
  writers: {
    what: 'stops a process, has another take its directory, and lets it go on',
    counted: 'cycles',
    cases: 20,
    inAll: true,
    run: writersSoak,
  },
  threads: {
    what: 'writes the WAL on a real thread, with random delays on both sides',
    counted: 'cycles',
    cases: 100,
    inAll: true,
    run: threadsSoak,
  },
  corrupt: {
    what: 'damages files of directory and archive, and looks what becomes of it [--verbose]',
    counted: 'samples',
    cases: 5_000,
    inAll: true,
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
    inAll: true,
    run: fuzzSoak,
  },
  load: {
    what: 'runs a server at 80 % of the most it takes, with a dead store, readers that stop and a drill; --minutes 10',
    counted: 'cycles',
    cases: 1,
    inAll: true,
    run: (limits) =>
      loadSoak({ ...limits, timeMs: Number.isFinite(limits.timeMs) ? limits.timeMs : LOAD_MS }),
  },
  memory: {
    what: 'appends and evicts, and watches the memory of the process [--logs 100] [--budget 256MB]',
    counted: 'records',
    cases: 36_000_000,
    inAll: false,
    run: ({ seed, cycles }, { logs, budget }) =>
      memorySoak({
        logs: count(logs, 'logs'),
        records: cycles,
        budgetBytes: parseBytes(budget, 'budget'),
        seed,
      }),
  },
}

process.exitCode = await main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<number> {
  let read: ReturnType<typeof readArguments>
  try {
    read = readArguments(argv)
  } catch (error) {
    // An option that there is not, or one without its value.
    process.stderr.write(`${(error as Error).message}\n${usage()}`)
    return EXIT_INVALID
  }
  const { values, positionals } = read
  const [name = ''] = positionals
  const names = name === 'all' ? Object.keys(HARNESSES).filter(isInAll) : [name]
  if (positionals.length !== 1 || names.some((each) => HARNESSES[each] === undefined)) {
    process.stderr.write(usage())
    return EXIT_INVALID
  }
  const outcomes: Outcome[] = []
  for (const each of names) outcomes.push(await runHarness(each, values, names.length))
  process.stdout.write(`${JSON.stringify(name === 'all' ? outcomes : outcomes[0])}\n`)
  return outcomes.every(({ violations }) => violations.length === 0) ? 0 : EXIT_VIOLATION
}

function isInAll(name: string): boolean {
  return HARNESSES[name]?.inAll === true
}

/** `sharers` divide the minutes among themselves. */
async function runHarness(name: string, values: Values, sharers: number): Promise<Outcome> {
  const harness = HARNESSES[name]
  if (harness === undefined) throw new RangeError(`There is no harness '${name}'.`)
  const { counted } = harness
  const asked = values[counted]
  const minutes = values.minutes === undefined ? null : count(values.minutes, 'minutes')
  const cases = asked === undefined ? harness.cases : count(asked, counted)
  const outcome = await harness.run(
    {
      seed: count(values.seed, 'seed'),
      cycles: minutes !== null && asked === undefined ? ENDLESS : cases,
      timeMs: minutes === null ? Infinity : (minutes * 60_000) / sharers,
      onProgress: (line) => showProgress(`${name}: ${line}`),
    },
    values,
  )
  if (process.stderr.isTTY) process.stderr.write('\n')
  return outcome
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

function usage(): string {
  const lines = Object.entries(HARNESSES).map(
    ([name, { what, counted, cases }]) => `  ${name.padEnd(14)}${what} [--${counted} ${cases}]`,
  )
  return `usage: npm run soak -- <harness>|all [--minutes M] [--seed S]\n${lines.join('\n')}\n`
}
