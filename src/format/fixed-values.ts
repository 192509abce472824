/** How JavaScript values become values of the fixed-width types; see the table in schema.ts. */
import { type ExactTime, parseExactTime, parseIsoTime } from '../base/units.ts'
import { bigInt64View, int32View } from './column.ts'
import {
  type ColumnType,
  TIMESTAMP_UNITS_PER_SECOND,
  decimalParameters,
  timestampUnit,
} from './schema.ts'

/** A view of a buffer that holds the values of a fixed-width type, one cell or two per row. */
export type FixedCells = SmallCells | BigInt64Array

type SmallCells =
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | Float32Array
  | Float64Array

/** How values of one type are written. Stateless, so that every column of the type shares it. */
export interface FixedValues {
  readonly byteWidth: number
  /** The cells of a buffer: values of 64 bits are two int32 each, the low one first; decimals two int64. */
  over(bytes: Uint8Array): FixedCells
  /** False when the value is not one of the type; nothing is written then. */
  write(cells: FixedCells, row: number, value: unknown): boolean
  writeZero(cells: FixedCells, row: number): void
  /** The nearest number to what a row holds. */
  numberAt(cells: FixedCells, row: number): number
}

const knownTypes = new Map<ColumnType, FixedValues>()

export function fixedValues(type: ColumnType): FixedValues {
  const known = knownTypes.get(type)
  if (known !== undefined) return known
  const made = makeFixedValues(type)
  knownTypes.set(type, made)
  return made
}

function makeFixedValues(type: ColumnType): FixedValues {
  const integer = INTEGERS[type]
  if (integer !== undefined) return smallIntegers(integer)
  if (type === 'float64')
    return floats(8, (b) => new Float64Array(b.buffer, b.byteOffset, b.length >> 3))
  if (type === 'float32')
    return floats(4, (b) => new Float32Array(b.buffer, b.byteOffset, b.length >> 2))
  if (type === 'int64') return wides((value) => toInt64(value, INT64_MIN, INT64_MAX), false)
  if (type === 'uint64') return wides((value) => toInt64(value, 0n, UINT64_MAX), true)
  if (type === 'date') return dates()
  const unit = timestampUnit(type)
  if (unit !== null) {
    const perSecond = TIMESTAMP_UNITS_PER_SECOND[unit]
    return wides((value) => toTimestamp(value, perSecond), false)
  }
  return decimals(decimalParameters(type)?.precision ?? 38, decimalParameters(type)?.scale ?? 0)
}

interface IntegerType {
  readonly byteWidth: number
  readonly over: (bytes: Uint8Array) => SmallCells
  readonly min: number
  readonly max: number
}

const INTEGERS: Readonly<Record<string, IntegerType>> = {
  int8: {
    byteWidth: 1,
    over: (b) => new Int8Array(b.buffer, b.byteOffset, b.length),
    min: -128,
    max: 127,
  },
  uint8: { byteWidth: 1, over: (b) => b, min: 0, max: 255 },
  int16: {
    byteWidth: 2,
    over: (b) => new Int16Array(b.buffer, b.byteOffset, b.length >> 1),
    min: -32768,
    max: 32767,
  },
  uint16: {
    byteWidth: 2,
    over: (b) => new Uint16Array(b.buffer, b.byteOffset, b.length >> 1),
    min: 0,
    max: 65535,
  },
  int32: { byteWidth: 4, over: int32View, min: -(2 ** 31), max: 2 ** 31 - 1 },
  uint32: {
    byteWidth: 4,
    over: (b) => new Uint32Array(b.buffer, b.byteOffset, b.length >> 2),
    min: 0,
    max: 2 ** 32 - 1,
  },
}

function smallIntegers({ byteWidth, over, min, max }: IntegerType): FixedValues {
  return {
    byteWidth,
    over,
    write(cells, row, value) {
      const number =
        typeof value === 'bigint' && value >= min && value <= max ? Number(value) : value
      if (typeof number !== 'number' || !Number.isInteger(number) || number < min || number > max)
        return false
      if (Object.is(number, -0)) return false
      cells[row] = number
      return true
    },
    writeZero: zeroCell,
    numberAt: numberInCell,
  }
}

function floats(byteWidth: number, over: (bytes: Uint8Array) => SmallCells): FixedValues {
  return {
    byteWidth,
    over,
    write(cells, row, value) {
      if (typeof value !== 'number') return false
      cells[row] = value
      return true
    },
    writeZero: zeroCell,
    numberAt: numberInCell,
  }
}

function zeroCell(cells: FixedCells, row: number): void {
  cells[row] = 0
}

function numberInCell(cells: FixedCells, row: number): number {
  return Number(cells[row] ?? 0)
}

const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n
const UINT64_MAX = 2n ** 64n - 1n

/** Writes 64-bit values: safe integers as two halves, without a bigint; others as bigint. */
function wides(
  convert: (value: unknown) => number | bigint | null,
  isUnsigned: boolean,
): FixedValues {
  return {
    byteWidth: 8,
    over: int32View,
    write(cells, row, value) {
      const converted = convert(value)
      if (converted === null) return false
      if (typeof converted === 'bigint') {
        cells[row * 2] = Number(BigInt.asIntN(32, converted))
        cells[row * 2 + 1] = Number(BigInt.asIntN(32, converted >> 32n))
      } else {
        writeWide(cells, row, converted)
      }
      return true
    },
    writeZero: (cells, row) => writeWide(cells, row, 0),
    numberAt(cells, row) {
      const low = Number(cells[row * 2] ?? 0) >>> 0
      const high = Number(cells[row * 2 + 1] ?? 0)
      return (isUnsigned ? high >>> 0 : high) * 2 ** 32 + low
    },
  }
}

/** Writes a safe integer as two halves: ToInt32 is exact modulo 2^32 for every one. */
export function writeWide(cells: FixedCells, row: number, value: number): void {
  cells[row * 2] = value | 0
  cells[row * 2 + 1] = Math.floor(value / 2 ** 32)
}

function toInt64(value: unknown, min: bigint, max: bigint): number | bigint | null {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) return null
    return value < 0 && min === 0n ? null : value
  }
  if (typeof value === 'bigint') return value >= min && value <= max ? value : null
  return null
}

/** Dates and numbers are ms since 1970; bigints count the column's unit; text is ISO 8601, exact to the ns. */
function toTimestamp(value: unknown, perSecond: number): number | bigint | null {
  if (typeof value === 'bigint') return inInt64(value)
  const time = typeof value === 'string' ? parseExactTime(value) : exactTimeOf(value)
  if (time === null) return null
  if (perSecond < 1e3) return Math.floor(time.ms / 1e3)
  const below = Math.floor(time.nanoseconds / (1e9 / perSecond))
  const count = time.ms * (perSecond / 1e3) + below
  if (Number.isSafeInteger(count)) return count
  return inInt64(BigInt(time.ms) * BigInt(perSecond / 1e3) + BigInt(below))
}

function inInt64(value: bigint): bigint | null {
  return value >= INT64_MIN && value <= INT64_MAX ? value : null
}

/** A Date or a number of ms; fractions of a ms down to the ns. */
function exactTimeOf(value: unknown): ExactTime | null {
  const given = value instanceof Date ? value.getTime() : value
  if (typeof given !== 'number' || !(Math.abs(given) < MS_BOUND)) return null
  const ms = Math.floor(given)
  return { ms, nanoseconds: Math.floor((given - ms) * 1e6) }
}

/** No unit of int64 counts a time as far from 1970 as this, but for whole seconds, which no Date shows either. */
const MS_BOUND = 2 ** 63

const DAY_MS = 86_400_000

function dates(): FixedValues {
  return {
    byteWidth: 4,
    over: int32View,
    write(cells, row, value) {
      const ms =
        value instanceof Date
          ? value.getTime()
          : typeof value === 'string'
            ? parseIsoTime(value)
            : null
      if (ms === null || Number.isNaN(ms)) return false
      cells[row] = Math.floor(ms / DAY_MS)
      return true
    },
    writeZero: zeroCell,
    numberAt: numberInCell,
  }
}

/**
 * Far above the digits of any decimal type: a number of a million digits would take long to make and be refused after
 * all.
 */
const DECIMAL_TEXT_MAX = 256

function decimals(precision: number, scale: number): FixedValues {
  const limit = 10n ** BigInt(precision)
  const put = (cells: FixedCells, row: number, unscaled: bigint): void => {
    cells[row * 2] = BigInt.asIntN(64, unscaled)
    cells[row * 2 + 1] = unscaled >> 64n
  }
  return {
    byteWidth: 16,
    over: bigInt64View,
    write(cells, row, value) {
      const unscaled = toUnscaled(value, scale)
      if (unscaled === null || unscaled >= limit || unscaled <= -limit) return false
      put(cells, row, unscaled)
      return true
    },
    writeZero: (cells, row) => put(cells, row, 0n),
    numberAt: (cells, row) => {
      const low = BigInt.asUintN(64, BigInt(cells[row * 2] ?? 0))
      return Number((BigInt(cells[row * 2 + 1] ?? 0) << 64n) | low)
    },
  }
}

/** The integer that a decimal stands for at `scale`; null when the text has more digits after the point. */
function toUnscaled(value: unknown, scale: number): bigint | null {
  if (typeof value !== 'string' && typeof value !== 'bigint' && typeof value !== 'number')
    return null
  const text = String(value)
  const match = text.length > DECIMAL_TEXT_MAX ? null : /^(-?)(\d+)(?:\.(\d+))?$/.exec(text)
  if (match === null) return null
  const fraction = (match[3] ?? '').replace(/0+$/, '')
  if (fraction.length > scale) return null
  const digits = BigInt(`${match[2] ?? '0'}${fraction.padEnd(scale, '0')}`)
  return match[1] === '-' ? -digits : digits
}
