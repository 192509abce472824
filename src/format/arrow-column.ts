/** One column of apache-arrow (a `Data`, told by its shape) as ours, every buffer checked. */
import { isUtf8 } from 'node:buffer'
import { StratalogError } from '../base/errors.ts'
import { concatColumns, flattenColumn } from './column-concat.ts'
import { type ColumnData, bitmapBytes, countBits, isValidAt, sliceBitmap } from './column.ts'
import { VALUE_BYTES_MAX } from './limits.ts'
import { type ColumnType, columnLayout, isColumnType } from './schema.ts'

/** What is used of apache-arrow's types; `typeId` is of its enum Type. */
interface ArrowType {
  readonly typeId: number
  readonly bitWidth?: number
  readonly isSigned?: boolean
  readonly precision?: number
  readonly scale?: number
  readonly unit?: number
  /** Of a dictionary: the type of its values. */
  readonly dictionary?: ArrowType
  readonly indices?: ArrowType
}

/**
 * What is used of apache-arrow's Data. Only bitmaps begin `offset` rows before the first; other
 * buffers are cut.
 */
export interface ArrowData {
  readonly type: ArrowType
  readonly length: number
  readonly offset: number
  readonly values?: ArrayBufferView | null
  readonly valueOffsets?: ArrayBufferView | null
  readonly nullBitmap?: Uint8Array | null
  readonly variadicBuffers?: readonly Uint8Array[]
  /** A Vector. */
  readonly dictionary?: { readonly data: readonly ArrowData[] }
}

export function isArrowData(value: unknown): value is ArrowData {
  if (typeof value !== 'object' || value === null || !('type' in value) || !('length' in value))
    return false
  return (
    typeof value.type === 'object' &&
    value.type !== null &&
    'typeId' in value.type &&
    isCount(value.length)
  )
}

const NULL = 1
const INT = 2
const FLOAT = 3
const BINARY = 4
const UTF8 = 5
const BOOL = 6
const DECIMAL = 7
const DATE = 8
const TIMESTAMP = 10
const LARGE_BINARY = 19
const LARGE_UTF8 = 20
const BINARY_VIEW = 23
const UTF8_VIEW = 24
const DICTIONARY = -1

/** For messages: Arrow's types that no column type holds, at least not in every form. */
const TYPE_NAMES: Readonly<Record<number, string>> = {
  [DICTIONARY]: 'dictionary of values other than text',
  [INT]: 'integer of that width',
  [FLOAT]: 'float of 16 bits',
  [DECIMAL]: 'decimal of that width, precision or scale',
  9: 'time of day',
  11: 'interval',
  12: 'list',
  13: 'struct',
  14: 'union',
  15: 'binary of a fixed size',
  16: 'list of a fixed size',
  17: 'map',
  18: 'duration',
  21: 'large list',
}

const TIMESTAMP_TYPES: readonly ColumnType[] = [
  'timestamp[s]',
  'timestamp[ms]',
  'timestamp[us]',
  'timestamp[ns]',
]

export class ArrowColumnReader {
  readonly #name: string
  readonly #isJson: boolean

  /** @param isJson what the field's metadata says of its text. */
  constructor(name: string, isJson: boolean) {
    this.#name = name
    this.#isJson = isJson
  }

  /** Null for a column of Arrow's type Null. @throws StratalogError as `readArrowInput` says. */
  read(data: ArrowData): ColumnData | null {
    const { typeId } = data.type
    if (typeId === NULL) return null
    if (typeId === DICTIONARY) return this.#readDictionary(data)
    const column = this.#readPlain(data, this.#columnType(data.type))
    if (column.type === 'json') this.#checkJson(column)
    return column
  }

  #columnType(type: ArrowType): ColumnType {
    const columnType = columnTypeOf(type, this.#isJson)
    if (columnType !== null) return columnType
    const given = describeType(type)
    throw new StratalogError(
      'type_unsupported',
      `Column ${this.#quoted}: no column type holds Arrow's ${given}.`,
      {
        details: { column: this.#name, given },
      },
    )
  }

  #readPlain(data: ArrowData, type: ColumnType): ColumnData {
    const shape = {
      type,
      length: data.length,
      ...this.#readValidity(data),
      offsets: null,
      dictionary: null,
    }
    const layout = columnLayout(type)
    if (layout.kind === 'bits') return { ...shape, values: this.#readBits(data, data.values) }
    if (layout.kind === 'fixed')
      return { ...shape, values: this.#readFixed(data, layout.byteWidth) }
    return { ...shape, ...this.#readVariable(data, type) }
  }

  #readValidity(data: ArrowData): { validity: Uint8Array | null; nullCount: number } {
    const { length, nullBitmap } = data
    if (nullBitmap === undefined || nullBitmap === null || nullBitmap.length === 0)
      return { validity: null, nullCount: 0 }
    const validity = this.#readBits(data, nullBitmap)
    const nullCount = length - countBits(validity, length)
    return { validity: nullCount === 0 ? null : validity, nullCount }
  }

  #readBits(data: ArrowData, bits: ArrayBufferView | null | undefined): Uint8Array {
    const { length, offset } = data
    // apache-arrow gives slices of no rows offsets that mean nothing.
    if (length === 0) return new Uint8Array(0)
    if (!isCount(offset)) throw this.#damaged('its rows begin nowhere')
    return sliceBitmap(this.#bytes(bits, bitmapBytes(offset + length), 1), offset, length)
  }

  #readFixed(data: ArrowData, byteWidth: number): Uint8Array {
    return this.#bytes(data.values, data.length * byteWidth, Math.min(byteWidth, 8)).subarray(
      0,
      data.length * byteWidth,
    )
  }

  #readVariable(data: ArrowData, type: ColumnType): { offsets: Int32Array; values: Uint8Array } {
    const { typeId } = data.type
    const isView = typeId === UTF8_VIEW || typeId === BINARY_VIEW
    const isLarge = typeId === LARGE_UTF8 || typeId === LARGE_BINARY
    const column = isView
      ? this.#gatherViews(data)
      : {
          offsets: isLarge ? this.#narrowOffsets(data) : this.#int32Offsets(data),
          values: this.#bytes(data.values, 0, 1),
        }
    this.#checkOffsets(column.offsets, column.values)
    if (type !== 'binary') this.#checkText(column.offsets, column.values)
    return column
  }

  #int32Offsets(data: ArrowData): Int32Array {
    if (data.length === 0) return new Int32Array(1)
    const bytes = this.#bytes(data.valueOffsets, (data.length + 1) * 4, 4)
    return new Int32Array(bytes.buffer, bytes.byteOffset, data.length + 1)
  }

  #narrowOffsets(data: ArrowData): Int32Array {
    if (data.length === 0) return new Int32Array(1)
    const bytes = this.#bytes(data.valueOffsets, (data.length + 1) * 8, 8)
    const wide = new BigInt64Array(bytes.buffer, bytes.byteOffset, data.length + 1)
    const offsets = new Int32Array(wide.length)
    for (let index = 0; index < wide.length; index++) {
      const offset = wide[index] ?? 0n
      if (offset < 0n || offset >= 2n ** 31n)
        throw this.#damaged('it holds 2 GiB or more, or its offsets are negative')
      offsets[index] = Number(offset)
    }
    return offsets
  }

  /**
   * Views are 16 bytes: length i32, then up to 12 bytes of value, or 4 bytes of it, buffer number
   * i32, position i32.
   */
  #gatherViews(data: ArrowData): { offsets: Int32Array; values: Uint8Array } {
    const { length } = data
    const views = this.#bytes(data.values, length * 16, 4)
    const words = new Int32Array(views.buffer, views.byteOffset, length * 4)
    const validity = this.#readValidity(data)
    const offsets = new Int32Array(length + 1)
    for (let row = 0; row < length; row++) {
      const byteCount = isValidAt(validity, row) ? (words[row * 4] ?? 0) : 0
      const end = (offsets[row] ?? 0) + byteCount
      if (byteCount < 0 || end >= 2 ** 31)
        throw this.#damaged('it holds 2 GiB or more, or a length is negative')
      offsets[row + 1] = end
    }
    const values = new Uint8Array(offsets[length] ?? 0)
    for (let row = 0; row < length; row++) {
      const start = offsets[row] ?? 0
      const byteCount = (offsets[row + 1] ?? 0) - start
      const isInline = byteCount <= 12
      const source = isInline ? views : data.variadicBuffers?.[words[row * 4 + 2] ?? 0]
      const position = isInline ? row * 16 + 4 : (words[row * 4 + 3] ?? 0)
      if (source === undefined || position < 0 || position + byteCount > source.length) {
        throw this.#damaged('a value lies outside of its buffer')
      }
      values.set(source.subarray(position, position + byteCount), start)
    }
    return { offsets, values }
  }

  #checkOffsets(offsets: Int32Array, values: Uint8Array): void {
    let before = offsets[0] ?? 0
    if (before < 0) throw this.#damaged('its offsets are negative')
    for (let row = 1; row < offsets.length; row++) {
      const offset = offsets[row] ?? 0
      if (offset < before) throw this.#damaged('its offsets do not ascend')
      if (offset - before > VALUE_BYTES_MAX) {
        throw new StratalogError(
          'record_too_large',
          `Record ${row - 1}, column ${this.#quoted}: ${offset - before} bytes; a value has at most ${VALUE_BYTES_MAX}.`,
          {
            details: {
              row: row - 1,
              column: this.#name,
              given: offset - before,
              allowed: VALUE_BYTES_MAX,
            },
          },
        )
      }
      before = offset
    }
    if (before > values.length) throw this.#damaged('its values end before its offsets')
  }

  /**
   * All bytes together are UTF-8, and no value begins inside a character: so each value is UTF-8.
   */
  #checkText(offsets: Int32Array, values: Uint8Array): void {
    const end = offsets.at(-1) ?? 0
    let isText = isUtf8(values.subarray(offsets[0] ?? 0, end))
    for (const offset of offsets)
      isText &&= offset === end || ((values[offset] ?? 0) & 0xc0) !== 0x80
    if (!isText) throw this.#damaged('its text is not UTF-8')
  }

  #checkJson(column: ColumnData): void {
    const offsets = column.offsets ?? new Int32Array(1)
    for (let row = 0; row < column.length; row++) {
      if (!isValidAt(column, row)) continue
      const text = Buffer.from(
        column.values.slice(offsets[row] ?? 0, offsets[row + 1] ?? 0),
      ).toString()
      try {
        JSON.parse(text)
      } catch {
        throw this.#damaged(`the text of record ${row} is not JSON`)
      }
    }
  }

  #readDictionary(data: ArrowData): ColumnData {
    const { dictionary: valueType, indices } = data.type
    if (
      valueType === undefined ||
      indices === undefined ||
      columnTypeOf(valueType, false) !== 'utf8'
    ) {
      this.#columnType(data.type)
    }
    const parts = (data.dictionary?.data ?? []).map((part) => this.#readPlain(part, 'utf8'))
    const only = parts[0]
    const dictionary =
      only === undefined || parts.length > 1 ? concatColumns([emptyText(), ...parts]) : only
    const rows = this.#readValidity(data)
    const codes = this.#readCodes(data, indices ?? data.type, rows, dictionary)
    const validity = withoutNullEntries(rows, codes, dictionary)
    const column: ColumnData = {
      type: 'utf8',
      length: data.length,
      ...validity,
      offsets: null,
      values: new Uint8Array(codes.buffer),
      dictionary: { ...dictionary, validity: null, nullCount: 0 },
    }
    if (!this.#isJson) return column
    const json: ColumnData = { ...flattenColumn(column), type: 'json' }
    this.#checkJson(json)
    return json
  }

  /** Codes as int32; 0 under a null. */
  #readCodes(
    data: ArrowData,
    indices: ArrowType,
    rows: Pick<ColumnData, 'validity'>,
    dictionary: ColumnData,
  ): Int32Array {
    const type = columnTypeOf(indices, false)
    const layout = type === null ? null : columnLayout(type)
    if (type === null || !/^u?int/.test(type) || layout?.kind !== 'fixed')
      throw this.#damaged('its codes are no integers')
    const bytes = this.#readFixed(data, layout.byteWidth)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const read = codeReader(view, type)
    const codes = new Int32Array(data.length)
    for (let row = 0; row < data.length; row++) {
      if (!isValidAt(rows, row)) continue
      const code = read(row)
      if (code < 0 || code >= dictionary.length)
        throw this.#damaged('a code is not in its dictionary')
      codes[row] = code
    }
    return codes
  }

  /** The bytes of a buffer, at least `byteCount`, at a position that `alignment` divides. */
  #bytes(
    view: ArrayBufferView | null | undefined,
    byteCount: number,
    alignment: number,
  ): Uint8Array {
    if (view === undefined || view === null) {
      if (byteCount > 0) throw this.#damaged('a buffer is missing')
      return new Uint8Array(0)
    }
    if (!ArrayBuffer.isView(view)) throw this.#damaged('a buffer is no typed array')
    if (view.byteLength < byteCount)
      throw this.#damaged(`a buffer has ${view.byteLength} bytes, not ${byteCount}`)
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    return bytes.byteOffset % alignment === 0 ? bytes : new Uint8Array(bytes)
  }

  get #quoted(): string {
    return JSON.stringify(this.#name)
  }

  #damaged(reason: string): StratalogError {
    return new StratalogError(
      'input_invalid',
      `Column ${this.#quoted} is not valid Arrow data: ${reason}.`,
      {
        details: { column: this.#name, reason },
      },
    )
  }
}

/** Null when no column type holds the values as they are. */
function columnTypeOf(type: ArrowType, isJson: boolean): ColumnType | null {
  switch (type.typeId) {
    case INT:
      return typeNamed(`${type.isSigned === true ? '' : 'u'}int${type.bitWidth}`)
    case FLOAT:
      return type.precision === 1 ? 'float32' : type.precision === 2 ? 'float64' : null
    case BINARY:
    case LARGE_BINARY:
    case BINARY_VIEW:
      return 'binary'
    case UTF8:
    case LARGE_UTF8:
    case UTF8_VIEW:
      return isJson ? 'json' : 'utf8'
    case BOOL:
      return 'bool'
    case DECIMAL:
      return type.bitWidth === 128 ? typeNamed(`decimal(${type.precision},${type.scale})`) : null
    case DATE:
      // Dates in ms may have a time of day, which only a timestamp keeps.
      return type.unit === 0 ? 'date' : 'timestamp[ms]'
    case TIMESTAMP:
      return TIMESTAMP_TYPES[type.unit ?? -1] ?? null
    default:
      return null
  }
}

function typeNamed(name: string): ColumnType | null {
  return isColumnType(name) ? name : null
}

function describeType(type: ArrowType): string {
  return TYPE_NAMES[type.typeId] ?? `type ${type.typeId}`
}

function codeReader(view: DataView, type: ColumnType): (row: number) => number {
  switch (type) {
    case 'int8':
      return (row) => view.getInt8(row)
    case 'uint8':
      return (row) => view.getUint8(row)
    case 'int16':
      return (row) => view.getInt16(row * 2, true)
    case 'uint16':
      return (row) => view.getUint16(row * 2, true)
    case 'int32':
      return (row) => view.getInt32(row * 4, true)
    case 'uint32':
      return (row) => view.getUint32(row * 4, true)
    case 'int64':
      return (row) => Number(view.getBigInt64(row * 8, true))
    default:
      return (row) => Number(view.getBigUint64(row * 8, true))
  }
}

/** Rows whose entry is null are null themselves: our dictionaries have no nulls. */
function withoutNullEntries(
  rows: { readonly validity: Uint8Array | null; readonly nullCount: number },
  codes: Int32Array,
  dictionary: ColumnData,
): { readonly validity: Uint8Array | null; readonly nullCount: number } {
  if (dictionary.validity === null) return rows
  const { length } = codes
  const validity = new Uint8Array(bitmapBytes(length))
  for (let row = 0; row < length; row++) {
    if (isValidAt(rows, row) && isValidAt(dictionary, codes[row] ?? 0)) {
      validity[row >> 3] = (validity[row >> 3] ?? 0) | (1 << (row & 7))
    }
  }
  return { validity, nullCount: length - countBits(validity, length) }
}

function emptyText(): ColumnData {
  const offsets = new Int32Array(1)
  return {
    type: 'utf8',
    length: 0,
    nullCount: 0,
    validity: null,
    offsets,
    values: new Uint8Array(0),
    dictionary: null,
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 31
}
