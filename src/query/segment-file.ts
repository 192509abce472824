/** Reads one segment of a local file, block by block. Checks are segment-reader's: nothing is used before. */
import { present } from '../base/assert.ts'
import { type Range, rangeLength } from '../base/range.ts'
import { StratalogError } from '../base/errors.ts'
import type { ColumnData } from '../format/column.ts'
import {
  SEGMENT_TAIL_BYTES,
  type SegmentDictionaries,
  decodeDictionaries,
  decodeRows,
  parseSegmentTail,
  rowRanges,
} from '../format/segment-reader.ts'
import type { OffsetRows } from '../format/sparse-rows.ts'
import type { SegmentFacts } from '../format/segment.ts'
import type { SyncFile, SyncFileSystem } from '../storage/file-system.ts'
import type { FilePlace, PartFile } from '../storage/part-files.ts'

/** Where the bytes of a segment are: in one file, from a position on, or the wanted parts of them in several. */
export interface SegmentPlace {
  readonly path: string
  readonly position: number
  readonly length: number
  readonly files?: readonly PartFile[]
}

export class SegmentFile {
  readonly facts: SegmentFacts
  readonly #read: (range: Range) => Uint8Array
  readonly #close: () => void
  readonly #dictionaries = new Map<number, SegmentDictionaries>()
  #preamble: Uint8Array | null = null

  /** @throws StratalogError `file_not_found`, `segment_corrupt`, `format_unsupported`. */
  static open(files: SyncFileSystem, place: SegmentPlace): SegmentFile {
    const { length } = place
    const bytes =
      place.files === undefined ? wholeFile(files, place) : partFiles(files, place.files)
    try {
      const first = bytes.tailStart ?? Math.max(0, length - SEGMENT_TAIL_BYTES)
      let tail = parseSegmentTail(bytes.read({ start: first, end: length }), length)
      if (tail.kind === 'more') {
        const start = Math.max(0, length - tail.tailBytes)
        tail = parseSegmentTail(bytes.read({ start, end: length }), length)
      }
      if (tail.kind === 'facts') return new SegmentFile(tail.facts, bytes)
      throw new StratalogError('segment_corrupt', 'The footer of a segment is longer than it says.')
    } catch (error) {
      bytes.close()
      throw error
    }
  }

  private constructor(facts: SegmentFacts, { read, close }: PlacedBytes) {
    this.facts = facts
    this.#read = read
    this.#close = close
  }

  /** A block's rows with only the wanted columns, by position in `facts.schema`. */
  readBlock(index: number, columns: readonly number[]): OffsetRows {
    return decodeRows(this.facts, index, this.#read, this.#dictionariesOf(columns), columns)
  }

  /** The dictionary of a column, by position in `facts.schema`; null where it has none. */
  dictionary(column: number): ColumnData | null {
    return this.#dictionariesOf([column]).get(column) ?? null
  }

  /** Stored bytes that `readBlock` reads. */
  blockBytes(index: number, columns: readonly number[]): number {
    const ranges = rowRanges(this.facts, index, columns)
    return ranges.reduce((sum, range) => sum + rangeLength(range), 0)
  }

  close(): void {
    this.#close()
  }

  /** Each dictionary is decoded once, so that all blocks share one object. */
  #dictionariesOf(columns: readonly number[]): SegmentDictionaries {
    const encoded = this.facts.dictionaries.map((dictionary) => dictionary.column)
    const all = new Map<number, NonNullable<ReturnType<SegmentDictionaries['get']>>>()
    for (const column of columns) {
      if (!encoded.includes(column)) continue
      let decoded = this.#dictionaries.get(column)
      if (decoded === undefined) {
        this.#preamble ??= this.#read({ start: 0, end: this.facts.preambleLength })
        decoded = decodeDictionaries(this.facts, this.#preamble, [column])
        this.#dictionaries.set(column, decoded)
      }
      all.set(column, present(decoded.get(column), 'a dictionary'))
    }
    return all
  }
}

interface PlacedBytes {
  /** Exactly that range. @throws StratalogError `segment_corrupt` where it is not all there. */
  readonly read: (range: Range) => Uint8Array
  readonly close: () => void
  /** Known where only parts are there: nothing before it can be read along. */
  readonly tailStart: number | null
}

function wholeFile(files: SyncFileSystem, { path, position }: SegmentPlace): PlacedBytes {
  const file = files.open(path, 'read')
  return {
    read: (range) => readExactly(file, position + range.start, range),
    close: () => file.close(),
    tailStart: null,
  }
}

function partFiles(files: SyncFileSystem, parts: readonly PartFile[]): PlacedBytes {
  const open = new Map<string, SyncFile>()
  const places = new Map<number, FilePlace & { readonly path: string }>()
  let tail = 0
  for (const { path, places: own } of parts) {
    for (const place of own) {
      places.set(place.start, { ...place, path })
      tail = Math.max(tail, place.start)
    }
  }
  const fileOf = (path: string): SyncFile => {
    const file = open.get(path) ?? files.open(path, 'read')
    open.set(path, file)
    return file
  }
  return {
    read: (range) => {
      const place = places.get(range.start)
      if (place?.end !== range.end)
        throw new StratalogError(
          'segment_corrupt',
          `Bytes ${range.start} to ${range.end} of a segment were not fetched.`,
        )
      return readExactly(fileOf(place.path), place.position, range)
    },
    close: () => {
      for (const file of open.values()) file.close()
    },
    tailStart: tail,
  }
}

function readExactly(file: SyncFile, position: number, { start, end }: Range): Uint8Array {
  const bytes = new Uint8Array(end - start)
  if (file.read(bytes, position) === bytes.length) return bytes
  throw new StratalogError('segment_corrupt', `A segment file ends before byte ${end}.`, {
    details: { position: end },
  })
}
