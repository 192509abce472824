/**
 * Appends that wait for the WAL, in LSN order, for the whole engine.
 *
 * Invariant: an append is settled as durable exactly when the WAL says that its last byte is, in the order the WAL took
 * them, so a partition's durable watermark moves only over records that survive a crash. When the WAL fails, everything
 * that waits is withdrawn in one synchronous stretch: each waiting append is refused, and each record that nobody was
 * told of is taken back. What was acknowledged in memory stays, and is logged again by the WAL that goes on.
 */
import type { StratalogError } from '../base/errors.ts'

/** Whom to tell that offsets below `endOffset` are durable, or that some never were. */
export interface AckListener {
  durableTo(endOffset: number): void
  /** Offsets below it may have been read. */
  readonly visibleEnd: number
  /** Takes back what lies at `endOffset` and above; what stays is logged again, at `lsn` or above. */
  takeBack(endOffset: number, lsn: number): void
}

interface Waiting<Listener> {
  /** Durable when the WAL is, up to here: where the append's frame ends, or any place inside it. */
  readonly endLsn: number
  readonly listener: Listener
  readonly endOffset: number
  readonly result: object | null
  readonly resolve: ((result: object | null) => void) | null
  readonly reject: ((error: StratalogError) => void) | null
}

/**
 * What became of an append that is refused: it left nothing, or nobody can say: it may be there already or later, once
 * and whole.
 */
export type AppendFate = 'not_applied' | 'unknown'

/** An append that is in RAM, has to stay, and is in no WAL. */
export interface KeptAppend<Listener> {
  readonly listener: Listener
  readonly endOffset: number
}

/** Settled entries are dropped from the front in runs of this many, so that settling is cheap. */
const COMPACT_AFTER = 1_024

export class AckQueue<Listener extends AckListener = AckListener> {
  #waiting: Waiting<Listener>[] = []
  #first = 0
  #failing: AbortController | null = null

  /** Fires when the WAL fails the next time, with what an append whose fate is unknown is told. */
  get failing(): AbortSignal {
    this.#failing ??= new AbortController()
    return this.#failing.signal
  }

  get length(): number {
    return this.#waiting.length - this.#first
  }

  /** Registers an append that nobody waits for. */
  note(endLsn: number, listener: Listener, endOffset: number): void {
    this.#waiting.push({ endLsn, listener, endOffset, result: null, resolve: null, reject: null })
  }

  /** Registers an append, and resolves with `result` when it is durable. */
  wait<Result extends object>(
    endLsn: number,
    listener: Listener,
    endOffset: number,
    result: Result,
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      const settle = resolve as (result: object | null) => void
      this.#waiting.push({ endLsn, listener, endOffset, result, resolve: settle, reject })
    })
  }

  /** Settles every append that ends at or before `durableLsn`. */
  settle(durableLsn: number): void {
    while (this.#first < this.#waiting.length) {
      const next = this.#waiting[this.#first]
      if (next === undefined || next.endLsn > durableLsn) break
      this.#first++
      next.listener.durableTo(next.endOffset)
      next.resolve?.(next.result)
    }
    if (this.#first === this.#waiting.length || this.#first >= COMPACT_AFTER) {
      this.#waiting = this.#waiting.slice(this.#first)
      this.#first = 0
    }
  }

  /**
   * The WAL ended at `durableLsn`: refuses all who wait with what `refusal` makes of their fate, and takes back the
   * records that nobody was told of. `isUndone`: nothing above that LSN is in the files either, so those are not there
   * for certain. Returns, in order, what stays and has to be logged again.
   */
  withdraw(
    durableLsn: number,
    isUndone: boolean,
    refusal: (fate: AppendFate) => StratalogError,
  ): readonly KeptAppend<Listener>[] {
    const waiting = this.#waiting.slice(this.#first)
    this.#waiting = []
    this.#first = 0
    // Of a writer that was given up some may be durable that were not settled; that epoch acknowledges nothing more.
    const durable = waiting.filter(({ endLsn }) => endLsn <= durableLsn)
    for (const { listener, endOffset } of durable) listener.durableTo(endOffset)
    const lost = waiting.slice(durable.length)
    const keptEnds = new Map<Listener, number>()
    for (const { listener, endOffset, resolve } of lost) {
      const known = keptEnds.get(listener) ?? listener.visibleEnd
      keptEnds.set(listener, resolve === null ? Math.max(known, endOffset) : known)
    }
    for (const [listener, end] of keptEnds) listener.takeBack(end, durableLsn)
    const isKept = ({ listener, endOffset }: Waiting<Listener>): boolean =>
      endOffset <= (keptEnds.get(listener) ?? 0)
    for (const entry of waiting) {
      const isGone = isUndone && entry.endLsn > durableLsn && !isKept(entry)
      entry.reject?.(refusal(isGone ? 'not_applied' : 'unknown'))
    }
    this.#failing?.abort(refusal('unknown'))
    this.#failing = null
    return lost.filter(isKept).map(({ listener, endOffset }) => ({ listener, endOffset }))
  }
}
