/**
 * Reads segments; see segment-writer.ts and parquet-writer.ts for the layouts. Pure: positions and
 * lengths in, bytes in, columns out.
 *
 * Nothing is believed before a checksum of ours over the stored bytes was verified: the tail's
 * covers the facts, the facts' cover the preamble and each part of a block. Only then do bytes reach a
 * decoder of flatbuffers, Thrift, LZ4 or Zstandard, and these are held to the lengths that the facts
 * allow. All damage is `segment_corrupt` with the position in the segment; bytes that were damaged on
 * purpose, checksums included, give the same error or other values, never a read out of range.
 *
 * Columns may lie over the bytes they were decoded from, which the caller leaves unchanged while
 * they are in use.
 */
import { Footer } from 'apache-arrow/fb/footer'
import { ByteBuffer, Encoding } from 'flatbuffers'
import { assert, present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import type { Range } from '../base/range.ts'
import { ARROW_MAGIC, END_OF_STREAM } from './arrow-message.ts'
import { parseBatchMessage } from './arrow-message-reader.ts'
import { crc32c } from './checksum.ts'
import type { ColumnData } from './column.ts'
import { type StoredRange, columnShapes, storedColumns } from './column-layout.ts'
import type { Fail } from './json-fields.ts'
import { SEGMENT_FOOTER_BYTES_MAX } from './limits.ts'
import { decodeParquetColumn } from './parquet-column.ts'
import { parquetColumns } from './parquet-layout.ts'
import { isParquetTail, parquetFacts, parquetTailLength } from './parquet-tail.ts'
import type { RecordBatch } from './record-batch.ts'
import type { Field } from './schema.ts'
import { columnShape, decodeCodedColumn, decodePlainColumn } from './segment-column.ts'
import { FACTS_KEY, TAIL_MAGIC, decodeSegmentFacts } from './segment-facts.ts'
import { type BatchFacts, type DictionaryFacts, type SegmentFacts, blockEnd } from './segment.ts'
import { type OffsetRows, storedFields, takeOffsets } from './sparse-rows.ts'

/** What to read of a segment's end at first: enough for the facts of most. */
export const SEGMENT_TAIL_BYTES = 65_536

/** Dictionaries by position of their column. */
export type SegmentDictionaries = ReadonlyMap<number, ColumnData>

/** The facts, or how many of the segment's last bytes it takes to read them. */
export type SegmentTail =
  | { readonly kind: 'facts'; readonly facts: SegmentFacts }
  | { readonly kind: 'more'; readonly tailBytes: number }

/** Footer length and magic at the very end. */
const END_BYTES = 4 + ARROW_MAGIC.length
/** What stands before the footer: end of stream, our magic, the checksum. */
const BEFORE_FOOTER_BYTES = END_OF_STREAM.length + TAIL_MAGIC.length + 4

/**
 * The facts of a segment of `length` bytes, from its last bytes.
 *
 * @throws StratalogError `segment_corrupt`, and `format_unsupported` for a version that this
 * program does not know.
 */
export function parseSegmentTail(tail: Uint8Array, length: number): SegmentTail {
  assert(tail.length <= length, 'a tail is no longer than its segment')
  const fail = failAt(Math.max(0, length - tail.length))
  const needed = tailLength(tail, length, fail)
  if (tail.length < needed) return { kind: 'more', tailBytes: needed }
  const bytes = tail.subarray(tail.length - needed)
  const tailPosition = length - needed
  if (isParquetTail(tail)) {
    const json = parquetFacts(bytes, fail)
    return { kind: 'facts', facts: decodeSegmentFacts(json, 'parquet', tailPosition, fail) }
  }
  if (!equals(bytes.subarray(0, END_OF_STREAM.length), END_OF_STREAM))
    fail('its blocks have no end')
  if (
    !equals(
      bytes.subarray(END_OF_STREAM.length, END_OF_STREAM.length + TAIL_MAGIC.length),
      TAIL_MAGIC,
    )
  ) {
    fail('its footer has no checksum')
  }
  const covered = bytes.subarray(BEFORE_FOOTER_BYTES)
  if (crc32c(covered) !== dataView(bytes).getUint32(BEFORE_FOOTER_BYTES - 4, true)) {
    fail("its footer does not match the footer's checksum")
  }
  const json = factsJson(covered.subarray(0, covered.length - END_BYTES), fail)
  return { kind: 'facts', facts: decodeSegmentFacts(json, 'arrow', tailPosition, fail) }
}

/** Where the tail begins: blocks fill all before it. */
export function tailStart({ batches, preambleLength }: SegmentFacts): number {
  const last = batches.at(-1)
  return last === undefined ? preambleLength : last.position + last.metadataLength + last.bodyLength
}

/** How long the tail is, as far as the given bytes tell. */
function tailLength(tail: Uint8Array, length: number, fail: Fail): number {
  if (length < END_BYTES + BEFORE_FOOTER_BYTES) fail('it is too short for a segment')
  if (tail.length < END_BYTES) return Math.min(length, SEGMENT_TAIL_BYTES)
  if (isParquetTail(tail)) return parquetTailLength(tail, length, fail)
  const end = tail.subarray(tail.length - END_BYTES)
  if (!equals(end.subarray(4), ARROW_MAGIC))
    fail('it ends neither as an Arrow nor as a Parquet file')
  const footerLength = dataView(end).getUint32(0, true)
  const needed = footerLength + END_BYTES + BEFORE_FOOTER_BYTES
  if (footerLength > SEGMENT_FOOTER_BYTES_MAX || needed > length)
    fail(`its footer cannot have ${footerLength} bytes`)
  return needed
}

function factsJson(bytes: Uint8Array, fail: Fail): Uint8Array {
  const pair = Footer.getRootAsFooter(new ByteBuffer(bytes)).customMetadata(0)
  const key = pair?.key(Encoding.UTF8_BYTES)
  const value = pair?.value(Encoding.UTF8_BYTES)
  if (
    !(key instanceof Uint8Array) ||
    !(value instanceof Uint8Array) ||
    !equals(key, Buffer.from(FACTS_KEY))
  ) {
    return fail('its footer has no facts')
  }
  // Copied, since text is not decoded from shared memory.
  return new Uint8Array(value)
}

/**
 * The dictionaries of a segment, or of the wanted `columns` of it.
 *
 * @param preamble its first `facts.preambleLength` bytes.
 * @throws StratalogError `segment_corrupt`.
 */
export function decodeDictionaries(
  facts: SegmentFacts,
  preamble: Uint8Array,
  columns?: readonly number[],
): SegmentDictionaries {
  const fail = failAt(0)
  const { preambleLength } = facts
  if (preamble.length !== preambleLength)
    fail(`its preamble has ${preamble.length} bytes, not ${preambleLength}`)
  if (crc32c(preamble) !== facts.preambleChecksum) fail('its preamble does not match its checksum')
  const wanted = facts.dictionaries.filter(
    ({ column }) => columns === undefined || columns.includes(column),
  )
  return new Map(
    wanted.map((dictionary) => [dictionary.column, decodeDictionary(dictionary, preamble)]),
  )
}

function decodeDictionary(dictionary: DictionaryFacts, preamble: Uint8Array): ColumnData {
  const { column, length, position, metadataLength, bodyLength } = dictionary
  const fail = failAt(position)
  const bodyStart = position + metadataLength
  const expected = {
    bodyLength,
    length,
    dictionaryId: column,
    columns: [columnShape('utf8', false)],
  }
  const [place] = parseBatchMessage(preamble.subarray(position, bodyStart), expected, fail)
  if (place === undefined || place.nullCount > 0) return fail('a dictionary has nulls')
  return decodePlainColumn(
    preamble.subarray(bodyStart, bodyStart + bodyLength),
    place,
    'utf8',
    length,
    fail,
  )
}

/**
 * What is read of a block for all columns, or for the wanted ones: ranges of the segment that follow each other as they
 * lie there, each with its own checksum. Of all columns the message's metadata is read too, so that every byte is
 * verified; the wanted ones are decoded without it.
 */
export function blockRanges(
  facts: SegmentFacts,
  index: number,
  columns?: readonly number[],
): readonly StoredRange[] {
  const block = present(facts.batches[index], `block ${index}`)
  const stored = rangesOf(facts, block)
  if (columns === undefined) return [metadataRange(block), ...stored].filter(isFilled)
  const wanted = [...new Set(columns)].toSorted((a, b) => a - b)
  return wanted.map((position) => present(stored[position], `column ${position}`)).filter(isFilled)
}

/** @throws StratalogError `segment_corrupt` unless these are the bytes of the range. */
function verifyRange(range: StoredRange, bytes: Uint8Array): void {
  const fail = failAt(range.start)
  if (bytes.length !== range.end - range.start)
    fail(`a part has ${bytes.length} bytes, not ${range.end - range.start}`)
  if (crc32c(bytes) !== range.checksum) fail('a part of a block does not match its checksum')
}

/**
 * The rows of one block, as `decodeBlock` has them, and their offsets where these are not consecutive.
 * @throws StratalogError `segment_corrupt`.
 */
export function decodeRows(
  facts: SegmentFacts,
  index: number,
  bytesOf: (range: Range) => Uint8Array,
  dictionaries: SegmentDictionaries,
  columns?: readonly number[],
): OffsetRows {
  const batch = decodeBlock(facts, index, bytesOf, dictionaries, withOffsets(facts, columns))
  if (facts.sparse === undefined) return { batch, offsets: null }
  const block = present(facts.batches[index], `block ${index}`)
  const rows = takeOffsets(batch, blockEnd(block))
  return typeof rows === 'string' ? failAt(block.position)(rows) : rows
}

/** As `blockRanges`, with what says the offsets of the rows. */
export function rowRanges(
  facts: SegmentFacts,
  index: number,
  columns?: readonly number[],
): readonly StoredRange[] {
  return blockRanges(facts, index, withOffsets(facts, columns))
}

function withOffsets(
  { schema, sparse }: SegmentFacts,
  columns: readonly number[] | undefined,
): readonly number[] | undefined {
  return columns === undefined || sparse === undefined
    ? columns
    : [...columns, schema.fields.length]
}

/**
 * The records of one block, with all columns or the wanted ones in the order they are asked for;
 * others are neither verified nor decompressed. The batch's schema has the same columns.
 *
 * @param bytesOf the stored bytes of each of the block's `blockRanges`.
 * @param dictionaries those of the wanted columns at least.
 * @throws StratalogError `segment_corrupt`.
 */
export function decodeBlock(
  facts: SegmentFacts,
  index: number,
  bytesOf: (range: Range) => Uint8Array,
  dictionaries: SegmentDictionaries,
  columns?: readonly number[],
): RecordBatch {
  const block = present(facts.batches[index], `block ${index}`)
  const fields = storedFields(facts)
  const wanted = columns ?? fields.map((_, position) => position)
  const metadata = metadataRange(block)
  if (columns === undefined && isFilled(metadata)) verifyRange(metadata, bytesOf(metadata))
  const decode = columnDecoder(facts, block, dictionaries)
  const ranges = rangesOf(facts, block)
  const read = wanted.map((position) => {
    const range = present(ranges[position], `column ${position}`)
    const bytes = isFilled(range) ? bytesOf(range) : NO_BYTES
    verifyRange(range, bytes)
    return { position, bytes, fail: failAt(range.start) }
  })
  return {
    schema:
      columns === undefined && facts.sparse === undefined
        ? facts.schema
        : { id: facts.schema.id, fields: pick(fields, wanted) },
    baseOffset: block.baseOffset,
    length: block.length,
    columns: read.map(({ position, bytes, fail }) => decode(position, bytes, fail)),
    appendTimeMin: block.appendTimeMin,
    appendTimeMax: block.appendTimeMax,
  }
}

/** The ranges of a block's columns, by position in the schema. */
function rangesOf(facts: SegmentFacts, block: BatchFacts): readonly StoredRange[] {
  const fail = failAt(block.position)
  return facts.format === 'parquet'
    ? parquetColumns(block, facts, fail)
    : storedColumns(block, columnShapes(facts), fail)
}

type ColumnDecoder = (position: number, bytes: Uint8Array, fail: Fail) => ColumnData

function columnDecoder(
  facts: SegmentFacts,
  block: BatchFacts,
  dictionaries: SegmentDictionaries,
): ColumnDecoder {
  const fields = storedFields(facts)
  const failHere = failAt(block.position)
  if (facts.format === 'parquet') {
    const places = parquetColumns(block, facts, failHere)
    return (position, bytes, fail) => {
      const field = present(fields[position], 'a field')
      const place = present(places[position], `column ${position}`)
      return decodeParquetColumn(field, place, bytes, block.length, fail)
    }
  }
  const stored = storedColumns(block, columnShapes(facts), failHere)
  return (position, bytes, fail) => {
    const { place } = present(stored[position], `column ${position}`)
    if (!isEncoded(facts, position)) {
      const { type } = present(fields[position], 'a field')
      return decodePlainColumn(bytes, place, type, block.length, fail)
    }
    const dictionary = present(dictionaries.get(position), `the dictionary of column ${position}`)
    return decodeCodedColumn(bytes, place, dictionary, block.length, fail)
  }
}

const NO_BYTES = new Uint8Array(0)

function metadataRange({ position, metadataLength, metadataChecksum }: BatchFacts): StoredRange {
  return { start: position, end: position + metadataLength, checksum: metadataChecksum }
}

function isFilled({ start, end }: Range): boolean {
  return end > start
}

function isEncoded(facts: SegmentFacts, position: number): boolean {
  return facts.dictionaries.some((dictionary) => dictionary.column === position)
}

function pick(fields: readonly Field[], columns: readonly number[]): readonly Field[] {
  return columns.map((position) => present(fields[position], `column ${position}`))
}

function failAt(position: number): Fail {
  return (reason) => {
    throw new StratalogError(
      'segment_corrupt',
      `The segment is damaged near byte ${position}: ${reason}.`,
      {
        details: { position, reason },
      },
    )
  }
}

function equals(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

function dataView(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
