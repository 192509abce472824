/**
 * A lane: the moves that wait for the same thing. What needs the object store is in another lane than what needs only
 * the disk, so a store that hangs or fails delays no flush, and no append that waits for one.
 *
 * - Rounds of a lane never overlap.
 * - One move at a time in a partition; partitions move side by side, within the engine's limit.
 * - Each partition fails alone, and is tried again after a growing pause.
 */
import type { Clock } from '../base/clock.ts'
import { Mutex } from '../base/mutex.ts'
import type { Partition } from '../log/partition.ts'
import { Round } from './round.ts'

const RETRY_DELAY_MIN_MS = 1_000
const RETRY_DELAY_MAX_MS = 60_000

interface Failure {
  readonly message: string
  /** Monotonic time of the next try. */
  readonly until: number
  readonly delayMs: number
}

export class Lane {
  readonly #clock: Clock
  readonly #parallel: number
  readonly #rounds = new Mutex()
  readonly #locks = new WeakMap<Partition, Mutex>()
  readonly #failures = new WeakMap<Partition, Failure>()
  #roundCount = 0

  /** @param parallel how many partitions move at the same time. */
  constructor(clock: Clock, parallel: number) {
    this.#clock = clock
    this.#parallel = parallel
  }

  /** Whether a round runs, or waits to. */
  get isBusy(): boolean {
    return this.#roundCount > 0
  }

  async round<T>(section: () => Promise<T>): Promise<T> {
    this.#roundCount++
    try {
      return await this.#rounds.run(section)
    } finally {
      this.#roundCount--
    }
  }

  /** Whether the partition's last move here failed and its pause is not over. */
  isBackingOff(partition: Partition): boolean {
    const failure = this.#failures.get(partition)
    return failure !== undefined && failure.until > this.#clock.monotonic()
  }

  /** Why the partition's last move here failed; null when it did not. */
  errorOf(partition: Partition): string | null {
    return this.#failures.get(partition)?.message ?? null
  }

  /** Runs one move of a partition, after those before it. A failure is kept, and thrown. */
  async attempt<T>(partition: Partition, move: () => Promise<T>): Promise<T> {
    try {
      const result = await this.#lockOf(partition).run(move)
      this.#failures.delete(partition)
      return result
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      this.#failures.set(partition, this.#failureAfter(this.#failures.get(partition), message))
      throw error
    }
  }

  /**
   * The pause grows with tries that waited for the one before to be over. Who asks for a move sooner, as each append at
   * `object` does, learns nothing new of the store, and holds up nobody.
   */
  #failureAfter(before: Failure | undefined, message: string): Failure {
    const now = this.#clock.monotonic()
    if (before !== undefined && before.until > now) return { ...before, message }
    const delayMs = Math.min(RETRY_DELAY_MAX_MS, 2 * (before?.delayMs ?? RETRY_DELAY_MIN_MS / 2))
    return { message, until: now + delayMs, delayMs }
  }

  /** Runs what no move of the partition may come between. */
  hold<T>(partition: Partition, section: () => Promise<T>): Promise<T> {
    return this.#lockOf(partition).run(section)
  }

  /** Runs all steps, some at a time, which meet where one work is done for all. A step does not throw. */
  all<T>(steps: readonly ((round: Round) => Promise<T>)[]): Promise<readonly T[]> {
    return new Round(this.#clock, this.#parallel).all(steps)
  }

  #lockOf(partition: Partition): Mutex {
    const known = this.#locks.get(partition)
    if (known !== undefined) return known
    const lock = new Mutex()
    this.#locks.set(partition, lock)
    return lock
  }
}
