/**
 * Neighbouring segments of one partition: what a change of the list copies, and what a page of the manifest stores.
 *
 * A chunk never changes as a value, but it may change how it holds it: entries that were written to a page are dropped
 * and made again from the page's columns when they are asked for, so that a million segments cost the memory of their
 * columns. What is asked of every segment, such as whether it has a copy, is answered without making entries.
 */
import { present } from '../base/assert.ts'
import type { SegmentEntry } from './segment-entry.ts'

/** Where a chunk has its entries from; at least one, in offset order. */
export interface ChunkSource {
  readonly length: number
  at(index: number): SegmentEntry
  baseOffset(index: number): number
  endOffset(index: number): number
  hasCopy(index: number, tier: 'disk' | 'object'): boolean
  isArrow(index: number): boolean
}

/** The page that has the chunk, and how many chunks it has in all: it is of use while each of them is. */
export interface PageName {
  readonly sha256: string
  readonly bytes: number
  readonly chunks: number
  readonly entries: number
}

export class SegmentChunk {
  readonly length: number
  readonly baseOffset: number
  readonly endOffset: number
  /** How many segments have a copy there. */
  readonly onDisk: number
  readonly inStore: number
  /** How many are written as Arrow. */
  readonly inArrow: number
  #source: ChunkSource
  #page: PageName | null = null

  constructor(source: ChunkSource) {
    this.length = source.length
    this.#source = source
    this.baseOffset = source.baseOffset(0)
    this.endOffset = source.endOffset(source.length - 1)
    this.onDisk = countCopies(source, 'disk')
    this.inStore = countCopies(source, 'object')
    this.inArrow = countIf(source, (index) => source.isArrow(index))
  }

  static of(entries: readonly SegmentEntry[]): SegmentChunk {
    return new SegmentChunk(sourceOf(entries))
  }

  /** Null while no page has it. */
  get page(): PageName | null {
    return this.#page
  }

  /** The chunk is in a page, and has its entries from there from now on. */
  storedIn(page: PageName, source: ChunkSource): void {
    this.#page = page
    this.#source = source
  }

  at(index: number): SegmentEntry {
    return this.#source.at(index)
  }

  hasCopy(index: number, tier: 'disk' | 'object'): boolean {
    return this.#source.hasCopy(index, tier)
  }

  isArrow(index: number): boolean {
    return this.#source.isArrow(index)
  }

  /** The index of the first segment that ends after `offset`. */
  indexAt(offset: number): number {
    let low = 0
    let high = this.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#source.endOffset(middle) <= offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Where it ends, when its segments are none of them empty and begin at or after `start` and each other's ends. */
  endIfInOrder(start: number): number | null {
    let end = start
    for (let index = 0; index < this.length; index++) {
      const base = this.#source.baseOffset(index)
      const next = this.#source.endOffset(index)
      if (base < end || next <= base) return null
      end = next
    }
    return end
  }

  toArray(): SegmentEntry[] {
    return Array.from({ length: this.length }, (_, index) => this.#source.at(index))
  }
}

function sourceOf(entries: readonly SegmentEntry[]): ChunkSource {
  const at = (index: number): SegmentEntry => present(entries[index], 'a segment of the chunk')
  return {
    length: entries.length,
    at,
    baseOffset: (index) => at(index).baseOffset,
    endOffset: (index) => at(index).endOffset,
    hasCopy: (index, tier) => at(index)[tier] !== null,
    isArrow: (index) => at(index).format === 'arrow',
  }
}

function countCopies(source: ChunkSource, tier: 'disk' | 'object'): number {
  return countIf(source, (index) => source.hasCopy(index, tier))
}

function countIf({ length }: ChunkSource, test: (index: number) => boolean): number {
  let count = 0
  for (let index = 0; index < length; index++) if (test(index)) count++
  return count
}
