/** Dictionary columns of Arrow: their codes, and the values that they stand for. */
import { areCodes } from './buffer-check.ts'
import { type ColumnData, bitmapBytes, countBits, isValidAt } from './column.ts'
import { type ColumnType, columnLayout } from './schema.ts'

type Validity = Pick<ColumnData, 'validity' | 'nullCount'>

type CodeType = 'int8' | 'uint8' | 'int16' | 'uint16' | 'int32' | 'uint32' | 'int64' | 'uint64'

export function isCodeType(type: ColumnType): type is CodeType {
  return /^u?int(8|16|32|64)$/.test(type)
}

/**
 * The codes of `length` rows from the bytes of a column of integers, as int32 and over the same memory where they are
 * that already. Under a null stands 0, or what stood there when every code is in order. Null: a code is not below
 * `wordCount`.
 */
export function codesIn(
  bytes: Uint8Array,
  type: CodeType,
  length: number,
  rows: Pick<ColumnData, 'validity'>,
  wordCount: number,
): Int32Array | null {
  const given = integersOver(bytes, type, length)
  if (!(given instanceof BigInt64Array) && !(given instanceof BigUint64Array)) {
    // Of uint32, what int32 does not hold becomes negative.
    const codes = given instanceof Int32Array ? given : new Int32Array(given)
    if (areCodes(codes, length, wordCount)) return codes
  }
  const codes = new Int32Array(length)
  for (let row = 0; row < length; row++) {
    if (!isValidAt(rows, row)) continue
    const code = Number(given[row])
    if (code < 0 || code >= wordCount) return null
    codes[row] = code
  }
  return codes
}

type Integers =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array

function integersOver(
  { buffer, byteOffset }: Uint8Array,
  type: CodeType,
  length: number,
): Integers {
  switch (type) {
    case 'int8':
      return new Int8Array(buffer, byteOffset, length)
    case 'uint8':
      return new Uint8Array(buffer, byteOffset, length)
    case 'int16':
      return new Int16Array(buffer, byteOffset, length)
    case 'uint16':
      return new Uint16Array(buffer, byteOffset, length)
    case 'int32':
      return new Int32Array(buffer, byteOffset, length)
    case 'uint32':
      return new Uint32Array(buffer, byteOffset, length)
    case 'int64':
      return new BigInt64Array(buffer, byteOffset, length)
    default:
      return new BigUint64Array(buffer, byteOffset, length)
  }
}

/** Rows whose entry is null are null themselves: our dictionaries have no nulls. */
export function withoutNullEntries(
  rows: Validity,
  codes: Int32Array,
  dictionary: ColumnData,
): Validity {
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

/** The values of a fixed-width dictionary, row by row. */
export function fixedValuesOf(codes: Int32Array, dictionary: ColumnData): Uint8Array {
  const layout = columnLayout(dictionary.type)
  const width = layout.kind === 'fixed' ? layout.byteWidth : 0
  const values = new Uint8Array(codes.length * width)
  for (let row = 0; row < codes.length; row++) {
    const from = (codes[row] ?? 0) * width
    // An empty dictionary has no entry for the code under a null.
    values.set(dictionary.values.subarray(from, from + width), row * width)
  }
  return values
}
