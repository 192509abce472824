/** Reads one segment of a local file, block by block. Checks are segment-reader's: nothing is used before. */
import { present } from '../base/assert.ts'
import { type Range, rangeLength } from '../base/range.ts'
import { StratalogError } from '../base/errors.ts'
import type { ColumnData } from '../format/column.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import {
  SEGMENT_TAIL_BYTES,
  type SegmentDictionaries,
  blockRanges,
  decodeBlock,
  decodeDictionaries,
  parseSegmentTail,
} from '../format/segment-reader.ts'
import type { SegmentFacts } from '../format/segment.ts'
import type { SyncFile, SyncFileSystem } from '../storage/file-system.ts'

export class SegmentFile {
  readonly facts: SegmentFacts
  readonly #file: SyncFile
  readonly #position: number
  readonly #dictionaries = new Map<number, SegmentDictionaries>()
  #preamble: Uint8Array | null = null

  /** @throws StratalogError `file_not_found`, `segment_corrupt`, `format_unsupported`. */
  static open(files: SyncFileSystem, path: string, position: number, length: number): SegmentFile {
    const file = files.open(path, 'read')
    try {
      return new SegmentFile(file, position, length)
    } catch (error) {
      file.close()
      throw error
    }
  }

  private constructor(file: SyncFile, position: number, length: number) {
    this.#file = file
    this.#position = position
    let tail = parseSegmentTail(
      this.#read(Math.max(0, length - SEGMENT_TAIL_BYTES), length),
      length,
    )
    if (tail.kind === 'more')
      tail = parseSegmentTail(this.#read(Math.max(0, length - tail.tailBytes), length), length)
    if (tail.kind === 'more')
      throw new StratalogError('segment_corrupt', 'The footer of a segment is longer than it says.')
    this.facts = tail.facts
  }

  /** A block's records with only the wanted columns, by position in `facts.schema`. */
  readBlock(index: number, columns: readonly number[]): RecordBatch {
    const bytesOf = ({ start, end }: Range): Uint8Array => this.#read(start, end)
    return decodeBlock(this.facts, index, bytesOf, this.#dictionariesOf(columns), columns)
  }

  /** The dictionary of a column, by position in `facts.schema`; null where it has none. */
  dictionary(column: number): ColumnData | null {
    return this.#dictionariesOf([column]).get(column) ?? null
  }

  /** Stored bytes that `readBlock` reads. */
  blockBytes(index: number, columns: readonly number[]): number {
    const ranges = blockRanges(this.facts, index, columns)
    return ranges.reduce((sum, range) => sum + rangeLength(range), 0)
  }

  close(): void {
    this.#file.close()
  }

  /** Each dictionary is decoded once, so that all blocks share one object. */
  #dictionariesOf(columns: readonly number[]): SegmentDictionaries {
    const encoded = this.facts.dictionaries.map((dictionary) => dictionary.column)
    const all = new Map<number, NonNullable<ReturnType<SegmentDictionaries['get']>>>()
    for (const column of columns) {
      if (!encoded.includes(column)) continue
      let decoded = this.#dictionaries.get(column)
      if (decoded === undefined) {
        this.#preamble ??= this.#read(0, this.facts.preambleLength)
        decoded = decodeDictionaries(this.facts, this.#preamble, [column])
        this.#dictionaries.set(column, decoded)
      }
      all.set(column, present(decoded.get(column), 'a dictionary'))
    }
    return all
  }

  #read(start: number, end: number): Uint8Array {
    const bytes = new Uint8Array(end - start)
    if (this.#file.read(bytes, this.#position + start) === bytes.length) return bytes
    throw new StratalogError('segment_corrupt', `A segment file ends before byte ${end}.`, {
      details: { position: end },
    })
  }
}
