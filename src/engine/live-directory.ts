/**
 * A log of a directory that another process writes, followed as it grows. An engine opened for reading sees what was
 * there when it was opened, so following opens it anew until there is more.
 *
 * One reader follows through one of these. It holds no view while it waits, which is when an engine is let go of.
 */
import type { Clock } from '../base/clock.ts'
import type { Range } from '../base/range.ts'
import { logDeleted } from '../log/log-deleted.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { LogView } from '../log/log-view.ts'
import type { Engine } from './engine.ts'
import { readableLog } from './readable-log.ts'
import type { ReadableLog } from './record-stream.ts'

/** How long what was written may stay unseen, beside the time that opening takes. */
const REOPEN_INTERVAL_MS = 250
/** Opening takes at most one part in this many of the time, however long the WAL is. */
const OPENING_SHARE = 4

export interface LiveDirectoryOptions {
  readonly name: string
  readonly clock: Clock
  /** The engine that the reader began with; it stays its owner's. */
  readonly first: Engine
  readonly reopen: () => Promise<Engine>
  /** @throws StratalogError `engine_closed` once the engine that the reader began with is closed. */
  readonly assertOpen: () => void
}

export class LiveDirectory implements ReadableLog {
  readonly name: string
  readonly partitionCount: number
  readonly #options: LiveDirectoryOptions
  readonly #logId: number
  #newest: Engine

  constructor(options: LiveDirectoryOptions) {
    this.name = options.name
    const log = options.first.registry.get(options.name)
    this.partitionCount = log.partitions.length
    this.#logId = log.id
    this.#options = options
    this.#newest = options.first
  }

  rangeOf(partition: number): Range {
    return this.#readable().rangeOf(partition)
  }

  newestStart(partition: number, count: number): number {
    return this.#readable().newestStart(partition, count)
  }

  viewOf(partition: number, from: number, to: number): LogView {
    return this.#readable().viewOf(partition, from, to)
  }

  /** The log as it was when it was opened last. */
  get log(): LiveLog {
    return this.#newest.registry.get(this.name)
  }

  waitFor(partition: number, offset: number, signal: AbortSignal): Promise<void> {
    return this.waitForAny(new Map([[partition, offset]]), signal)
  }

  /** Resolves when one of these offsets, by partition, is visible, or on abort. */
  async waitForAny(offsets: ReadonlyMap<number, number>, signal: AbortSignal): Promise<void> {
    const { clock, reopen, assertOpen } = this.#options
    let pause = REOPEN_INTERVAL_MS
    while (!this.#isAnyVisible(this.#newest, offsets)) {
      try {
        // Unlike a wait for an append, this keeps the process alive: nothing else in it is going on.
        await clock.sleep(pause, signal)
      } catch (error) {
        if (signal.aborted) return
        throw error
      }
      assertOpen()
      const startedAt = clock.monotonic()
      const engine = await reopen()
      pause = Math.max(REOPEN_INTERVAL_MS, OPENING_SHARE * (clock.monotonic() - startedAt))
      // Another log may have its name by now.
      const isThere = engine.registry.byId.has(this.#logId)
      if (isThere && this.#isAnyVisible(engine, offsets)) await this.#follow(engine)
      else await engine.close()
      if (!isThere) throw logDeleted(this.name)
    }
  }

  /** Lets go of what was opened for following. */
  async close(): Promise<void> {
    await this.#follow(this.#options.first)
  }

  #readable(): ReadableLog {
    return readableLog(this.log, this.#options.assertOpen)
  }

  async #follow(engine: Engine): Promise<void> {
    const former = this.#newest
    this.#newest = engine
    if (former !== this.#options.first && former !== engine) await former.close()
  }

  #isAnyVisible(engine: Engine, offsets: ReadonlyMap<number, number>): boolean {
    const log = engine.registry.get(this.name)
    return [...offsets].some(([partition, offset]) => log.partition(partition).readableEnd > offset)
  }
}
