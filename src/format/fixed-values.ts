/** How JavaScript values become values of the fixed-width types; see the table in schema.ts. */
import { type ExactTime, parseExactTime, parseIsoTime } from '../base/units.ts'
import {
  type ColumnType,
  TIMESTAMP_UNITS_PER_SECOND,
  decimalParameters,
  timestampUnit,
} from './schema.ts'

/** Writes values of one type into a buffer by row number. */
export interface FixedWriter {
  attach(values: Uint8Array): void
  /** False when the value is not one of the type; nothing is written then. */
  write(row: number, value: unknown): boolean
  /**
   * Writes `values[0..count)` from row `first` on; nulls become zeros. Returns how many were null, or -1 when a value
   * is not one of the type: then rows from `first` on hold anything.
   */
  writeAll(first: number, values: readonly unknown[], count: number): number
}

/** `writeAll` by `write`, for types that rows seldom have. */
function oneByOne(
  write: FixedWriter['write'],
  zero: (row: number) => void,
): FixedWriter['writeAll'] {
  return (first, values, count) => {
    let nullCount = 0
    for (let index = 0; index < count; index++) {
      const value = values[index]
      if (value === null || value === undefined) {
        zero(first + index)
        nullCount++
      } else if (!write(first + index, value)) {
        return -1
      }
    }
    return nullCount
  }
}

type NumberArray = Int8Array | Int16Array | Int32Array | Uint8Array | Uint16Array | Uint32Array

const INTEGER_ARRAYS: Readonly<
  Record<
    string,
    {
      readonly over: (bytes: Uint8Array) => NumberArray
      readonly min: number
      readonly max: number
    }
  >
> = {
  int8: { over: (b) => new Int8Array(b.buffer, b.byteOffset, b.length), min: -128, max: 127 },
  uint8: { over: (b) => b, min: 0, max: 255 },
  int16: {
    over: (b) => new Int16Array(b.buffer, b.byteOffset, b.length >> 1),
    min: -32768,
    max: 32767,
  },
  uint16: {
    over: (b) => new Uint16Array(b.buffer, b.byteOffset, b.length >> 1),
    min: 0,
    max: 65535,
  },
  int32: {
    over: (b) => new Int32Array(b.buffer, b.byteOffset, b.length >> 2),
    min: -(2 ** 31),
    max: 2 ** 31 - 1,
  },
  uint32: {
    over: (b) => new Uint32Array(b.buffer, b.byteOffset, b.length >> 2),
    min: 0,
    max: 2 ** 32 - 1,
  },
}

export function fixedWriter(type: ColumnType): FixedWriter {
  const integer = INTEGER_ARRAYS[type]
  if (integer !== undefined) return smallIntegerWriter(integer.over, integer.min, integer.max)
  if (type === 'float64')
    return floatWriter((b) => new Float64Array(b.buffer, b.byteOffset, b.length >> 3))
  if (type === 'float32')
    return floatWriter((b) => new Float32Array(b.buffer, b.byteOffset, b.length >> 2))
  if (type === 'int64')
    return wideWriter((value) => toInt64(value, INT64_MIN, INT64_MAX), -Infinity)
  if (type === 'uint64') return wideWriter((value) => toInt64(value, 0n, UINT64_MAX), 0)
  if (type === 'date') return dateWriter()
  const unit = timestampUnit(type)
  if (unit !== null) {
    const perSecond = TIMESTAMP_UNITS_PER_SECOND[unit]
    // Numbers are ms, which only a column of ms counts as they are.
    return wideWriter(
      (value) => toTimestamp(value, perSecond),
      unit === 'ms' ? -Infinity : Infinity,
    )
  }
  return decimalWriter(
    decimalParameters(type)?.precision ?? 38,
    decimalParameters(type)?.scale ?? 0,
  )
}

function smallIntegerWriter(
  over: (bytes: Uint8Array) => NumberArray,
  min: number,
  max: number,
): FixedWriter {
  let values = over(new Uint8Array(0))
  const write = (row: number, value: unknown): boolean => {
    const number = typeof value === 'bigint' && value >= min && value <= max ? Number(value) : value
    if (typeof number !== 'number' || !Number.isInteger(number) || number < min || number > max)
      return false
    values[row] = number
    return true
  }
  return {
    attach(bytes) {
      values = over(bytes)
    },
    write,
    writeAll(first, given, count) {
      let nullCount = 0
      for (let index = 0; index < count; index++) {
        const value = given[index]
        if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
          values[first + index] = value
        } else if (value === null || value === undefined) {
          values[first + index] = 0
          nullCount++
        } else if (!write(first + index, value)) {
          return -1
        }
      }
      return nullCount
    },
  }
}

function floatWriter(over: (bytes: Uint8Array) => Float32Array | Float64Array): FixedWriter {
  let values = over(new Uint8Array(0))
  return {
    attach(bytes) {
      values = over(bytes)
    },
    write(row, value) {
      if (typeof value !== 'number') return false
      values[row] = value
      return true
    },
    writeAll(first, given, count) {
      let nullCount = 0
      for (let index = 0; index < count; index++) {
        const value = given[index]
        if (typeof value === 'number') {
          values[first + index] = value
        } else if (value === null || value === undefined) {
          values[first + index] = 0
          nullCount++
        } else {
          return -1
        }
      }
      return nullCount
    },
  }
}

const INT64_MIN = -(2n ** 63n)
const INT64_MAX = 2n ** 63n - 1n
const UINT64_MAX = 2n ** 64n - 1n

/**
 * Writes 64-bit values: safe integers as two halves, without a bigint; others as bigint. A safe integer of at least
 * `directMin` is its own value; others are converted.
 */
function wideWriter(
  convert: (value: unknown) => number | bigint | null,
  directMin: number,
): FixedWriter {
  let halves = new Int32Array(0)
  let wide = new BigInt64Array(0)
  const put = (row: number, value: number): void => {
    // ToInt32 is exact modulo 2^32 for every safe integer.
    halves[row * 2] = value | 0
    halves[row * 2 + 1] = Math.floor(value / 2 ** 32)
  }
  const write = (row: number, value: unknown): boolean => {
    const converted = convert(value)
    if (converted === null) return false
    if (typeof converted === 'bigint') wide[row] = BigInt.asIntN(64, converted)
    else put(row, converted)
    return true
  }
  return {
    attach(bytes) {
      halves = new Int32Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length >> 2)
      wide = new BigInt64Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length >> 3)
    },
    write,
    writeAll(first, values, count) {
      let nullCount = 0
      for (let index = 0; index < count; index++) {
        const value = values[index]
        if (typeof value === 'number' && Number.isSafeInteger(value) && value >= directMin) {
          put(first + index, value)
        } else if (value === null || value === undefined) {
          put(first + index, 0)
          nullCount++
        } else if (!write(first + index, value)) {
          return -1
        }
      }
      return nullCount
    },
  }
}

function toInt64(value: unknown, min: bigint, max: bigint): number | bigint | null {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) return null
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

function dateWriter(): FixedWriter {
  let values = new Int32Array(0)
  const write = (row: number, value: unknown): boolean => {
    const ms =
      value instanceof Date
        ? value.getTime()
        : typeof value === 'string'
          ? parseIsoTime(value)
          : null
    if (ms === null || Number.isNaN(ms)) return false
    values[row] = Math.floor(ms / DAY_MS)
    return true
  }
  return {
    attach(bytes) {
      values = new Int32Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length >> 2)
    },
    write,
    writeAll: oneByOne(write, (row) => {
      values[row] = 0
    }),
  }
}

/**
 * Far above the digits of any decimal type: a number of a million digits would take long to make and be refused after
 * all.
 */
const DECIMAL_TEXT_MAX = 256

function decimalWriter(precision: number, scale: number): FixedWriter {
  let wide = new BigInt64Array(0)
  const limit = 10n ** BigInt(precision)
  const put = (row: number, unscaled: bigint): void => {
    wide[row * 2] = BigInt.asIntN(64, unscaled)
    wide[row * 2 + 1] = unscaled >> 64n
  }
  const write = (row: number, value: unknown): boolean => {
    const unscaled = toUnscaled(value, scale)
    if (unscaled === null || unscaled >= limit || unscaled <= -limit) return false
    put(row, unscaled)
    return true
  }
  return {
    attach(bytes) {
      wide = new BigInt64Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length >> 3)
    },
    write,
    writeAll: oneByOne(write, (row) => put(row, 0n)),
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
