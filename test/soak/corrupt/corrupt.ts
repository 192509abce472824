/**
 * The corruption sweep: thousands of small damages of every kind of file, each looked at by the shipped engine in a
 * process that may hang or crash, and judged by an oracle that knows every record.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { present } from '../../../src/base/assert.ts'
import { systemClock } from '../../../src/base/clock.ts'
import { timeLimit } from '../time-limit.ts'
import { baseOf } from './damage.ts'
import { type Fixture, buildFixture } from './fixture.ts'
import { type Wrong, judge } from './judge.ts'
import { type Outcome, runPool } from './pool.ts'

export interface CorruptOptions {
  readonly samples: number
  /** The seed of the first case; the others follow it. */
  readonly seed: number
  readonly processes?: number
  /** No case begins after so long. */
  readonly timeMs?: number
  readonly onProgress?: (tried: number) => void
  /** Of every case, for people. */
  readonly onCase?: (line: string) => void
}

export interface CorruptReport extends Record<Wrong, number> {
  readonly harness: 'corrupt'
  readonly seed: number
  readonly tried: number
  /** Records of the fixture, every one of which was acknowledged. */
  readonly acknowledged: number
  readonly hung: number
  readonly violations: readonly {
    readonly invariant: string
    readonly seed: number
    readonly rerun: string
    readonly reason: string
  }[]
  readonly elapsedMs: number
  /** Cases in which something could not be read, or `verify` found something. */
  readonly visible: number
  /** Cases in which a payload of one log was hit in the WAL, so that the others had to be read and appended to. */
  readonly confined: number
  readonly byKind: Readonly<Record<string, number>>
  readonly byOperation: Readonly<Record<string, number>>
}

const PROCESSES = 2
const VIOLATIONS_MAX = 200

export async function corruptSoak(options: CorruptOptions): Promise<CorruptReport> {
  const startedAt = systemClock.monotonic()
  const root = await mkdtemp(`${workFolder()}/stratalog-corrupt-`)
  try {
    const fixture = await buildFixture(`${root}/fixture`)
    const tally = new Tally(fixture, options)
    const { samples, seed: firstSeed, timeMs = Infinity } = options
    const isOver = timeLimit(timeMs)
    const seeds = function* (): Iterable<number> {
      for (let tried = 0; tried < samples && !isOver(); tried++) yield firstSeed + tried
    }
    await runPool(seeds(), {
      root: `${root}/fixture`,
      scratch: `${root}/scratch`,
      processes: options.processes ?? PROCESSES,
      onOutcome: (seed, outcome) => tally.add(seed, outcome),
    })
    return tally.report(Math.round(systemClock.monotonic() - startedAt))
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

/** Nothing here is about durability, so it lies in memory where there is such a place. */
function workFolder(): string {
  return existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
}

class Tally {
  readonly #fixture: Fixture
  readonly #options: CorruptOptions
  readonly #counts: Record<Wrong | 'hung', number> = {
    lost: 0,
    invented: 0,
    wrong: 0,
    crashed: 0,
    undetected: 0,
    hung: 0,
  }
  readonly #violations: CorruptReport['violations'][number][] = []
  readonly #byKind: Record<string, number> = {}
  readonly #byOperation: Record<string, number> = {}
  #tried = 0
  #visible = 0
  #confined = 0

  constructor(fixture: Fixture, options: CorruptOptions) {
    this.#fixture = fixture
    this.#options = options
  }

  add(seed: number, outcome: Outcome): void {
    this.#tried++
    this.#options.onProgress?.(this.#tried)
    if (outcome.kind === 'hung') return this.#violate(seed, 'hung', 'no answer in time')
    if (outcome.kind === 'crashed') return this.#violate(seed, 'crashed', outcome.reason)
    const { observation } = outcome
    const { damage, verify } = observation
    const name = baseOf(seed)
    const base = this.#fixture.bases.find((candidate) => candidate.name === name)
    const { problems, isVisible, isConfined } = judge(
      observation,
      present(base, 'every base is built'),
    )
    if (isConfined) this.#confined++
    if (isVisible || verify.kinds.length > 0 || verify.failure !== null) this.#visible++
    count(this.#byKind, damage.kind)
    count(this.#byOperation, damage.operation)
    const told = verify.failure?.code ?? verify.kinds.join(',')
    this.#options.onCase?.(`${seed} ${damage.text}: verify ${told}`)
    for (const { wrong, reason } of problems)
      this.#violate(seed, wrong, `${damage.text}: ${reason}`)
  }

  report(elapsedMs: number): CorruptReport {
    const acknowledged = this.#fixture.bases
      .flatMap(({ records }) => Object.values(records))
      .reduce((sum, records) => sum + records, 0)
    return {
      harness: 'corrupt',
      seed: this.#options.seed,
      tried: this.#tried,
      acknowledged,
      ...this.#counts,
      violations: this.#violations,
      elapsedMs,
      visible: this.#visible,
      confined: this.#confined,
      byKind: this.#byKind,
      byOperation: this.#byOperation,
    }
  }

  #violate(seed: number, wrong: Wrong | 'hung', reason: string): void {
    this.#counts[wrong]++
    if (this.#violations.length >= VIOLATIONS_MAX) return
    const rerun = `npm run soak -- corrupt --samples 1 --seed ${seed}`
    this.#violations.push({ invariant: 'I7', seed, rerun, reason: `${wrong}: ${reason}` })
  }
}

function count(counts: Record<string, number>, key: string): void {
  counts[key] = (counts[key] ?? 0) + 1
}
