/**
 * A page of a manifest base: up to MANIFEST_PAGE_ENTRIES_MAX segments of one or many partitions. Immutable, and named
 * by the SHA-256 of its index, which holds that of its statistics: equal names are equal pages. Little endian.
 *
 *      0    8  'STLGPAGE'
 *      8    4  u32  format version, 1
 *     12    4  u32  runs R
 *     16    4  u32  segments N
 *     20    4  u32  bytes of the names M
 *     24    4  u32  bytes of the statistics as stored
 *     28    4  u32  bytes of the statistics as JSON
 *     32   32       SHA-256 of the statistics as stored
 *     64  16R       runs: log id f64, partition u32, segments u32
 *         96N  f64  baseOffset N times, then endOffset, timeMin, timeMax, appendTimeMin, appendTimeMax, rawBytes,
 *                   length, disk position, object position, records, latestTo: 0 where every offset has its record
 *         12N  u32  schemaId N times, then disk name, object name: 0 no copy, 1 the name that paths.ts makes of
 *                   the segment, n + 2 the n-th of the names
 *         32N       SHA-256 of the segments
 *          1N   u8  format: 0 arrow, 1 parquet
 *           M       names: a JSON array of texts
 *          4   u32  CRC-32C of everything before: a page under another name is still checked
 *     (end of the index; statistics follow)
 *                   an LZ4 frame of a JSON array with an array for each segment, as in a `segment-added` edit
 *
 * Times of a segment without any are infinite. The columns stay as they were read: entries are made of them one at a
 * time, and statistics are taken apart when somebody asks for those of a segment.
 */
import { StratalogError } from '../base/errors.ts'
import { crc32c, sha256Hex } from './checksum.ts'
import { type Fail, JsonFields, parseJson } from './json-fields.ts'
import { MANIFEST_PAGE_ENTRIES_MAX } from './limits.ts'
import { compressFrame, decompressFrame } from './lz4.ts'
import { statisticsJson, statisticsOf } from './manifest-edit-json.ts'
import { isSafePath, segmentKey, segmentPath } from './paths.ts'
import type { ChunkSource, PageName, SegmentChunk } from './segment-chunk.ts'
import { type Location, type SegmentEntry, recordsIn } from './segment-entry.ts'
import type { ColumnStatistics } from './segment.ts'

export const MANIFEST_PAGE_FORMAT_VERSION: number = 1

/** Segments of one partition that follow each other. */
export interface PageRun {
  readonly logId: number
  readonly partition: number
  readonly chunk: SegmentChunk
}

/** A run that was read: what a chunk has its entries from. */
export interface StoredRun {
  readonly logId: number
  readonly partition: number
  readonly source: ChunkSource
  readonly schemaIdMax: number
}

const MAGIC = 'STLGPAGE'
const HEADER_BYTES = 64
const RUN_BYTES = 16
const HASH_BYTES = 32
const CHECKSUM_BYTES = 4
const NUMBERS = [
  'baseOffset',
  'endOffset',
  'timeMin',
  'timeMax',
  'appendTimeMin',
  'appendTimeMax',
  'rawBytes',
  'length',
] as const
const DISK_POSITION = NUMBERS.length
const OBJECT_POSITION = DISK_POSITION + 1
const RECORDS = OBJECT_POSITION + 1
const LATEST_TO = RECORDS + 1
const F64_COLUMNS = LATEST_TO + 1
const [SCHEMA_ID, DISK_NAME, OBJECT_NAME] = [0, 1, 2]
const U32_COLUMNS = 3
const [NO_COPY, MADE_NAME, FIRST_NAME] = [0, 1, 2]
const COPIES = {
  disk: [DISK_NAME, DISK_POSITION, segmentPath],
  object: [OBJECT_NAME, OBJECT_POSITION, segmentKey],
} as const

/** Where the parts of an index lie. */
function layoutOf(
  runs: number,
  entries: number,
): Readonly<Record<'f64' | 'u32' | 'hashes' | 'formats' | 'names', number>> {
  const f64 = HEADER_BYTES + RUN_BYTES * runs
  const u32 = f64 + 8 * F64_COLUMNS * entries
  const hashes = u32 + 4 * U32_COLUMNS * entries
  const formats = hashes + HASH_BYTES * entries
  return { f64, u32, hashes, formats, names: formats + entries }
}

export function encodePage(runs: readonly PageRun[]): {
  readonly page: PageName
  readonly bytes: Uint8Array
} {
  const count = runs.reduce((sum, { chunk }) => sum + chunk.length, 0)
  const layout = layoutOf(runs.length, count)
  const index = new Uint8Array(layout.names)
  const view = new DataView(index.buffer)
  const numbers = new Float64Array(index.buffer, layout.f64, F64_COLUMNS * count)
  const words = new Uint32Array(index.buffer, layout.u32, U32_COLUMNS * count)
  const names: string[] = []
  const numberOf = new Map<string, number>()
  const codeOf = (copy: Location | null, made: string): number => {
    if (copy === null) return NO_COPY
    if (copy.object === made) return MADE_NAME
    const number = numberOf.get(copy.object) ?? names.push(copy.object) - 1
    numberOf.set(copy.object, number)
    return number + FIRST_NAME
  }
  const statistics: unknown[] = []
  let row = 0
  for (const [position, { logId, partition, chunk }] of runs.entries()) {
    const at = HEADER_BYTES + RUN_BYTES * position
    view.setFloat64(at, logId, true)
    view.setUint32(at + 8, partition, true)
    view.setUint32(at + 12, chunk.length, true)
    for (const entry of chunk.toArray()) {
      const name = { ...entry, logId, partition }
      for (const [column, field] of NUMBERS.entries()) numbers[column * count + row] = entry[field]
      numbers[DISK_POSITION * count + row] = entry.disk?.position ?? 0
      numbers[OBJECT_POSITION * count + row] = entry.object?.position ?? 0
      numbers[RECORDS * count + row] = recordsIn(entry)
      numbers[LATEST_TO * count + row] = entry.sparse?.latestTo ?? 0
      words[SCHEMA_ID * count + row] = entry.schemaId
      words[DISK_NAME * count + row] = codeOf(entry.disk, segmentPath(name))
      words[OBJECT_NAME * count + row] = codeOf(entry.object, segmentKey(name))
      index.set(Buffer.from(entry.sha256, 'hex'), layout.hashes + HASH_BYTES * row)
      index[layout.formats + row] = entry.format === 'parquet' ? 1 : 0
      statistics.push(entry.statistics.map(statisticsJson))
      row++
    }
  }
  const json = Buffer.from(JSON.stringify(statistics))
  const stored = compressFrame(json)
  const nameBytes = Buffer.from(JSON.stringify(names))
  index.set(Buffer.from(MAGIC, 'latin1'))
  const header = [
    MANIFEST_PAGE_FORMAT_VERSION,
    runs.length,
    count,
    nameBytes.length,
    stored.length,
    json.length,
  ]
  for (const [position, value] of header.entries()) view.setUint32(8 + 4 * position, value, true)
  index.set(Buffer.from(sha256Hex(stored), 'hex'), 32)
  const checksum = Buffer.alloc(CHECKSUM_BYTES)
  checksum.writeUInt32LE(crc32c(nameBytes, crc32c(index)))
  const bytes = Buffer.concat([index, nameBytes, checksum, stored])
  const indexBytes = bytes.length - stored.length
  const sha256 = sha256Hex(bytes.subarray(0, indexBytes))
  return { page: { sha256, bytes: bytes.length, chunks: runs.length, entries: count }, bytes }
}

/**
 * The runs of a page in their order.
 * @param sha256 what it is named by; null where its own checksum has to do.
 * @param file the name, for messages.
 * @throws StratalogError `manifest_corrupt`, `format_unsupported`.
 */
export function decodePage(
  given: Uint8Array,
  sha256: string | null,
  file: string,
): readonly StoredRun[] {
  const fail: Fail = (reason, cause) => {
    throw new StratalogError('manifest_corrupt', `${file} is damaged: ${reason}.`, {
      cause,
      details: { file, reason },
    })
  }
  // Columns are read as arrays of numbers, which begin at multiples of their width.
  const bytes = given.byteOffset % 8 === 0 ? given : Uint8Array.from(given)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < HEADER_BYTES || Buffer.from(bytes.subarray(0, 8)).toString('latin1') !== MAGIC)
    return fail('it is no page')
  const [version = 0, runCount = 0, count = 0, nameBytes = 0, storedBytes = 0, jsonBytes = 0] =
    Array.from({ length: 6 }, (_, index) => view.getUint32(8 + 4 * index, true))
  if (version !== MANIFEST_PAGE_FORMAT_VERSION) {
    throw new StratalogError(
      'format_unsupported',
      `${file} has page format ${version}; this program knows ${MANIFEST_PAGE_FORMAT_VERSION}.`,
      { details: { file, given: version, known: [MANIFEST_PAGE_FORMAT_VERSION] } },
    )
  }
  if (count > MANIFEST_PAGE_ENTRIES_MAX || runCount > count) fail('it holds too much')
  const layout = layoutOf(runCount, count)
  const namesEnd = layout.names + nameBytes
  const indexBytes = namesEnd + CHECKSUM_BYTES
  if (indexBytes + storedBytes !== bytes.length) fail('its length is wrong')
  const isIndex =
    sha256 === null
      ? crc32c(bytes.subarray(0, namesEnd)) === view.getUint32(namesEnd, true)
      : sha256Hex(bytes.subarray(0, indexBytes)) === sha256
  if (!isIndex) fail('the checksum of its index is wrong')
  const stored = bytes.subarray(indexBytes)
  if (sha256Hex(stored) !== Buffer.from(bytes.subarray(32, 64)).toString('hex'))
    fail('the checksum of its statistics is wrong')
  const names = parseJson(bytes.subarray(layout.names, namesEnd), fail)
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string' && isSafePath(name)))
    return fail('its names are not safe')
  const columns = {
    count,
    numbers: new Float64Array(bytes.buffer, bytes.byteOffset + layout.f64, F64_COLUMNS * count),
    words: new Uint32Array(bytes.buffer, bytes.byteOffset + layout.u32, U32_COLUMNS * count),
    hashes: bytes.subarray(layout.hashes, layout.formats),
    formats: bytes.subarray(layout.formats, layout.names),
    names: names as readonly string[],
  }
  const reason = wrongColumn(columns)
  if (reason !== null) fail(reason)
  const page = new StoredPage(columns, new StoredStatistics(stored, jsonBytes, count, fail))
  const runs: StoredRun[] = []
  let first = 0
  for (let position = 0; position < runCount; position++) {
    const at = HEADER_BYTES + RUN_BYTES * position
    const logId = view.getFloat64(at, true)
    const length = view.getUint32(at + 12, true)
    if (!Number.isSafeInteger(logId) || length === 0 || first + length > count)
      fail('a run is wrong')
    runs.push(page.run(logId, view.getUint32(at + 8, true), first, length))
    first += length
  }
  if (first !== count) fail('its runs are not all of it')
  return runs
}

interface Columns {
  readonly count: number
  readonly numbers: Float64Array
  readonly words: Uint32Array
  readonly hashes: Uint8Array
  readonly formats: Uint8Array
  readonly names: readonly string[]
}

/** What is wrong with a column; a page with the right checksum has nothing, unless another program wrote it. */
function wrongColumn({ count, numbers, words, formats, names }: Columns): string | null {
  for (let row = 0; row < numbers.length; row++) {
    if (Number.isSafeInteger(numbers[row])) continue
    const none = row < 3 * count ? Infinity : -Infinity
    if (row < 2 * count || row >= 4 * count || numbers[row] !== none)
      return 'a number is not a whole one'
  }
  const namesEnd = names.length + FIRST_NAME
  for (let row = 0; row < count; row++) {
    const disk = words[DISK_NAME * count + row] ?? NO_COPY
    const object = words[OBJECT_NAME * count + row] ?? NO_COPY
    if (disk === NO_COPY && object === NO_COPY) return 'a segment has no copy'
    if (disk >= namesEnd || object >= namesEnd) return 'a name is missing'
    if ((formats[row] ?? 0) > 1) return 'a format is unknown'
    const offsets = (numbers[count + row] ?? 0) - (numbers[row] ?? 0)
    const records = numbers[RECORDS * count + row] ?? 0
    const isSparse = (numbers[LATEST_TO * count + row] ?? 0) > 0
    if (records < 1 || records > offsets || isSparse !== records < offsets)
      return 'a segment cannot have so many records'
  }
  return null
}

/** The statistics of a page, taken apart when they are wanted and kept while something else does. */
class StoredStatistics {
  readonly #stored: Uint8Array
  readonly #jsonBytes: number
  readonly #count: number
  readonly #fail: Fail
  #parsed: WeakRef<readonly unknown[]> | null = null

  constructor(stored: Uint8Array, jsonBytes: number, count: number, fail: Fail) {
    this.#stored = stored
    this.#jsonBytes = jsonBytes
    this.#count = count
    this.#fail = fail
  }

  of(row: number): readonly ColumnStatistics[] {
    const own = this.#all()[row]
    if (!Array.isArray(own)) return this.#fail('a segment has no statistics')
    return own.map((value, column) =>
      statisticsOf(new JsonFields(value, `statistics[${row}][${column}]`, this.#fail)),
    )
  }

  #all(): readonly unknown[] {
    const kept = this.#parsed?.deref()
    if (kept !== undefined) return kept
    const parsed = parseJson(decompressFrame(this.#stored, this.#jsonBytes), this.#fail)
    if (!Array.isArray(parsed) || parsed.length !== this.#count)
      return this.#fail('its statistics are not of its segments')
    this.#parsed = new WeakRef(parsed)
    return parsed
  }
}

class StoredPage {
  readonly #columns: Columns
  readonly #statistics: StoredStatistics

  constructor(columns: Columns, statistics: StoredStatistics) {
    this.#columns = columns
    this.#statistics = statistics
  }

  run(logId: number, partition: number, first: number, length: number): StoredRun {
    const { count, words, formats } = this.#columns
    const schemaIds = words.subarray(SCHEMA_ID * count + first, SCHEMA_ID * count + first + length)
    const nameColumn = { disk: DISK_NAME, object: OBJECT_NAME }
    const source: ChunkSource = {
      length,
      at: (index) => this.#entry(logId, partition, first + index),
      baseOffset: (index) => this.#number(0, first + index),
      endOffset: (index) => this.#number(1, first + index),
      hasCopy: (index, tier) => words[nameColumn[tier] * count + first + index] !== NO_COPY,
      isArrow: (index) => formats[first + index] !== 1,
    }
    return { logId, partition, source, schemaIdMax: schemaIds.reduce((a, b) => Math.max(a, b), 0) }
  }

  #number(column: number, row: number): number {
    return this.#columns.numbers[column * this.#columns.count + row] ?? 0
  }

  #entry(logId: number, partition: number, row: number): SegmentEntry {
    const { count, words, hashes, formats } = this.#columns
    const statistics = this.#statistics
    const format = formats[row] === 1 ? 'parquet' : 'arrow'
    const [baseOffset, length] = [this.#number(0, row), this.#number(7, row)]
    const sha256 = (): string => {
      const hash = hashes.subarray(HASH_BYTES * row, HASH_BYTES * (row + 1))
      return Buffer.from(hash.buffer, hash.byteOffset, HASH_BYTES).toString('hex')
    }
    const copy = (tier: 'disk' | 'object'): Location | null => {
      const [names, positions, make] = COPIES[tier]
      const code = words[names * count + row] ?? NO_COPY
      if (code === NO_COPY) return null
      const object =
        code === MADE_NAME
          ? make({ logId, partition, baseOffset, sha256: sha256(), format })
          : (this.#columns.names[code - FIRST_NAME] ?? '')
      return { object, position: this.#number(positions, row), length }
    }
    const latestTo = this.#number(LATEST_TO, row)
    const sparse =
      latestTo === 0 ? {} : { sparse: { records: this.#number(RECORDS, row), latestTo } }
    // Texts are made when they are asked for: whoever walks over many entries wants few of them.
    return {
      ...sparse,
      baseOffset,
      endOffset: this.#number(1, row),
      schemaId: words[SCHEMA_ID * count + row] ?? 0,
      timeMin: this.#number(2, row),
      timeMax: this.#number(3, row),
      appendTimeMin: this.#number(4, row),
      appendTimeMax: this.#number(5, row),
      rawBytes: this.#number(6, row),
      length,
      get sha256(): string {
        return sha256()
      },
      format,
      get statistics(): readonly ColumnStatistics[] {
        return statistics.of(row)
      },
      get disk(): Location | null {
        return copy('disk')
      },
      get object(): Location | null {
        return copy('object')
      },
    }
  }
}
