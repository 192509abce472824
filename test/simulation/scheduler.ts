/**
 * The one thread of a simulated world: events in the order of their time, ties in the order of the seed. Between two
 * events everything that promises have made ready runs to its end, which is what makes a run repeatable: nothing in it
 * may wait for a real timer, a thread or a system call.
 */
import type { Dice } from './dice.ts'

export interface ScheduledEvent {
  /** Monotonic ms of the world. */
  readonly at: number
  cancel(): void
}

interface Entry {
  readonly at: number
  readonly rank: number
  readonly run: () => void
  isCancelled: boolean
}

/** More events than any run needs: something goes round in circles. */
const EVENTS_MAX = 1_000_000
/** After so many events a turn of the real event loop brings to light what nobody caught; it costs much. */
const STRETCH_EVENTS = 8

/** Nothing is left that could happen, and somebody still waits. */
export class DeadlockError extends Error {
  override readonly name = 'DeadlockError'
}

export class Scheduler {
  readonly #dice: Dice
  /** What an event threw. */
  readonly #onError: (error: unknown) => void
  readonly #heap: Entry[] = []
  #now = 0
  #eventCount = 0
  #standstill: Promise<unknown> | null = null

  constructor(dice: Dice, onError: (error: unknown) => void) {
    this.#dice = dice
    this.#onError = onError
  }

  /** Monotonic ms of the world. */
  get now(): number {
    return this.#now
  }

  get eventCount(): number {
    return this.#eventCount
  }

  /** What nobody caught in a stretch of events is heard of at its end. */
  get stretch(): number {
    return Math.ceil(this.#eventCount / STRETCH_EVENTS)
  }

  after(delayMs: number, run: () => void): ScheduledEvent {
    const at = this.#now + Math.max(0, delayMs)
    const entry: Entry = { at, rank: this.#dice.uint32(), run, isCancelled: false }
    this.#push(entry)
    return {
      at,
      cancel: () => {
        entry.isCancelled = true
      },
    }
  }

  /** No event happens, and no time passes, until `work` has settled: it is of another world. */
  standStill<T>(work: Promise<T>): Promise<T> {
    this.#standstill = work.catch(() => {})
    return work
  }

  /** Runs events until `work` settles. @throws DeadlockError, and what `work` rejects with. */
  async runUntil<T>(work: Promise<T>): Promise<T> {
    let isOver = false
    const end = (): void => {
      isOver = true
    }
    work.then(end, end)
    await settled()
    while (!isOver) {
      if (this.#standstill !== null) {
        await this.#standstill
        this.#standstill = null
        await settled()
        continue
      }
      const entry = this.#pop()
      if (entry === null) throw new DeadlockError('nothing is left that could happen')
      if (entry.isCancelled) continue
      this.#now = entry.at
      if (++this.#eventCount > EVENTS_MAX) throw new DeadlockError('it goes on without an end')
      try {
        entry.run()
      } catch (error) {
        this.#onError(error)
      }
      if (this.#eventCount % STRETCH_EVENTS === 0) await settled()
      else await promisesRun()
    }
    return work
  }

  #push(entry: Entry): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(entry)
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = heap[parent]
      if (above === undefined || !isBefore(entry, above)) break
      heap[index] = above
      index = parent
    }
    heap[index] = entry
  }

  #pop(): Entry | null {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined) return null
    if (first === last) return first
    let index = 0
    for (;;) {
      const left = heap[2 * index + 1]
      const right = heap[2 * index + 2]
      if (left === undefined) break
      const child = right !== undefined && isBefore(right, left) ? 2 * index + 2 : 2 * index + 1
      const below = heap[child]
      if (below === undefined || !isBefore(below, last)) break
      heap[index] = below
      index = child
    }
    heap[index] = last
    return first
  }
}

function isBefore(one: Entry, other: Entry): boolean {
  return one.at < other.at || (one.at === other.at && one.rank < other.rank)
}

/** Resolves when every promise that is ready has run: ticks come after them. */
function promisesRun(): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(resolve)
  })
}

/** The real one, whatever a run puts in its place. */
const { setImmediate: afterPromises } = globalThis

/** The same, and what nobody caught has been heard of. The real immediate passes no simulated time. */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    afterPromises(resolve)
  })
}
