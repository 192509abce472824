/** The values of a fixed-width column as the typed array of its type, over the same bytes. */
import { type ColumnData, bigInt64View, float64View, int32View } from './column.ts'

export type ElementArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array

/**
 * One element per row; null for types that have none: bool, decimal, and what is not of fixed width. Times and dates
 * are counts in the unit of their type. What stands at a null is unspecified.
 */
export function elementsOf(column: ColumnData): ElementArray | null {
  const { values, type, length } = column
  const { buffer, byteOffset } = values
  switch (type) {
    case 'int8':
      return new Int8Array(buffer, byteOffset, length)
    case 'uint8':
      return values
    case 'int16':
      return new Int16Array(buffer, byteOffset, length)
    case 'uint16':
      return new Uint16Array(buffer, byteOffset, length)
    case 'int32':
    case 'date':
      return int32View(values)
    case 'uint32':
      return new Uint32Array(buffer, byteOffset, length)
    case 'float32':
      return new Float32Array(buffer, byteOffset, length)
    case 'float64':
      return float64View(values)
    case 'int64':
    case 'timestamp[s]':
    case 'timestamp[ms]':
    case 'timestamp[us]':
    case 'timestamp[ns]':
      return bigInt64View(values)
    case 'uint64':
      return new BigUint64Array(buffer, byteOffset, length)
    default:
      return null
  }
}
