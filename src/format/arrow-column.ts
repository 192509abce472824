/** One column of apache-arrow (a `Data`, told by its shape) as ours, every buffer checked. */
import { StratalogError } from '../base/errors.ts'
import { areOffsets, areTexts } from './buffer-check.ts'
import { codesIn, fixedValuesOf, isCodeType, withoutNullEntries } from './arrow-codes.ts'
import { ARROW_TYPE, type ArrowType, FLOAT_16, columnTypeOf } from './arrow-types.ts'
import { concatColumns, flattenColumn } from './column-concat.ts'
import {
  type ColumnData,
  bitmapBytes,
  countBits,
  isValidAt,
  sliceBitmap,
  sliceColumn,
} from './column.ts'
import { nullColumn } from './column-conform.ts'
import { VALUE_BYTES_MAX } from './limits.ts'
import { type ColumnType, type NestedLayout, childTypes, columnLayout } from './schema.ts'

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
  /** Of nested types: the columns inside, cut as this one is but for the items of lists with offsets. */
  readonly children?: readonly unknown[]
  /** A Vector. */
  readonly dictionary?: { readonly data: readonly ArrowData[] }
}

const NO_BYTES = new Uint8Array(0)
const NOTHING_NULL = { validity: null, nullCount: 0 } as const

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
    if (data.type.typeId === ARROW_TYPE.null) return null
    const type = columnTypeOf(data.type, this.#isJson)
    if (typeof type === 'string') return this.#read(data, type)
    const { given, advice } = type
    throw new StratalogError(
      'type_unsupported',
      `Column ${this.#quoted}: no column type holds Arrow's ${given}; ${advice} before it is appended.`,
      { details: { column: this.#name, given, advice } },
    )
  }

  #read(data: ArrowData, type: ColumnType): ColumnData {
    const isEncoded = data.type.typeId === ARROW_TYPE.dictionary
    const column = isEncoded ? this.#readDictionary(data, type) : this.#readPlain(data, type)
    if (type === 'json') this.#checkJson(column)
    return column
  }

  #readPlain(data: ArrowData, type: ColumnType): ColumnData {
    const layout = columnLayout(type)
    const { length } = data
    const { validity, nullCount } = this.#readValidity(data)
    if (layout.kind === 'list' || layout.kind === 'struct') {
      const shape = { type, length, nullCount, validity, values: NO_BYTES, dictionary: null }
      return { ...shape, ...this.#readNested(data, type, layout) }
    }
    let offsets: Int32Array | null = null
    let values: Uint8Array
    if (layout.kind === 'bits') values = this.#readBits(data, data.values)
    else if (layout.kind === 'fixed') values = this.#readFixed(data, layout.byteWidth)
    else ({ offsets, values } = this.#readVariable(data, type))
    return { type, length, nullCount, validity, offsets, values, dictionary: null }
  }

  #readNested(
    data: ArrowData,
    type: ColumnType,
    { kind }: NestedLayout,
  ): Pick<ColumnData, 'offsets' | 'children'> {
    const given = data.children ?? []
    const children = childTypes(type).map((inside, index) => {
      const child = given[index]
      if (!isArrowData(child)) throw this.#damaged('a column inside is missing')
      const column = flattenColumn(this.#read(child, inside))
      if (kind === 'list') return column
      if (column.length < data.length) throw this.#damaged('a column inside has fewer rows')
      return sliceColumn(column, 0, data.length)
    })
    if (kind === 'struct') return { offsets: null, children }
    const offsets = this.#listOffsets(data)
    this.#checkAscending(offsets)
    if ((offsets.at(-1) ?? 0) > (children[0]?.length ?? 0))
      throw this.#damaged('its items end before its offsets')
    return { offsets, children }
  }

  #listOffsets(data: ArrowData): Int32Array {
    const { typeId, listSize } = data.type
    if (typeId === ARROW_TYPE.largeList) return this.#narrowOffsets(data)
    if (typeId !== ARROW_TYPE.fixedSizeList) return this.#int32Offsets(data)
    return this.#evenOffsets(data, listSize)
  }

  /** Of values that all have one size. */
  #evenOffsets({ length }: ArrowData, size: number | undefined): Int32Array {
    if (!isCount(size) || length * size >= 2 ** 31)
      throw this.#damaged('its values have no size, or too great a one')
    return Int32Array.from({ length: length + 1 }, (_, row) => row * size)
  }

  #readValidity(data: ArrowData): { validity: Uint8Array | null; nullCount: number } {
    const { length, nullBitmap } = data
    if (nullBitmap === undefined || nullBitmap === null || nullBitmap.length === 0)
      return NOTHING_NULL
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
    const { typeId, precision } = data.type
    if (typeId === ARROW_TYPE.float && precision === FLOAT_16) return this.#readHalves(data)
    const byteCount = data.length * byteWidth
    const bytes = this.#bytes(data.values, byteCount, Math.min(byteWidth, 8))
    return bytes.length === byteCount ? bytes : bytes.subarray(0, byteCount)
  }

  #readHalves(data: ArrowData): Uint8Array {
    const bytes = this.#bytes(data.values, data.length * 2, 2)
    const halves = new Float16Array(bytes.buffer, bytes.byteOffset, data.length)
    return new Uint8Array(Float32Array.from(halves).buffer)
  }

  #readVariable(data: ArrowData, type: ColumnType): { offsets: Int32Array; values: Uint8Array } {
    const { typeId } = data.type
    const isView = typeId === ARROW_TYPE.utf8View || typeId === ARROW_TYPE.binaryView
    const column = isView
      ? this.#gatherViews(data)
      : { offsets: this.#valueOffsets(data), values: this.#bytes(data.values, 0, 1) }
    this.#checkOffsets(column.offsets, column.values)
    if (type !== 'binary' && !areTexts(column.offsets, data.length, column.values))
      throw this.#damaged('its text is not UTF-8')
    return column
  }

  #valueOffsets(data: ArrowData): Int32Array {
    const { typeId, byteWidth } = data.type
    if (typeId === ARROW_TYPE.fixedSizeBinary) return this.#evenOffsets(data, byteWidth)
    const isLarge = typeId === ARROW_TYPE.largeUtf8 || typeId === ARROW_TYPE.largeBinary
    return isLarge ? this.#narrowOffsets(data) : this.#int32Offsets(data)
  }

  #int32Offsets({ length, valueOffsets }: ArrowData): Int32Array {
    if (length === 0) return new Int32Array(1)
    if (valueOffsets instanceof Int32Array && valueOffsets.length === length + 1)
      return valueOffsets
    const bytes = this.#bytes(valueOffsets, (length + 1) * 4, 4)
    return new Int32Array(bytes.buffer, bytes.byteOffset, length + 1)
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

  #checkAscending(offsets: Int32Array): void {
    let before = offsets[0] ?? 0
    if (before < 0) throw this.#damaged('its offsets are negative')
    for (let row = 1; row < offsets.length; row++) {
      const offset = offsets[row] ?? 0
      if (offset < before) throw this.#damaged('its offsets do not ascend')
      before = offset
    }
  }

  #checkOffsets(offsets: Int32Array, values: Uint8Array): void {
    if (areOffsets(offsets, offsets.length - 1, values.length, VALUE_BYTES_MAX)) return
    this.#checkAscending(offsets)
    let before = offsets[0] ?? 0
    for (let row = 1; row < offsets.length; row++) {
      const offset = offsets[row] ?? 0
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

  #readDictionary(data: ArrowData, type: ColumnType): ColumnData {
    const parts = (data.dictionary?.data ?? []).map((part) => this.#readPlain(part, type))
    const only = parts[0]
    const dictionary =
      only === undefined || parts.length > 1 ? concatColumns([nullColumn(type, 0), ...parts]) : only
    const rows = this.#readValidity(data)
    const codes = this.#readCodes(data, data.type.indices ?? data.type, rows, dictionary)
    const { length } = data
    const { validity, nullCount } = withoutNullEntries(rows, codes, dictionary)
    const shape = { type, length, nullCount, validity, offsets: null }
    if (dictionary.offsets === null)
      return { ...shape, values: fixedValuesOf(codes, dictionary), dictionary: null }
    const isText = dictionary.type === 'utf8' && dictionary.validity === null
    const column: ColumnData = {
      type: 'utf8',
      length,
      nullCount,
      validity,
      offsets: null,
      values: new Uint8Array(codes.buffer, codes.byteOffset, codes.byteLength),
      dictionary: isText
        ? dictionary
        : { ...dictionary, type: 'utf8', validity: null, nullCount: 0 },
    }
    return type === 'utf8' ? column : { ...flattenColumn(column), type }
  }

  /** Codes as int32; 0 under a null, or one that lies in the dictionary. */
  #readCodes(
    data: ArrowData,
    indices: ArrowType,
    rows: Pick<ColumnData, 'validity'>,
    dictionary: ColumnData,
  ): Int32Array {
    const type = columnTypeOf(indices, false)
    if (typeof type !== 'string' || !isCodeType(type))
      throw this.#damaged('its codes are no integers')
    const layout = columnLayout(type)
    const bytes = this.#readFixed(data, layout.kind === 'fixed' ? layout.byteWidth : 0)
    const codes = codesIn(bytes, type, data.length, rows, dictionary.length)
    if (codes === null) throw this.#damaged('a code is not in its dictionary')
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
    const bytes =
      view instanceof Uint8Array
        ? view
        : new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
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

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 31
}
