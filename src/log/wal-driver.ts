/**
 * What runs the WAL's writer for the main thread's side (`wal.ts`): inline, when a scheduler lets
 * it, or on a thread of its own. Both run the same state machine (`wal-writer.ts`) over the same ring.
 */
import { fromClonedError } from '../base/cloned-error.ts'
import { StratalogError } from '../base/errors.ts'
import type { RingConsumer, RingProducer } from './wal-ring.ts'
import { type SpawnWalThread, type WalThread, type WalThreadStart } from './wal-thread.ts'
import type { WalWriter } from './wal-writer.ts'

/** Writing this takes about as long as waking the thread. */
const EAGER_BYTES = 16 * 1024

/** What a driver tells the WAL. */
export interface DriverEvents {
  progress(): void
  failed(failure: StratalogError): void
}

/** Runs the consumer's side of the ring. */
export interface WalDriver {
  /** There is news in the ring: so many bytes of frames, or something else. */
  wake(producer: RingProducer, bytes: number): void
  /** Whether somebody waits for the writer. */
  setHoldsProcess(holds: boolean): void
  /** Resolves when the writer has ended after the ring was stopped; it does not throw. */
  end(producer: RingProducer): Promise<void>
}

export class InlineDriver implements WalDriver {
  readonly #writer: WalWriter
  readonly #ring: RingConsumer
  readonly #schedule: (turn: () => void) => void
  readonly #events: DriverEvents
  #isScheduled = false
  #isOver = false
  readonly #ended = Promise.withResolvers<void>()

  constructor(
    writer: WalWriter,
    ring: RingConsumer,
    schedule: (turn: () => void) => void,
    events: DriverEvents,
  ) {
    this.#writer = writer
    this.#ring = ring
    this.#schedule = schedule
    this.#events = events
  }

  wake(): void {
    if (this.#isScheduled || this.#isOver) return
    this.#isScheduled = true
    this.#schedule(() => this.#run())
  }

  setHoldsProcess(): void {}

  end(): Promise<void> {
    this.wake()
    return this.#isOver ? Promise.resolve() : this.#ended.promise
  }

  #run(): void {
    this.#isScheduled = false
    if (this.#isOver) return
    try {
      const worked = this.#writer.turn()
      if (this.#ring.isStopped()) {
        if (worked) this.wake()
        else this.#over()
      }
    } catch (error) {
      if (!(error instanceof StratalogError)) throw error
      this.#over()
      this.#events.failed(error)
      return
    }
    this.#events.progress()
  }

  #over(): void {
    this.#isOver = true
    this.#writer.close()
    this.#ended.resolve()
  }
}

export class ThreadDriver implements WalDriver {
  readonly opened: Promise<void>
  readonly #thread: WalThread
  readonly #ended = Promise.withResolvers<void>()
  #isEnding = false
  #hasEnded = false
  /** Bytes in the ring that the thread was not woken for. */
  #unannounced = 0
  #isWaking = false

  constructor(start: WalThreadStart, spawn: SpawnWalThread, events: DriverEvents) {
    const opening = Promise.withResolvers<void>()
    this.opened = opening.promise
    let isOpen = false
    const fail = (failure: StratalogError): void => {
      if (!isOpen) opening.reject(failure)
      events.failed(failure)
    }
    this.#thread = spawn(start, {
      onMessage: (message) => {
        if (message.kind === 'progress') return events.progress()
        if (message.kind === 'failed') return fail(fromClonedError(message.failure))
        isOpen = true
        this.#thread.setHoldsProcess(false)
        opening.resolve()
      },
      onEnd: (error) => {
        this.#hasEnded = true
        this.#ended.resolve()
        if (this.#isEnding && error === null) return
        fail(
          new StratalogError(
            'internal',
            'The WAL thread has ended.',
            error === null ? {} : { cause: error },
          ),
        )
      },
    })
  }

  /**
   * At the end of the turn: a thread that is woken by the first of many small appends syncs that one while the others
   * wait. With much to write it begins at once.
   */
  wake(producer: RingProducer, bytes: number): void {
    this.#unannounced += bytes
    if (this.#unannounced >= EAGER_BYTES) {
      this.#unannounced = 0
      producer.signal()
    } else if (!this.#isWaking) {
      this.#isWaking = true
      queueMicrotask(() => {
        this.#isWaking = false
        this.#unannounced = 0
        producer.signal()
      })
    }
  }

  setHoldsProcess(holds: boolean): void {
    if (!this.#hasEnded) this.#thread.setHoldsProcess(holds)
  }

  async end(producer: RingProducer): Promise<void> {
    this.#isEnding = true
    this.setHoldsProcess(true)
    producer.signal()
    await this.#ended.promise
  }
}
