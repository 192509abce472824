/**
 * The batches of one partition that lie in RAM, in the order of their offsets. Between them, and in them, there may be
 * holes: records that were evicted or expired, or that a replay left out.
 *
 * Thousands of batches are normal, and most go at the front: finding one is a binary search, dropping the first one
 * moves nothing.
 */
import { assert } from '../base/assert.ts'
import type { Schema } from '../format/schema.ts'
import type { HotBatch } from './hot-batch.ts'
import type { MemoryAccount } from './memory-account.ts'

/** Dropped places at the front from which on the list is looked at whether to be cut. */
const DROPPED_MIN = 32

export class HotBatches {
  #batches: HotBatch[] = []
  /** Places before it are of batches that were dropped. */
  #head = 0
  #records = 0
  #expiresMin = Infinity

  get all(): readonly HotBatch[] {
    this.#cut()
    return this.#batches
  }
  get first(): HotBatch | undefined {
    return this.#batches[this.#head]
  }
  get last(): HotBatch | undefined {
    return this.#batches.length > this.#head ? this.#batches.at(-1) : undefined
  }
  get records(): number {
    return this.#records
  }
  /** No record expires before. */
  get expiresMin(): number {
    return this.#expiresMin
  }

  /** Its records are counted as `grew` tells of them. */
  push(batch: HotBatch): void {
    this.#batches.push(batch)
  }

  /**
   * The last one where it takes the next rows: it is open, of that schema, takes no more than `bytesMax` and ends at
   * `offset`. Null: it takes none from here on.
   */
  open(schema: Schema, offset: number, bytesMax: number): HotBatch | null {
    const { last } = this
    if (last === undefined || last.isSealed) return null
    const isFull = last.isFull || last.bytes > bytesMax
    if (last.schema.id === schema.id && !isFull && last.endOffset === offset) return last
    if (last.length > 0) last.seal()
    else this.dropEmpty()
    return null
  }

  /** Whether there was a last one that takes more rows. */
  sealLast(): boolean {
    const { last } = this
    if (last === undefined || last.length === 0 || last.isSealed) return false
    last.seal()
    return true
  }

  /** Drops the last one, which holds no record. */
  dropEmpty(): void {
    assert(this.last?.length === 0, 'an empty batch is taken away')
    this.#batches.pop()?.drop()
  }

  /** Forgets rows of the open one that were not committed, and it with them where it has no others. */
  discardStaged(): void {
    const { last } = this
    if (last === undefined || last.isSealed) return
    last.rollback()
    if (last.length === 0) this.dropEmpty()
  }

  /** The last batch has `count` records more. */
  grew(count: number): void {
    this.#records += count
    this.#expiresMin = Math.min(this.#expiresMin, this.last?.expiresMin ?? Infinity)
  }

  /** The batches that end behind `offset`. */
  *from(offset: number): Generator<HotBatch, void, undefined> {
    for (let index = this.indexAt(offset); index < this.#batches.length; index++) {
      const batch = this.#batches[index]
      if (batch !== undefined) yield batch
    }
  }

  /** Sealed batches that end behind `from` and at or before `to`; each is leased to the caller. */
  leaseSealed(from: number, to: number): readonly HotBatch[] {
    const batches: HotBatch[] = []
    for (const batch of this.from(from)) {
      if (!batch.isSealed || batch.endOffset > to) break
      batch.retain()
      batches.push(batch)
    }
    return batches
  }

  /** The first LSN of the batches that end behind `offset`; those from before their log had a WAL have none. */
  firstLsnFrom(offset: number): number {
    for (const { firstLsn } of this.from(offset)) if (firstLsn !== Infinity) return firstLsn
    return Infinity
  }

  /** Whether a record in `[start, end)` is there and has not expired by `now`. */
  holds(start: number, end: number, now: number): boolean {
    for (const batch of this.from(start)) {
      if (batch.baseOffset >= end) return false
      if (batch.liveRanges(start, end, now).length > 0) return true
    }
    return false
  }

  /** The first batch that ends behind `offset`. */
  at(offset: number): HotBatch | undefined {
    return this.#batches[this.indexAt(offset)]
  }

  /** Where a record lies that is there and has not expired; else null. Counts as reading it. */
  find(
    offset: number,
    partition: { readonly expiryTime: number; readonly logMemory: MemoryAccount },
  ): { readonly batch: HotBatch; readonly row: number } | null {
    const batch = this.at(offset)
    const row = batch?.rowAt(offset) ?? -1
    if (batch === undefined || row < 0) return null
    if (batch.expiresMin < Infinity) {
      const now = partition.expiryTime
      if (batch.expiresMin <= now && batch.liveRanges(offset, offset + 1, now).length === 0)
        return null
    }
    batch.touch(partition.logMemory.nextStamp())
    return { batch, row }
  }

  /** Where `all` has the first batch that ends behind `offset`; its length when there is none. */
  indexAt(offset: number): number {
    let low = this.#head
    let high = this.#batches.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#batches[middle]?.endOffset ?? 0) <= offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /**
   * Takes the records from `end` on away, which no reader has seen. Those from `durableEnd` on that stay are logged
   * again, at `lsn` or above.
   */
  takeBack(durableEnd: number, end: number, lsn: number): void {
    for (let { last } = this; last !== undefined && last.endOffset > end; last = this.last) {
      const before = last.length
      if (last.baseOffset < end) {
        last.takeBack(end, lsn)
        this.#records -= before - last.length
        break
      }
      this.#records -= before
      this.#batches.pop()
      last.drop()
    }
    for (const batch of this.from(durableEnd)) batch.takeBack(end, lsn)
  }

  /** Drops the batches at the front that end at or below `limit`. Returns the bytes given back. */
  dropBelow(limit: number): number {
    let bytes = 0
    for (
      let { first } = this;
      first !== undefined && first.endOffset <= limit;
      first = this.first
    ) {
      // What goes at once needs no shrinking first.
      if (first.isLeased) first.seal()
      this.remove(first)
      bytes += first.bytes
      first.drop()
    }
    return bytes
  }

  remove(batch: HotBatch): void {
    this.#records -= batch.length
    if (batch === this.first) {
      this.#head++
      if (this.#head >= DROPPED_MIN && this.#head * 2 >= this.#batches.length) this.#cut()
      return
    }
    this.#batches.splice(this.#placeOf(batch), 1)
  }

  replace(batch: HotBatch, by: HotBatch): void {
    this.#records += by.length - batch.length
    this.#batches[this.#placeOf(batch)] = by
  }

  /** Looks again when the next record expires. */
  measureExpiry(): void {
    this.#expiresMin = Infinity
    for (let index = this.#head; index < this.#batches.length; index++) {
      const expiresMin = this.#batches[index]?.expiresMin ?? Infinity
      if (expiresMin < this.#expiresMin) this.#expiresMin = expiresMin
    }
  }

  clear(): void {
    this.#batches = []
    this.#head = 0
    this.#records = 0
    this.#expiresMin = Infinity
  }

  #placeOf(batch: HotBatch): number {
    const index = this.indexAt(batch.baseOffset)
    assert(this.#batches[index] === batch, 'a batch is where its offsets are')
    return index
  }

  #cut(): void {
    if (this.#head === 0) return
    this.#batches.splice(0, this.#head)
    this.#head = 0
  }
}
