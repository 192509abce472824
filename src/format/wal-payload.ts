/**
 * Payloads of WAL frames. Little-endian; every part begins at a multiple of 8 and is followed by zeros up to the next.
 *
 * Append: rows of one schema as raw column buffers, so that writing is a copy per buffer and reading is a view.
 *
 *      0  u32  schema id
 *      4  u32  row count
 *      8  u32  column count
 *     12  u32  zero
 *     16       per column, 8 bytes:  u32  bit 0: validity present; bit 1: codes; bits 2–7 zero;
 *                                         bits 8–31: null count
 *                                    u32  bytes of values; of a list, how many items; of a struct, 0
 *              per column:           validity, (rows + 7) / 8 bytes, when present; bits after the last row are 0
 *                                    offsets, (rows + 1) × int32 from 0, for utf8, json, binary and lists
 *                                    values; none of a list and a struct
 *
 * A list is followed by the column of its items, a struct by the columns of its fields, in both places. Their null
 * counts are not written: 0 stands there.
 *
 * A frame is read alone, long after the dictionary of a column in RAM is gone. So a column with one brings all of its
 * words, where that is worth it (`wal-payload-codes.ts`), and is plain text elsewhere. With words, bit 1 of its first
 * number is set, the second counts the words, 1 to 256, and after the validity come:
 *
 *                                    codes of the words, rows × u8; under a null, 0
 *                                    offsets of the words, (words + 1) × int32 from 0
 *                                    bytes of the words
 *
 * Schema: the schema as JSON, `{"id":…,"fields":[{"name":…,"type":…,"nullable":…}]}`. Rule: a frame
 * of a schema lies in the WAL before the first append that uses it, unless the manifest already has
 * that schema; and a checkpoint moves past a schema frame only with or after the manifest commit
 * that holds the schema. So recovery knows every schema from the manifest and the frames it reads,
 * and recycling files never loses one.
 *
 * Seal: no payload.
 */
import { assert, present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { type ColumnData, bitmapBytes, countBits } from './column.ts'
import { type Fail, JsonFields, parseJson } from './json-fields.ts'
import { APPEND_BYTES_MAX, APPEND_ROWS_MAX, STORED_COLUMNS_MAX } from './limits.ts'
import {
  type ColumnLayout,
  type ColumnType,
  type Field,
  type Schema,
  columnLayout,
  isColumnType,
  storedColumnCount,
} from './schema.ts'
import { padded, setUint32, writeBytes, writeOffsets, writePadding } from './wal-payload-bytes.ts'
import {
  CODED_WORDS_MAX,
  codedBytes,
  isCoded,
  plainTextBytes,
  plainTextBytesMax,
  writeCoded,
  writePlainText,
} from './wal-payload-codes.ts'

export interface AppendPayload {
  readonly schemaId: number
  readonly rowCount: number
  /** Views over the payload: good for as long as its memory is. */
  readonly columns: readonly ColumnData[]
}

const HEADER_BYTES = 16
const ENTRY_BYTES = 8
const HAS_VALIDITY = 1
const HAS_CODES = 2
const UNKNOWN_FLAGS = 0xfc
const NULL_COUNT_SHIFT = 8

// --- Writing -------------------------------------------------------------------------------------------------------

/** Bytes of the payload for rows `[start, end)`: always a multiple of 8. */
export function appendPayloadBytes(
  columns: readonly ColumnData[],
  start: number,
  end: number,
): number {
  let bytes = HEADER_BYTES
  for (const column of columns) bytes += columnPayloadBytes(column, start, end)
  return bytes
}

/**
 * What an append is limited by: bytes of the payload if every text stood for itself, as in a segment. Less where all of
 * it is far below the limit.
 */
export function limitedPayloadBytes(
  columns: readonly ColumnData[],
  start: number,
  end: number,
  payloadBytes: number,
): number {
  let bytesMax = payloadBytes
  for (const { dictionary } of columns)
    if (dictionary !== null) bytesMax += plainTextBytesMax(dictionary, start, end)
  if (bytesMax <= APPEND_BYTES_MAX) return payloadBytes
  let bytes = HEADER_BYTES
  for (const column of columns) bytes += columnPayloadBytes(column, start, end, true)
  return bytes
}

/** With its entry, and with the columns inside. */
function columnPayloadBytes(
  column: ColumnData,
  start: number,
  end: number,
  isPlain = false,
): number {
  const { kind } = columnLayout(column.type)
  let bytes = ENTRY_BYTES
  if (column.validity !== null) bytes += padded(bitmapBytes(end - start))
  if (!isPlain && column.dictionary !== null && isCoded(column.dictionary, start, end))
    return bytes + codedBytes(column.dictionary, start, end)
  if (kind === 'variable' || kind === 'list') bytes += padded((end - start + 1) * 4)
  if (column.children === undefined) return bytes + padded(valueBytes(column, start, end))
  const from = column.offsets === null ? start : (column.offsets[start] ?? 0)
  const to = column.offsets === null ? end : (column.offsets[end] ?? 0)
  for (const child of column.children) bytes += columnPayloadBytes(child, from, to)
  return bytes
}

/**
 * Writes rows `[start, end)` at `position`; it and `into.byteOffset` are multiples of 8. Returns the
 * position after: `position + appendPayloadBytes(columns, start, end)`. Every byte in between is
 * written, zeros included.
 */
export function writeAppendPayload(
  into: Uint8Array,
  position: number,
  schemaId: number,
  columns: readonly ColumnData[],
  start: number,
  end: number,
): number {
  assert((into.byteOffset & 7) === 0 && (position & 7) === 0, 'a payload starts at a multiple of 8')
  setUint32(into, position, schemaId)
  setUint32(into, position + 4, end - start)
  setUint32(into, position + 8, columns.length)
  setUint32(into, position + 12, 0)
  let entry = position + HEADER_BYTES
  let at = entry
  for (const column of columns) at += entryBytes(column)
  for (const column of columns) {
    at = writeColumn(into, entry, at, column, start, end, false)
    entry += entryBytes(column)
  }
  return at
}

/** Of the entries of a column and of the columns inside. */
function entryBytes(column: ColumnData): number {
  return column.children === undefined ? ENTRY_BYTES : storedColumnCount(column.type) * ENTRY_BYTES
}

/** Writes the entries of a column at `entry` and its parts at `position`; returns the position after. */
function writeColumn(
  into: Uint8Array,
  entry: number,
  position: number,
  column: ColumnData,
  start: number,
  end: number,
  isInside: boolean,
): number {
  const { validity, offsets, children } = column
  let at = position
  let flags = 0
  if (validity !== null) {
    writeBits(into, at, validity, start, end)
    const nullCount = isInside ? 0 : end - start - countBits(into.subarray(at), end - start)
    flags = HAS_VALIDITY | (nullCount << NULL_COUNT_SHIFT)
    at = writePadding(into, at + bitmapBytes(end - start))
  }
  const { dictionary } = column
  if (dictionary !== null && isCoded(dictionary, start, end)) {
    setUint32(into, entry, flags | HAS_CODES)
    setUint32(into, entry + 4, dictionary.length)
    return writeCoded(into, at, column, dictionary, start, end)
  }
  setUint32(into, entry, flags)
  if (children === undefined) {
    const bytes = valueBytes(column, start, end)
    setUint32(into, entry + 4, bytes)
    return writeValues(into, at, column, start, end, bytes)
  }
  const from = offsets === null ? start : (offsets[start] ?? 0)
  const to = offsets === null ? end : (offsets[end] ?? 0)
  setUint32(into, entry + 4, offsets === null ? 0 : to - from)
  if (offsets !== null) at = writeOffsets(into, at, offsets, start, end)
  let inside = entry + ENTRY_BYTES
  for (const child of children) {
    at = writeColumn(into, inside, at, child, from, to, true)
    inside += entryBytes(child)
  }
  return at
}

/** Bytes of values in rows `[start, end)`, as written. */
function valueBytes(column: ColumnData, start: number, end: number): number {
  if (column.dictionary !== null) return plainTextBytes(column, column.dictionary, start, end)
  const layout = columnLayout(column.type)
  if (layout.kind === 'bits') return bitmapBytes(end - start)
  if (layout.kind === 'fixed') return (end - start) * layout.byteWidth
  const offsets = present(column.offsets, 'offsets of a variable column')
  return (offsets[end] ?? 0) - (offsets[start] ?? 0)
}

function writeValues(
  into: Uint8Array,
  position: number,
  column: ColumnData,
  start: number,
  end: number,
  bytes: number,
): number {
  if (column.dictionary !== null)
    return writePlainText(into, position, column, column.dictionary, start, end)
  const layout = columnLayout(column.type)
  if (layout.kind === 'bits') {
    writeBits(into, position, column.values, start, end)
    return writePadding(into, position + bytes)
  }
  if (layout.kind === 'fixed') {
    writeBytes(into, position, column.values, start * layout.byteWidth, bytes)
    return writePadding(into, position + bytes)
  }
  const offsets = present(column.offsets, 'offsets of a variable column')
  const at = writeOffsets(into, position, offsets, start, end)
  writeBytes(into, at, column.values, offsets[start] ?? 0, bytes)
  return writePadding(into, at + bytes)
}

/** Bits `[start, end)` of a bitmap from bit 0 on; bits after the last are 0. */
function writeBits(
  into: Uint8Array,
  position: number,
  bitmap: Uint8Array,
  start: number,
  end: number,
): void {
  const count = bitmapBytes(end - start)
  const first = start >> 3
  const shift = start & 7
  if (shift === 0) {
    writeBytes(into, position, bitmap, first, count)
  } else {
    for (let index = 0; index < count; index++) {
      const low = (bitmap[first + index] ?? 0) >> shift
      into[position + index] = low | ((bitmap[first + index + 1] ?? 0) << (8 - shift))
    }
  }
  const spare = count * 8 - (end - start)
  if (spare > 0) into[position + count - 1] = (into[position + count - 1] ?? 0) & (0xff >> spare)
}

// --- Reading -------------------------------------------------------------------------------------------------------

/** The schema id of an append's payload: what must be known before the rest can be read. @throws `wal_corrupt`. */
export function appendPayloadSchemaId(payload: Uint8Array): number {
  if (payload.length < HEADER_BYTES) return corrupt(`it has ${payload.length} bytes`)
  return uint32(payload, 0)
}

/**
 * The columns of an append, as views over `payload`, which must start at a multiple of 8 of its buffer.
 * Every count, length and offset is checked against the payload's bounds before it is used.
 * @throws StratalogError `wal_corrupt`.
 */
export function decodeAppendPayload(payload: Uint8Array, schema: Schema): AppendPayload {
  assert((payload.byteOffset & 7) === 0, 'a payload starts at a multiple of 8')
  const schemaId = appendPayloadSchemaId(payload)
  const rowCount = uint32(payload, 4)
  const columnCount = uint32(payload, 8)
  if (schemaId !== schema.id) return corrupt(`it has schema ${schemaId}, not ${schema.id}`)
  if (rowCount > APPEND_ROWS_MAX) return corrupt(`it counts ${rowCount} rows`)
  if (columnCount !== schema.fields.length || columnCount > STORED_COLUMNS_MAX) {
    return corrupt(`it counts ${columnCount} columns, its schema ${schema.fields.length}`)
  }
  if (uint32(payload, 12) !== 0) return corrupt('its header has unknown bits')
  const entryCount = schema.fields.reduce((sum, { type }) => sum + storedColumnCount(type), 0)
  const cursor = new PayloadCursor(payload, HEADER_BYTES, entryCount)
  const columns = schema.fields.map((field) => readColumn(cursor, field, rowCount, false))
  cursor.end()
  return { schemaId, rowCount, columns }
}

function readColumn(
  cursor: PayloadCursor,
  field: Field,
  rows: number,
  isInside: boolean,
): ColumnData {
  const { flags, size } = cursor.entry()
  const hasValidity = (flags & HAS_VALIDITY) !== 0
  if ((flags & UNKNOWN_FLAGS) !== 0) return corrupt(`column ${field.name} has unknown bits`)
  const validity = hasValidity ? cursor.take(bitmapBytes(rows)) : null
  const nullCount = validity === null ? 0 : rows - countBits(validity, rows)
  if ((isInside ? 0 : nullCount) !== flags >>> NULL_COUNT_SHIFT)
    return corrupt(`column ${field.name} counts ${flags >>> NULL_COUNT_SHIFT} nulls`)
  if (nullCount > 0 && !field.nullable) return corrupt(`column ${field.name} has nulls`)
  const shape = {
    type: field.type,
    length: rows,
    nullCount,
    validity: nullCount === 0 ? null : validity,
    dictionary: null,
  }
  if ((flags & HAS_CODES) !== 0) {
    if (isInside || field.type !== 'utf8') return corrupt(`column ${field.name} has codes`)
    return { ...shape, offsets: null, ...readCodes(cursor, rows, size, field.name) }
  }
  const layout = columnLayout(field.type)
  if (layout.kind === 'variable' || layout.kind === 'list') {
    const offsets = readOffsets(cursor, rows, size, field.name)
    if (layout.kind === 'variable') return { ...shape, offsets, values: cursor.take(size) }
    const children = [readInside(cursor, field.name, layout.item, size)]
    return { ...shape, offsets, values: NO_VALUES, children }
  }
  const expected = fixedBytes(layout, rows)
  if (size !== expected) return corrupt(`column ${field.name} has ${size} bytes for ${rows} rows`)
  if (layout.kind !== 'struct') return { ...shape, offsets: null, values: cursor.take(size) }
  const children = layout.fields.map(({ type }) => readInside(cursor, field.name, type, rows))
  return { ...shape, offsets: null, values: NO_VALUES, children }
}

const NO_VALUES = new Uint8Array(0)

function readCodes(
  cursor: PayloadCursor,
  rows: number,
  words: number,
  name: string,
): Pick<ColumnData, 'values' | 'dictionary'> {
  if (words > CODED_WORDS_MAX) return corrupt(`column ${name} counts ${words} words`)
  const codes = cursor.take(rows)
  let greatest = 0
  for (let row = 0; row < rows; row++) greatest = Math.max(greatest, codes[row] ?? 0)
  if (greatest >= words) return corrupt(`column ${name} has code ${greatest} of ${words} words`)
  const offsets = takeOffsets(cursor, words)
  const size = offsets[words] ?? 0
  checkOffsets(offsets, size, name)
  const dictionary = {
    type: 'utf8',
    length: words,
    nullCount: 0,
    validity: null,
    offsets,
    values: cursor.take(size),
    dictionary: null,
  } as const
  return { values: codes, dictionary }
}

function readInside(
  cursor: PayloadCursor,
  name: string,
  type: ColumnType,
  rows: number,
): ColumnData {
  if (rows > INSIDE_ROWS_MAX) return corrupt(`column ${name} counts ${rows} items`)
  return readColumn(cursor, { name, type, nullable: true }, rows, true)
}

/** More items than the bits of the greatest append, which is far from where int32 ends. */
const INSIDE_ROWS_MAX = APPEND_BYTES_MAX * 8

function fixedBytes(layout: ColumnLayout, rows: number): number {
  if (layout.kind === 'bits') return bitmapBytes(rows)
  return layout.kind === 'fixed' ? rows * layout.byteWidth : 0
}

function readOffsets(cursor: PayloadCursor, rows: number, size: number, name: string): Int32Array {
  const offsets = takeOffsets(cursor, rows)
  checkOffsets(offsets, size, name)
  return offsets
}

function takeOffsets(cursor: PayloadCursor, rows: number): Int32Array {
  const bytes = cursor.take((rows + 1) * 4)
  return new Int32Array(bytes.buffer, bytes.byteOffset, rows + 1)
}

function checkOffsets(offsets: Int32Array, size: number, name: string): void {
  // Below 0 once an offset is, or is less than the one before; recovery looks at every one there is.
  let signs = 0
  for (let row = 1; row < offsets.length; row++) {
    const offset = offsets[row] ?? 0
    signs |= offset | (offset - (offsets[row - 1] ?? 0))
  }
  if (signs < 0) corrupt(`column ${name} has offsets that fall`)
  if (offsets[0] !== 0 || offsets.at(-1) !== size)
    corrupt(`column ${name} has offsets from ${offsets[0]} to ${offsets.at(-1)}`)
}

/** Hands out the entries and the parts of a payload in order; never one that is not there. */
class PayloadCursor {
  readonly #payload: Uint8Array
  #entry: number
  #position: number

  constructor(payload: Uint8Array, entry: number, entryCount: number) {
    this.#payload = payload
    this.#entry = entry
    this.#position = entry + entryCount * ENTRY_BYTES
    if (this.#position > payload.length) corrupt(`it has ${payload.length} bytes`)
  }

  /** Of the next column: its flags, and its bytes of values or items. */
  entry(): { readonly flags: number; readonly size: number } {
    const entry = this.#entry
    this.#entry = entry + ENTRY_BYTES
    return { flags: uint32(this.#payload, entry), size: uint32(this.#payload, entry + 4) }
  }

  take(length: number): Uint8Array {
    const start = this.#position
    this.#position = start + padded(length)
    if (this.#position > this.#payload.length)
      corrupt(`it has ${this.#payload.length} bytes, fewer than its columns`)
    return this.#payload.subarray(start, start + length)
  }

  end(): void {
    if (this.#position !== this.#payload.length)
      corrupt(`it has ${this.#payload.length} bytes, more than its columns`)
  }
}

function uint32(bytes: Uint8Array, position: number): number {
  const at = (index: number): number => bytes[position + index] ?? 0
  return (at(0) | (at(1) << 8) | (at(2) << 16) | (at(3) << 24)) >>> 0
}

// --- Schema --------------------------------------------------------------------------------------------------------

export function encodeSchemaPayload(schema: Schema): Uint8Array {
  const fields = schema.fields.map(({ name, type, nullable }) => ({ name, type, nullable }))
  return Buffer.from(JSON.stringify({ id: schema.id, fields }))
}

/** @throws StratalogError `wal_corrupt`. */
export function decodeSchemaPayload(payload: Uint8Array): Schema {
  const json = new JsonFields(parseJson(payload, corruptSchema), '', corruptSchema)
  const id = json.integer('id')
  const fields = json.objects('fields').map(readField)
  json.end()
  if (fields.length > STORED_COLUMNS_MAX) corruptSchema(`it has ${fields.length} fields`)
  return { id, fields }
}

function readField(json: JsonFields): Field {
  const type = json.text('type')
  const field = {
    name: json.text('name'),
    type: isColumnType(type) ? type : json.fail('type', 'is no column type'),
    nullable: json.boolean('nullable'),
  }
  json.end()
  return field
}

const corruptSchema: Fail = (reason) => {
  throw new StratalogError('wal_corrupt', `A schema in the WAL cannot be read: ${reason}.`, {
    details: { reason },
  })
}

function corrupt(reason: string): never {
  throw new StratalogError('wal_corrupt', `An append in the WAL cannot be read: ${reason}.`, {
    details: { reason },
  })
}
