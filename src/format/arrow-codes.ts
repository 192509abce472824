/** Dictionary columns of Arrow: their codes, and the values that they stand for. */
import { type ColumnData, bitmapBytes, countBits, isValidAt } from './column.ts'
import { type ColumnType, columnLayout } from './schema.ts'

type Validity = Pick<ColumnData, 'validity' | 'nullCount'>

/** The code of a row, from the bytes of a column of integers. */
export function codeReader(bytes: Uint8Array, type: ColumnType): (row: number) => number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
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
