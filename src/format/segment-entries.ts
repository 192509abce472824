/**
 * The segments of one partition in offset order: an immutable list of chunks, whose copies share what did not change.
 * A change copies one chunk and the list of chunks, so it costs the same beside a thousand segments and a million.
 *
 * What is asked of all segments every few moments (which has no object copy, which lies on disk) passes over whole
 * chunks by their counts. Entries are made when they are asked for: two looks may give two objects.
 */
import { present } from '../base/assert.ts'
import { MANIFEST_PAGE_ENTRIES_MAX } from './limits.ts'
import type { SegmentEntry } from './segment-entry.ts'
import { SegmentChunk } from './segment-chunk.ts'

export class SegmentEntries implements Iterable<SegmentEntry> {
  static readonly empty: SegmentEntries = new SegmentEntries([])

  readonly length: number
  readonly chunks: readonly SegmentChunk[]
  /** By chunk: the index of its first segment. */
  readonly #starts: readonly number[]
  /** How many have a copy there. */
  readonly #having: Readonly<Record<'disk' | 'object', number>>

  constructor(chunks: readonly SegmentChunk[]) {
    const starts: number[] = []
    let [length, disk, object] = [0, 0, 0]
    for (const chunk of chunks) {
      starts.push(length)
      length += chunk.length
      disk += chunk.onDisk
      object += chunk.inStore
    }
    this.chunks = chunks
    this.length = length
    this.#starts = starts
    this.#having = { disk, object }
  }

  static of(entries: Iterable<SegmentEntry>): SegmentEntries {
    if (entries instanceof SegmentEntries) return entries
    const editor = new SegmentEntriesEditor(SegmentEntries.empty)
    for (const entry of entries) editor.insert(entry)
    return editor.build()
  }

  /** As of an array: from the end where `index` is negative. */
  at(index: number): SegmentEntry | undefined {
    const wanted = index < 0 ? index + this.length : index
    if (wanted < 0 || wanted >= this.length) return undefined
    const number = lastAtOrBelow(this.#starts, wanted)
    return this.chunks[number]?.at(wanted - (this.#starts[number] ?? 0))
  }

  /** The index of the segment that holds `offset`, or comes next; the length when all are before. */
  indexAt(offset: number): number {
    const number = chunkAt(this.chunks, offset)
    const chunk = this.chunks[number]
    return chunk === undefined ? this.length : (this.#starts[number] ?? 0) + chunk.indexAt(offset)
  }

  /** The segment that begins at `baseOffset`. */
  startingAt(baseOffset: number): SegmentEntry | undefined {
    const entry = this.at(this.indexAt(baseOffset))
    return entry?.baseOffset === baseOffset ? entry : undefined
  }

  *[Symbol.iterator](): Generator<SegmentEntry, undefined> {
    for (const chunk of this.chunks)
      for (let index = 0; index < chunk.length; index++) yield chunk.at(index)
  }

  /** From the segment that holds `offset`, or comes next, on. */
  *from(offset: number): Generator<SegmentEntry, undefined> {
    for (let number = chunkAt(this.chunks, offset); number < this.chunks.length; number++) {
      const chunk = present(this.chunks[number], 'a chunk')
      for (let index = chunk.indexAt(offset); index < chunk.length; index++) yield chunk.at(index)
    }
  }

  /** Those that have a copy on a tier, in order. */
  *having(tier: 'disk' | 'object'): Generator<SegmentEntry, undefined> {
    yield* this.#copied(tier, true)
  }

  /** Those that have no copy on a tier, in order. */
  *lacking(tier: 'disk' | 'object'): Generator<SegmentEntry, undefined> {
    yield* this.#copied(tier, false)
  }

  /** Those that are written as Arrow, in order. */
  *inArrow(): Generator<SegmentEntry, undefined> {
    for (const chunk of this.chunks) {
      if (chunk.inArrow === 0) continue
      for (let index = 0; index < chunk.length; index++)
        if (chunk.isArrow(index)) yield chunk.at(index)
    }
  }

  /** How many have a copy on a tier. */
  countHaving(tier: 'disk' | 'object'): number {
    return this.#having[tier]
  }

  find(test: (entry: SegmentEntry) => boolean): SegmentEntry | undefined {
    for (const entry of this) if (test(entry)) return entry
    return undefined
  }

  some(test: (entry: SegmentEntry) => boolean): boolean {
    return this.find(test) !== undefined
  }

  filter(test: (entry: SegmentEntry) => boolean): SegmentEntry[] {
    const found: SegmentEntry[] = []
    for (const entry of this) if (test(entry)) found.push(entry)
    return found
  }

  map<T>(make: (entry: SegmentEntry) => T): T[] {
    return Array.from(this, make)
  }

  *#copied(tier: 'disk' | 'object', wanted: boolean): Generator<SegmentEntry, undefined> {
    if (this.#having[tier] === (wanted ? 0 : this.length)) return
    for (const chunk of this.chunks) {
      if (copiesOf(chunk, tier) === (wanted ? 0 : chunk.length)) continue
      for (let index = 0; index < chunk.length; index++)
        if (chunk.hasCopy(index, tier) === wanted) yield chunk.at(index)
    }
  }
}

/** Where an editor found a segment. */
export interface FoundSegment {
  readonly chunk: number
  readonly index: number
  readonly entry: SegmentEntry
}

/** Changes to a list, each chunk copied once however many there are. */
export class SegmentEntriesEditor {
  /** An array is a chunk that was copied already. */
  readonly #chunks: (SegmentChunk | SegmentEntry[])[]

  constructor(entries: SegmentEntries) {
    this.#chunks = [...entries.chunks]
  }

  build(): SegmentEntries {
    const chunks = this.#chunks.map((chunk) =>
      chunk instanceof SegmentChunk ? chunk : SegmentChunk.of([...chunk]),
    )
    return new SegmentEntries(chunks)
  }

  /** The first segment that ends after `offset`. */
  at(offset: number): FoundSegment | null {
    const number = chunkAt(this.#chunks, offset)
    const chunk = this.#chunks[number]
    if (chunk === undefined) return null
    const index = chunk instanceof SegmentChunk ? chunk.indexAt(offset) : indexIn(chunk, offset)
    return { chunk: number, index, entry: present(chunk.at(index), 'a segment of the chunk') }
  }

  /** Inserts a segment in its place; the caller knows that none has its offsets. */
  insert(entry: SegmentEntry): void {
    const next = this.at(entry.baseOffset)
    const number = next?.chunk ?? Math.max(0, this.#chunks.length - 1)
    const isFull = (this.#chunks[number]?.length ?? Infinity) >= MANIFEST_PAGE_ENTRIES_MAX
    // What comes at the end begins a new chunk and leaves full ones behind it.
    if (next === null && isFull) this.#chunks.push([entry])
    else if (next === null) this.#own(number).push(entry)
    else {
      this.#own(number).splice(next.index, 0, entry)
      if (isFull) this.#split(number)
    }
  }

  replace(found: FoundSegment, entry: SegmentEntry): void {
    this.#own(found.chunk)[found.index] = entry
  }

  remove(found: FoundSegment): void {
    const entries = this.#own(found.chunk)
    entries.splice(found.index, 1)
    if (entries.length === 0) this.#chunks.splice(found.chunk, 1)
    else if (entries.length < MANIFEST_PAGE_ENTRIES_MAX / 4) this.#join(found.chunk)
  }

  #own(number: number): SegmentEntry[] {
    const chunk = present(this.#chunks[number], 'a chunk')
    if (!(chunk instanceof SegmentChunk)) return chunk
    const entries = chunk.toArray()
    this.#chunks[number] = entries
    return entries
  }

  #split(number: number): void {
    const entries = this.#own(number)
    this.#chunks.splice(number + 1, 0, entries.splice(entries.length >> 1))
  }

  /** Puts a chunk that shrank into the one behind it, where both are small. */
  #join(number: number): void {
    const next = this.#chunks[number + 1]
    const length = (this.#chunks[number]?.length ?? 0) + (next?.length ?? Infinity)
    if (length > MANIFEST_PAGE_ENTRIES_MAX / 2) return
    this.#own(number).push(...this.#own(number + 1))
    this.#chunks.splice(number + 1, 1)
  }
}

/** The first chunk that ends after `offset`; their number when all end before. */
function chunkAt(chunks: readonly (SegmentChunk | SegmentEntry[])[], offset: number): number {
  let low = 0
  let high = chunks.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (endOf(present(chunks[middle], 'a chunk')) <= offset) low = middle + 1
    else high = middle
  }
  return low
}

function endOf(chunk: SegmentChunk | SegmentEntry[]): number {
  return chunk instanceof SegmentChunk ? chunk.endOffset : (chunk.at(-1)?.endOffset ?? 0)
}

function indexIn(entries: readonly SegmentEntry[], offset: number): number {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((entries[middle]?.endOffset ?? Infinity) <= offset) low = middle + 1
    else high = middle
  }
  return low
}

function lastAtOrBelow(starts: readonly number[], index: number): number {
  let low = 0
  let high = starts.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((starts[middle] ?? Infinity) <= index) low = middle + 1
    else high = middle
  }
  return low - 1
}

function copiesOf(chunk: SegmentChunk, tier: 'disk' | 'object'): number {
  return tier === 'disk' ? chunk.onDisk : chunk.inStore
}
