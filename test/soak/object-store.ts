/**
 * The object store and every move that needs it, disturbed in all ways that a store and a network know. Cases are
 * numbered, and a number says all of a case, as far as a real machine does the same again:
 *
 * - `outage`: an hour of simulated time without the store, under a writer that never stops;
 * - `memory`, `directory`: the moves of `moves.ts` on a simulated machine, with one toxic at one call of an operation;
 * - `kill in memory`, `kill in a directory`: the same, in processes that die at one call of a port and while they
 *   recover;
 * - `minio`: the moves on this machine, on MinIO behind a proxy that does one toxic at one call of an operation of S3;
 * - `lives`: processes on MinIO that move at random and are killed, with a planned toxic and random ones.
 *
 * What was acknowledged is there, once, in order, and nothing else (I1, I2, I4); nobody was fenced (I7); all of it
 * drains (I12), and the archive alone has everything: nothing was removed too early (I8, I10); nothing is left over
 * (I11).
 */
import { DeadlockError } from '../simulation/scheduler.ts'
import { warmUp } from '../simulation/warm-up.ts'
import type { CrashPlan } from '../simulation/process.ts'
import { type Minio, type MinioSettings, startMinio } from '../support/minio.ts'
import { type StoreOperation, type ToxicProxy, startToxicProxy } from '../support/toxic-proxy.ts'
import { liveOnMinio } from './object-store/lives.ts'
import { BrokenPromise } from './object-store/moves.ts'
import { surviveOutage } from './object-store/outage.ts'
import { type RealRun, runForReal } from './object-store/real.ts'
import {
  OPERATIONS,
  PART_OPERATIONS,
  type PlannedToxic,
  TOXICS,
  nameOf,
} from './object-store/toxics.ts'
import { type VirtualPlace, type VirtualRun, runVirtually } from './object-store/virtual.ts'
import { SoakCounts, type SoakLimits, type SoakReport } from './report.ts'
import { timeLimit } from './time-limit.ts'

export type Part =
  | 'outage'
  | 'memory'
  | 'directory'
  | 'kill in memory'
  | 'kill in a directory'
  | 'minio'
  | 'lives'

export interface ObjectStoreReport extends SoakReport {
  readonly parts: Readonly<Record<Part, number>>
  /** Cases whose toxic came to its call: by operation and toxic. */
  readonly poisoned: Readonly<Record<string, number>>
  /** What was going on when a process died. */
  readonly diedIn: Readonly<Record<string, number>>
}

/** So many cases by default: some of each kind. With 20,000 each toxic was at each call, and a process died in each. */
export const OBJECT_STORE_CASES = 1_200

const VIRTUAL: readonly Part[] = ['memory', 'kill in memory', 'directory', 'kill in a directory']
/** One case in so many is on MinIO, and of these one in so many has lives. */
const REAL_EVERY = 16
const LIVES_EVERY = 4
const OUTAGE_EVERY = 1_000
/** Calls of an operation of S3 that are poisoned; the moves may make more or fewer, by how long they take. */
const REAL_INDEXES = 6
/** Goes through a list so that a part of it is spread over the whole. */
const STRIDE = 7_919
/** In how many calls of its port the next process dies, which recovers. */
const RECOVERY_CALLS = 40

/** @param given a MinIO that runs already. */
export async function objectStoreSoak(
  limits: SoakLimits,
  given: MinioSettings | null = null,
): Promise<ObjectStoreReport> {
  const { seed, cycles, timeMs, onProgress } = limits
  const isOver = timeLimit(timeMs)
  await using cases = new Cases(seed, given)
  while (cases.tried < cycles && !isOver()) {
    await cases.run(caseOf(seed + cases.tried))
    onProgress(`${cases.tried} cases`)
  }
  return cases.report()
}

export interface Case {
  readonly number: number
  readonly part: Part
  /** Counts the cases of that part, from 0. */
  readonly rank: number
}

export function caseOf(number: number): Case {
  const index = number - 1
  const real = Math.floor(index / REAL_EVERY)
  const lives = Math.floor(real / LIVES_EVERY)
  if (index % OUTAGE_EVERY === 0) return { number, part: 'outage', rank: index / OUTAGE_EVERY }
  if (index % REAL_EVERY !== 0) {
    const virtual = index - real - 1
    const part = VIRTUAL[virtual % VIRTUAL.length] ?? 'memory'
    return { number, part, rank: Math.floor(virtual / VIRTUAL.length) }
  }
  if (real % LIVES_EVERY === 0) return { number, part: 'lives', rank: lives }
  return { number, part: 'minio', rank: real - lives - 1 }
}

/** Runs cases, and counts what comes of them. */
export class Cases implements AsyncDisposable {
  readonly #counts: SoakCounts
  readonly #given: MinioSettings | null
  readonly #parts: Record<Part, number> = {
    outage: 0,
    memory: 0,
    directory: 0,
    'kill in memory': 0,
    'kill in a directory': 0,
    minio: 0,
    lives: 0,
  }
  readonly #poisoned: Record<string, number> = {}
  readonly #diedIn: Record<string, number> = {}
  readonly #clean = new Map<VirtualPlace, VirtualRun>()
  #store: { readonly minio: MinioSettings; readonly proxy: ToxicProxy } | null = null
  #started: Minio | null = null

  constructor(seed: number, given: MinioSettings | null) {
    this.#counts = new SoakCounts('object-store', seed, rerunOf(seed))
    this.#given = given
  }

  get tried(): number {
    return this.#counts.tried
  }

  async run(what: Case): Promise<void> {
    const { part, number } = what
    this.#counts.tried++
    this.#parts[part]++
    try {
      await this.#run(what)
    } catch (error) {
      const again = { seed: number, rerun: rerunOf(number) }
      const [damage, invariant] =
        error instanceof BrokenPromise
          ? ([error.damage, error.invariant] as const)
          : error instanceof DeadlockError
            ? (['hung', 'I12'] as const)
            : (['crashed', 'I7'] as const)
      this.#counts.violation(damage, invariant, `${part}: ${String(error)}`, again)
    }
  }

  report(): ObjectStoreReport {
    const [parts, poisoned, diedIn] = [this.#parts, this.#poisoned, this.#diedIn]
    return { ...this.#counts.report(), parts, poisoned, diedIn }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store?.proxy[Symbol.asyncDispose]()
    await this.#started?.stop()
  }

  async #run({ part, rank, number }: Case): Promise<void> {
    switch (part) {
      case 'outage':
        this.#counts.acknowledged += await surviveOutage()
        return
      case 'memory':
      case 'directory':
        return this.#poison(part, rank)
      case 'kill in memory':
        return this.#kill('memory', rank)
      case 'kill in a directory':
        return this.#kill('directory', rank)
      case 'minio':
        return this.#poisonMinio(rank)
      case 'lives':
        return this.#live(rank, number)
    }
  }

  async #poison(place: VirtualPlace, rank: number): Promise<void> {
    const planned = pick(plannedToxics((await this.#cleanRun(place)).calls), rank)
    this.#count(planned, await runVirtually(place, { toxic: planned }))
  }

  async #poisonMinio(rank: number): Promise<void> {
    const operations = [...OPERATIONS, ...PART_OPERATIONS]
    const calls = new Map(operations.map((operation) => [operation, REAL_INDEXES]))
    const planned = pick(plannedToxics(calls), rank)
    const { minio, proxy } = await this.#minio()
    this.#count(planned, await runForReal(minio, proxy, planned))
  }

  #count({ operation, toxic }: PlannedToxic, run: RealRun): void {
    this.#counts.acknowledged += run.acknowledged
    if (run.wasPoisoned) add(this.#poisoned, `${operation} ${nameOf(toxic)}`)
  }

  async #kill(place: VirtualPlace, rank: number): Promise<void> {
    const { portCalls } = await this.#cleanRun(place)
    const death = rank % 2 === 0 ? 'kill' : 'power'
    const crashes: CrashPlan[] = [{ death, call: 1 + ((rank * STRIDE) % portCalls), step: null }]
    if (rank % 3 === 0) crashes.push({ death, call: 1 + (rank % RECOVERY_CALLS), step: null })
    const { acknowledged, diedIn } = await runVirtually(place, { crashes }, rank)
    this.#counts.acknowledged += acknowledged
    for (const step of diedIn) add(this.#diedIn, step)
  }

  async #live(rank: number, number: number): Promise<void> {
    const { minio, proxy } = await this.#minio()
    const counts = this.#counts
    await liveOnMinio(rank, minio, proxy, {
      acknowledged: (more) => {
        counts.acknowledged += more
      },
      violation: (damage, invariant, what) =>
        counts.violation(damage, invariant, what, { seed: number, rerun: rerunOf(number) }),
    })
  }

  /** How many calls there are when nothing goes wrong. */
  async #cleanRun(place: VirtualPlace): Promise<VirtualRun> {
    await warmUp()
    const run = this.#clean.get(place) ?? (await runVirtually(place, {}))
    this.#clean.set(place, run)
    return run
  }

  async #minio(): Promise<{ readonly minio: MinioSettings; readonly proxy: ToxicProxy }> {
    if (this.#store !== null) return this.#store
    if (this.#given === null) this.#started = await startMinio()
    const minio = this.#given ?? this.#started
    if (minio === null) throw new Error('there is no MinIO')
    this.#store = { minio, proxy: await startToxicProxy(minio.endpoint) }
    return this.#store
  }
}

/** Every toxic at every call. */
function plannedToxics(calls: ReadonlyMap<StoreOperation, number>): readonly PlannedToxic[] {
  return [...calls].flatMap(([operation, count]) =>
    Array.from({ length: count }, (_, index) => index).flatMap((index) =>
      TOXICS.map((toxic) => ({ operation, toxic, index })),
    ),
  )
}

function pick<T>(list: readonly T[], rank: number): T {
  const picked = list[(rank * STRIDE) % list.length]
  if (picked === undefined) throw new RangeError('there is nothing to pick from')
  return picked
}

function add(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1
}

function rerunOf(number: number): string {
  return `npm run soak -- object-store --cycles 1 --seed ${number}`
}
