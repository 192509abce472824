/**
 * Payloads of WAL frames. Little-endian; every part begins at a multiple of 8 and is followed by zeros up to the next.
 *
 * Append: rows of one schema as raw column buffers, so that writing is a copy per buffer and reading is a view.
 *
 *      0  u32  schema id
 *      4  u32  row count
 *      8  u32  column count
 *     12  u32  zero
 *     16       per column, 8 bytes:  u32  bit 0: validity present; bits 1–7 zero; bits 8–31: null count
 *                                    u32  bytes of values
 *              per column:           validity, (rows + 7) / 8 bytes, when present; bits after the last row are 0
 *                                    offsets, (rows + 1) × int32 from 0, for utf8, json and binary
 *                                    values
 *
 * Dictionary columns are written plain: a frame is read alone, long after the dictionary is gone.
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
import { type ColumnData, bitmapBytes, countBits, isValidAt } from './column.ts'
import { type Fail, JsonFields, parseJson } from './json-fields.ts'
import { APPEND_ROWS_MAX, STORED_COLUMNS_MAX } from './limits.ts'
import { type Field, type Schema, columnLayout, isColumnType } from './schema.ts'

export interface AppendPayload {
  readonly schemaId: number
  readonly rowCount: number
  /** Views over the payload: good for as long as its memory is. */
  readonly columns: readonly ColumnData[]
}

const HEADER_BYTES = 16
const ENTRY_BYTES = 8
const HAS_VALIDITY = 1
const NULL_COUNT_SHIFT = 8

/** Below this many bytes a loop is quicker than making a view and copying it. */
const LOOP_BYTES_MAX = 48

// --- Writing -------------------------------------------------------------------------------------------------------

/** Bytes of the payload for rows `[start, end)`: always a multiple of 8. */
export function appendPayloadBytes(
  columns: readonly ColumnData[],
  start: number,
  end: number,
): number {
  let bytes = HEADER_BYTES + columns.length * ENTRY_BYTES
  for (const column of columns) {
    if (column.validity !== null) bytes += padded(bitmapBytes(end - start))
    if (columnLayout(column.type).kind === 'variable') bytes += padded((end - start + 1) * 4)
    bytes += padded(valueBytes(column, start, end))
  }
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
  let at = entry + columns.length * ENTRY_BYTES
  for (const column of columns) {
    let flags = 0
    if (column.validity !== null) {
      writeBits(into, at, column.validity, start, end)
      const nullCount = end - start - countBits(into.subarray(at), end - start)
      flags = HAS_VALIDITY | (nullCount << NULL_COUNT_SHIFT)
      at = writePadding(into, at + bitmapBytes(end - start))
    }
    setUint32(into, entry, flags)
    const bytes = valueBytes(column, start, end)
    setUint32(into, entry + 4, bytes)
    entry += ENTRY_BYTES
    at = writeValues(into, at, column, start, end, bytes)
  }
  return at
}

/** Bytes of values in rows `[start, end)`, as written. */
function valueBytes(column: ColumnData, start: number, end: number): number {
  if (column.dictionary !== null) return dictionaryValueBytes(column, column.dictionary, start, end)
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
    return writePlain(into, position, column, column.dictionary, start, end)
  const layout = columnLayout(column.type)
  if (layout.kind === 'bits') {
    writeBits(into, position, column.values, start, end)
    return writePadding(into, position + bytes)
  }
  if (layout.kind === 'fixed') {
    copyBytes(into, position, column.values, start * layout.byteWidth, bytes)
    return writePadding(into, position + bytes)
  }
  const offsets = present(column.offsets, 'offsets of a variable column')
  const at = writeOffsets(into, position, offsets, start, end)
  copyBytes(into, at, column.values, offsets[start] ?? 0, bytes)
  return writePadding(into, at + bytes)
}

function writeOffsets(
  into: Uint8Array,
  position: number,
  offsets: Int32Array,
  start: number,
  end: number,
): number {
  const count = end - start + 1
  const base = offsets[start] ?? 0
  if (count * 4 <= LOOP_BYTES_MAX) {
    for (let row = 0; row < count; row++)
      setUint32(into, position + row * 4, (offsets[start + row] ?? 0) - base)
  } else {
    const rebased = new Int32Array(into.buffer, into.byteOffset + position, count)
    for (let row = 0; row < count; row++) rebased[row] = (offsets[start + row] ?? 0) - base
  }
  return writePadding(into, position + count * 4)
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
    copyBytes(into, position, bitmap, first, count)
  } else {
    for (let index = 0; index < count; index++) {
      const low = (bitmap[first + index] ?? 0) >> shift
      into[position + index] = low | ((bitmap[first + index + 1] ?? 0) << (8 - shift))
    }
  }
  const spare = count * 8 - (end - start)
  if (spare > 0) into[position + count - 1] = (into[position + count - 1] ?? 0) & (0xff >> spare)
}

function dictionaryValueBytes(
  column: ColumnData,
  dictionary: ColumnData,
  start: number,
  end: number,
): number {
  const offsets = present(dictionary.offsets, 'offsets of a dictionary')
  let bytes = 0
  for (let row = start; row < end; row++) {
    const code = codeAt(column, row)
    if (code >= 0) bytes += (offsets[code + 1] ?? 0) - (offsets[code] ?? 0)
  }
  return bytes
}

function writePlain(
  into: Uint8Array,
  position: number,
  column: ColumnData,
  dictionary: ColumnData,
  start: number,
  end: number,
): number {
  const offsets = present(dictionary.offsets, 'offsets of a dictionary')
  const values = writePadding(into, position + (end - start + 1) * 4)
  let length = 0
  setUint32(into, position, 0)
  for (let row = start; row < end; row++) {
    const code = codeAt(column, row)
    if (code >= 0) {
      const from = offsets[code] ?? 0
      const bytes = (offsets[code + 1] ?? 0) - from
      copyBytes(into, values + length, dictionary.values, from, bytes)
      length += bytes
    }
    setUint32(into, position + (row - start + 1) * 4, length)
  }
  return writePadding(into, values + length)
}

/** The code of a row, -1 for a null: what lies under a null is no code. */
function codeAt(column: ColumnData, row: number): number {
  if (!isValidAt(column, row)) return -1
  const { values } = column
  if (values.length === column.length) return values[row] ?? 0
  const at = row * 4
  return (
    (values[at] ?? 0) |
    ((values[at + 1] ?? 0) << 8) |
    ((values[at + 2] ?? 0) << 16) |
    ((values[at + 3] ?? 0) << 24)
  )
}

function copyBytes(
  into: Uint8Array,
  position: number,
  from: Uint8Array,
  start: number,
  length: number,
): void {
  if (length > LOOP_BYTES_MAX) {
    into.set(from.subarray(start, start + length), position)
    return
  }
  for (let index = 0; index < length; index++) into[position + index] = from[start + index] ?? 0
}

/** Zeros up to the next multiple of 8, counted from where the payload starts, which is one. */
function writePadding(into: Uint8Array, position: number): number {
  const end = padded(position)
  for (let at = position; at < end; at++) into[at] = 0
  return end
}

function setUint32(into: Uint8Array, position: number, value: number): void {
  into[position] = value
  into[position + 1] = value >>> 8
  into[position + 2] = value >>> 16
  into[position + 3] = value >>> 24
}

function padded(bytes: number): number {
  return bytes + (-bytes & 7)
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
  const cursor = new PayloadCursor(payload, HEADER_BYTES + columnCount * ENTRY_BYTES)
  const columns = schema.fields.map((field, index) => {
    const entry = HEADER_BYTES + index * ENTRY_BYTES
    return readColumn(cursor, field, rowCount, uint32(payload, entry), uint32(payload, entry + 4))
  })
  cursor.end()
  return { schemaId, rowCount, columns }
}

function readColumn(
  cursor: PayloadCursor,
  field: Field,
  rows: number,
  flags: number,
  byteCount: number,
): ColumnData {
  const nullCount = flags >>> NULL_COUNT_SHIFT
  const hasValidity = (flags & 0xff) === HAS_VALIDITY
  if (!hasValidity && flags !== 0) return corrupt(`column ${field.name} has unknown bits`)
  const validity = hasValidity ? cursor.take(bitmapBytes(rows)) : null
  if (validity !== null && rows - countBits(validity, rows) !== nullCount) {
    return corrupt(`column ${field.name} counts ${nullCount} nulls`)
  }
  if (nullCount > 0 && !field.nullable) return corrupt(`column ${field.name} has nulls`)
  const layout = columnLayout(field.type)
  let offsets: Int32Array | null = null
  if (layout.kind === 'variable') {
    const bytes = cursor.take((rows + 1) * 4)
    offsets = new Int32Array(bytes.buffer, bytes.byteOffset, rows + 1)
    checkOffsets(offsets, byteCount, field.name)
  } else {
    const expected = layout.kind === 'bits' ? bitmapBytes(rows) : rows * layout.byteWidth
    if (byteCount !== expected)
      return corrupt(`column ${field.name} has ${byteCount} bytes for ${rows} rows`)
  }
  const values = cursor.take(byteCount)
  return {
    type: field.type,
    length: rows,
    nullCount,
    validity: nullCount === 0 ? null : validity,
    offsets,
    values,
    dictionary: null,
  }
}

function checkOffsets(offsets: Int32Array, byteCount: number, name: string): void {
  let last = 0
  for (const offset of offsets) {
    if (offset < last) corrupt(`column ${name} has offsets that fall`)
    last = offset
  }
  if (offsets[0] !== 0 || last !== byteCount)
    corrupt(`column ${name} has offsets from ${offsets[0]} to ${last}`)
}

/** Hands out the parts of a payload in order; never one that is not there. */
class PayloadCursor {
  readonly #payload: Uint8Array
  #position: number

  constructor(payload: Uint8Array, position: number) {
    this.#payload = payload
    this.#position = position
    if (position > payload.length) corrupt(`it has ${payload.length} bytes`)
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
