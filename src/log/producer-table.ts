/**
 * What one partition remembers of its producers, so that an append that comes again is applied once.
 *
 * Invariants:
 * - of a producer's appends in one epoch the table has the newest, without one missing between them, in offset order;
 * - a change is noted in the synchronous stretch that applied the append, so the table is always as of `nextOffset`;
 * - bounded: PRODUCERS_MAX producers, PRODUCER_APPENDS_MAX appends of each. A producer is forgotten only when another
 *   one begins: when it appended nothing for PRODUCER_EXPIRY_MS, or when there is no place left and it is the one
 *   that is idle longest, for PRODUCER_KEPT_MS at least.
 *
 * Order and fencing do not depend on a clock; what is forgotten does, by the engine's.
 */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import {
  PRODUCER_APPENDS_MAX,
  PRODUCER_EXPIRY_MS,
  PRODUCER_KEPT_MS,
  PRODUCERS_MAX,
} from '../format/limits.ts'
import type { ManifestEdit, PartitionState } from '../format/manifest.ts'
import { type Producer, type ProducerState, producerEnd } from '../format/producer.ts'

/** Where an append is that was applied before. */
export interface KnownAppend {
  readonly offset: number
  readonly count: number
}

interface Entry {
  epoch: number
  sequence: number
  time: number
  /** Of the newest appends, oldest first. */
  readonly offsets: number[]
  readonly counts: number[]
}

export class ProducerTable {
  /** In the order of their last appends: who is idle longest comes first. */
  readonly #entries = new Map<string, Entry>()

  constructor(states: Iterable<ProducerState>) {
    const byTime = [...states].sort((a, b) => producerEnd(a) - producerEnd(b))
    for (const { producerId, epoch, sequence, time, offsets, counts } of byTime) {
      const entry = { epoch, sequence, time, offsets: [...offsets], counts: [...counts] }
      this.#entries.set(producerId, entry)
    }
  }

  get size(): number {
    return this.#entries.size
  }

  /**
   * Null for an append that may be applied now; where it is, for one that was applied before.
   * @throws StratalogError `producer_sequence_gap`, `producer_fenced`, `producer_append_differs`,
   * `producer_append_old`, `producers_full`.
   */
  find(producer: Producer, count: number, now: number): KnownAppend | null {
    const { producerId, epoch, sequence } = producer
    const entry = this.#entries.get(producerId)
    if (entry === undefined) {
      if (sequence !== 0) throw gap(producer, 0, null)
      this.#assertPlace(producer, now)
      return null
    }
    if (epoch < entry.epoch) throw fenced(producer, entry.epoch)
    const expected = epoch > entry.epoch ? 0 : entry.sequence + 1
    if (sequence > expected) throw gap(producer, expected, entry.epoch)
    if (sequence === expected) return null
    const index = entry.offsets.length - expected + sequence
    const offset = entry.offsets[index]
    if (offset === undefined) throw old(producer, entry.sequence)
    const known = present(entry.counts[index], 'a count for each offset')
    if (known !== count) throw differs(producer, known, count)
    return { offset, count }
  }

  /** The newest append that is remembered of a producer; its sequence is −1 where it was taken back. */
  newest(producerId: string): Producer | null {
    const entry = this.#entries.get(producerId)
    return entry === undefined ? null : { producerId, epoch: entry.epoch, sequence: entry.sequence }
  }

  /** Notes an append that was applied at `offset`. */
  note(
    { producerId, epoch, sequence }: Producer,
    { offset, count }: KnownAppend,
    time: number,
  ): void {
    const before = this.#entries.get(producerId)
    if (before === undefined) this.#makePlace(time)
    else this.#entries.delete(producerId)
    const goesOn = before?.epoch === epoch && sequence === before.sequence + 1
    const entry: Entry =
      before !== undefined && goesOn ? before : { epoch, sequence, time, offsets: [], counts: [] }
    entry.sequence = sequence
    entry.time = time
    entry.offsets.push(offset)
    entry.counts.push(count)
    if (entry.offsets.length > PRODUCER_APPENDS_MAX) {
      entry.offsets.shift()
      entry.counts.shift()
    }
    this.#entries.set(producerId, entry)
  }

  /** Recovery: an append that the WAL holds. What is noted of it, or of a later one, stays. */
  restore(producer: Producer, append: KnownAppend, time: number): void {
    const entry = this.#entries.get(producer.producerId)
    const last = entry?.offsets.at(-1)
    if (last === undefined || append.offset > last) this.note(producer, append, time)
  }

  /** Who made the append that begins at `offset`; null where nobody did, or it is no longer known. */
  producerAt(offset: number): Producer | null {
    for (const [producerId, { epoch, sequence, offsets }] of this.#entries) {
      const index = offsets.lastIndexOf(offset)
      if (index >= 0)
        return { producerId, epoch, sequence: sequence - (offsets.length - 1 - index) }
    }
    return null
  }

  /**
   * Forgets the appends from `end` on: their records were taken back. A producer that has no other is known by its
   * epoch still, so that those before it stay fenced; what it sends next is its first again.
   */
  takeBack(end: number): void {
    for (const entry of this.#entries.values()) {
      for (let last = entry.offsets.at(-1); last !== undefined && last >= end;) {
        entry.offsets.pop()
        entry.counts.pop()
        entry.sequence--
        last = entry.offsets.at(-1)
      }
    }
  }

  /** Of producers that have appends; of others a restart knows nothing, and refuses what it does not know. */
  states(): readonly ProducerState[] {
    const known = [...this.#entries].filter(([, { offsets }]) => offsets.length > 0)
    return known.map(([producerId, { epoch, sequence, time, offsets, counts }]) => ({
      producerId,
      epoch,
      sequence,
      time,
      offsets: [...offsets],
      counts: [...counts],
    }))
  }

  #assertPlace(producer: Producer, now: number): void {
    if (this.#entries.size < PRODUCERS_MAX) return
    const [first] = this.#entries.values()
    const idleMs = now - present(first, 'a full table has entries').time
    if (idleMs >= PRODUCER_KEPT_MS) return
    throw new StratalogError(
      'producers_full',
      `The partition remembers ${PRODUCERS_MAX} producers, and all of them appended within ${PRODUCER_KEPT_MS} ms.`,
      { details: { ...producer, limit: PRODUCERS_MAX, retryAfterMs: PRODUCER_KEPT_MS - idleMs } },
    )
  }

  #makePlace(now: number): void {
    for (const [id, { time }] of this.#entries) {
      const isExpired = now - time >= PRODUCER_EXPIRY_MS
      if (!isExpired && this.#entries.size < PRODUCERS_MAX) return
      this.#entries.delete(id)
    }
  }
}

/** What brings the producers that a manifest has noted to `wanted`; nothing when it has them. */
export function producerEdits(
  logId: number,
  partition: number,
  noted: PartitionState | undefined,
  wanted: readonly ProducerState[],
): readonly ManifestEdit[] {
  const known = noted?.producers ?? NONE
  const kept = new Set(wanted.map(({ producerId }) => producerId))
  const producers = wanted.filter((state) => !isSame(known.get(state.producerId), state))
  const forgotten = [...known.keys()].filter((id) => !kept.has(id))
  if (producers.length === 0 && forgotten.length === 0) return []
  return [{ kind: 'producers-noted', logId, partition, producers, forgotten }]
}

const NONE: ReadonlyMap<string, ProducerState> = new Map()

function isSame(a: ProducerState | undefined, b: ProducerState): boolean {
  return (
    a !== undefined &&
    a.epoch === b.epoch &&
    a.sequence === b.sequence &&
    a.offsets.length === b.offsets.length &&
    producerEnd(a) === producerEnd(b)
  )
}

function gap(producer: Producer, expected: number, currentEpoch: number | null): StratalogError {
  const { producerId, epoch, sequence } = producer
  const why =
    currentEpoch === null
      ? 'which the partition does not know, or has forgotten'
      : `of epoch ${currentEpoch}`
  return new StratalogError(
    'producer_sequence_gap',
    `Sequence ${expected} comes next of producer ${JSON.stringify(producerId)}, ${why}; got ${sequence} in epoch ${epoch}. Nothing of this append was applied.`,
    { details: { ...producer, expected, given: sequence, currentEpoch } },
  )
}

function fenced(producer: Producer, currentEpoch: number): StratalogError {
  const { producerId, epoch } = producer
  return new StratalogError(
    'producer_fenced',
    `Producer ${JSON.stringify(producerId)} goes on in epoch ${currentEpoch}; epoch ${epoch} is over. Nothing of this append was applied.`,
    { details: { ...producer, currentEpoch } },
  )
}

function old(producer: Producer, lastSequence: number): StratalogError {
  const { producerId, sequence } = producer
  return new StratalogError(
    'producer_append_old',
    `Append ${sequence} of producer ${JSON.stringify(producerId)} was applied, and the last is ${lastSequence}; where it is, is remembered of the last ${PRODUCER_APPENDS_MAX}.`,
    { details: { ...producer, lastSequence } },
  )
}

function differs(producer: Producer, expected: number, given: number): StratalogError {
  const { producerId, sequence } = producer
  return new StratalogError(
    'producer_append_differs',
    `Append ${sequence} of producer ${JSON.stringify(producerId)} was applied with ${expected} records; it comes again with ${given}. Nothing of this append was applied.`,
    { details: { ...producer, expected, given } },
  )
}
