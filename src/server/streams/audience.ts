/**
 * Readers that wait at the end of a stream. What comes is read once, written out once, and the same bytes go to every
 * socket: that is all that a thousand readers cost.
 *
 * Invariant: all of them have had exactly what lies below `offset`. One that does not take what it is given leaves, and
 * goes on by itself.
 */
import type { Clock } from '../../base/clock.ts'
import { type Exchange, SharedPart } from '../exchange.ts'
import { SSE_KEEP_ALIVE_MS } from '../limits.ts'
import { EventTexts } from './event-text.ts'
import { readChunk } from './stream-records.ts'
import { type Stream, isEnd } from './stream.ts'
import { waitForMore } from './wait-for-more.ts'

export interface Listener {
  readonly exchange: Exchange
  /** The cursor that its answer began with. */
  readonly cursor: string
  /** Monotonic; its answer ends with the first events after it. */
  readonly endsAt: number
}

/** Where a listener is when it leaves. `over`: its answer is to end; `slow`: it did not take the last part at once. */
export interface Left {
  readonly offset: number
  readonly why: 'over' | 'slow'
}

interface Seat {
  readonly resolve: (left: Left) => void
  readonly reject: (error: unknown) => void
  readonly leave: () => void
}

export class Audience {
  readonly #stream: Stream
  readonly #clock: Clock
  readonly #touch: (stream: Stream) => void
  readonly #seats = new Map<Listener, Seat>()
  #offset = 0
  /** Fires when nobody is left. */
  #empty = new AbortController()
  #told = Promise.withResolvers<void>()

  constructor(stream: Stream, clock: Clock, touch: (stream: Stream) => void) {
    this.#stream = stream
    this.#clock = clock
    this.#touch = touch
  }

  /** Null where the others were given more than lies below `offset`: it is there to be read. */
  async listen(listener: Listener, offset: number): Promise<Left | null> {
    // They are about to be told what the caller has read by itself.
    while (this.#seats.size > 0 && this.#offset < offset) await this.#told.promise
    if (listener.exchange.gone.aborted) return { offset, why: 'over' }
    if (this.#seats.size > 0 && this.#offset > offset) return null
    return this.#join(listener, offset)
  }

  #join(listener: Listener, offset: number): Promise<Left> {
    const { gone, stopping } = listener.exchange
    return new Promise((resolve, reject) => {
      const leave = (): void => this.#leave(listener, 'over')
      gone.addEventListener('abort', leave, { once: true })
      const isFirst = this.#seats.size === 0
      this.#seats.set(listener, { resolve, reject, leave })
      if (!isFirst) return
      this.#offset = offset
      this.#empty = new AbortController()
      void this.#serve(this.#empty.signal, stopping)
    })
  }

  #leave(listener: Listener, why: Left['why']): void {
    const seat = this.#seats.get(listener)
    if (seat === undefined) return
    this.#seats.delete(listener)
    listener.exchange.gone.removeEventListener('abort', seat.leave)
    seat.resolve({ offset: this.#offset, why })
    if (this.#seats.size === 0) this.#end()
  }

  #leaveAll(): void {
    for (const listener of [...this.#seats.keys()]) this.#leave(listener, 'over')
  }

  #end(): void {
    this.#empty.abort()
    this.#told.resolve()
    this.#told = Promise.withResolvers()
  }

  /** Until nobody is left. */
  async #serve(empty: AbortSignal, stopping: AbortSignal): Promise<void> {
    const signals = [empty, stopping]
    try {
      while (!empty.aborted) {
        await waitForMore(signals, this.#stream, this.#offset, this.#clock, SSE_KEEP_ALIVE_MS)
        if (!empty.aborted) await this.#tell(empty)
      }
    } catch (error) {
      if (empty.aborted) return
      // Its log is deleted with it.
      if (this.#stream.isDeleted) return this.#leaveAll()
      const seats = [...this.#seats]
      this.#seats.clear()
      this.#end()
      for (const [{ exchange }, seat] of seats) {
        exchange.gone.removeEventListener('abort', seat.leave)
        seat.reject(error)
      }
    }
  }

  async #tell(empty: AbortSignal): Promise<void> {
    const stream = this.#stream
    if (stream.isDeleted) return this.#leaveAll()
    const chunk = await readChunk(stream, this.#offset, empty)
    if (empty.aborted) return
    this.#touch(stream)
    this.#offset = chunk.next
    const texts = new EventTexts(stream, chunk, this.#clock)
    const parts = new Map<string, SharedPart>()
    const isLast = isEnd(stream, chunk.next) || stream.isDeleted
    const now = this.#clock.monotonic()
    for (const listener of [...this.#seats.keys()]) {
      const { exchange, cursor, endsAt } = listener
      let part = parts.get(cursor)
      if (part === undefined) {
        part = new SharedPart(texts.of(cursor))
        parts.set(cursor, part)
      }
      const hasRoom = exchange.push(part)
      if (isLast || now >= endsAt || exchange.stopping.aborted) this.#leave(listener, 'over')
      else if (!hasRoom) this.#leave(listener, 'slow')
    }
    this.#told.resolve()
    this.#told = Promise.withResolvers()
  }
}
