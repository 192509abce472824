/**
 * JavaScript values as JSON and back, for the client of this package: what JSON has no word for is tagged as an object
 * with the one key `""`, which holds the tag and the value.
 *
 *     {"": ["date", 1769860800000]}      a Date; null for one that is none
 *     {"": ["bigint", "9007199254740993"]}
 *     {"": ["bytes", "AQID"]}            a Uint8Array, in base64
 *     {"": ["number", "NaN"]}            NaN, Infinity, -Infinity, -0
 *     {"": ["object", {…}]}              an object that has a key "" itself
 */
import { StratalogError } from './errors.ts'

/** Deeper values than this are refused: no column holds them, and the way down takes stack. */
const DEPTH_MAX = 100

/** Characters of a binary text that one call makes: each is an argument. */
const CHARS_MAX = 8_192

/** A value that `JSON.stringify` writes; the same one where nothing in it needs a tag. */
export function toWire(value: unknown, depth = 0): unknown {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0) ? value : tagged('number', value)
    case 'bigint':
      return tagged('bigint', value)
    case 'object':
      return value === null ? null : objectToWire(value, depth)
    case 'function':
    case 'symbol':
      throw new StratalogError('schema_mismatch', `No column type holds a ${typeof value}.`)
    default:
      return value
  }
}

function tagged(tag: string, value: number | bigint): unknown {
  return { '': [tag, Object.is(value, -0) ? '-0' : String(value)] }
}

function objectToWire(value: object, depth: number): unknown {
  if (depth > DEPTH_MAX) throw tooDeep()
  if (value instanceof Date)
    return { '': ['date', Number.isNaN(value.getTime()) ? null : value.getTime()] }
  if (value instanceof Uint8Array) return { '': ['bytes', base64Of(value)] }
  if (value instanceof ArrayBuffer) return { '': ['bytes', base64Of(new Uint8Array(value))] }
  if (Array.isArray(value)) return arrayToWire(value, depth)
  if (value instanceof Map || value instanceof Set || value instanceof Promise)
    throw new StratalogError('schema_mismatch', `No column type holds a ${value.constructor.name}.`)
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return value
  return plainToWire(value as Readonly<Record<string, unknown>>, depth)
}

function arrayToWire(value: readonly unknown[], depth: number): unknown {
  let copy: unknown[] | null = null
  for (let index = 0; index < value.length; index++) {
    const item = value[index]
    const made = toWire(item, depth + 1)
    if (made !== item) copy ??= value.slice()
    if (copy !== null) copy[index] = made
  }
  return copy ?? value
}

function plainToWire(value: Readonly<Record<string, unknown>>, depth: number): unknown {
  let copy: Record<string, unknown> | null = null
  for (const key of Object.keys(value)) {
    const item = value[key]
    const made = toWire(item, depth + 1)
    if (made === item) continue
    copy ??= { ...value }
    defineKey(copy, key, made)
  }
  const made = copy ?? value
  return Object.hasOwn(value, '') ? { '': ['object', made] } : made
}

/** What `toWire` was given; `value` was made by `JSON.parse` and is used up. @throws StratalogError `input_invalid`. */
export function fromWire(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (depth > DEPTH_MAX) throw tooDeep()
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const item: unknown = value[index]
      if (typeof item === 'object') value[index] = fromWire(item, depth + 1)
    }
    return value
  }
  const record = value as Record<string, unknown>
  if (Object.hasOwn(record, '')) return untagged(record[''], depth)
  for (const key of Object.keys(record)) {
    const item = record[key]
    if (typeof item === 'object' && item !== null) defineKey(record, key, fromWire(item, depth + 1))
  }
  return record
}

function untagged(content: unknown, depth: number): unknown {
  const [tag, value] = Array.isArray(content) ? (content as readonly unknown[]) : []
  if (tag === 'date' && (value === null || typeof value === 'number'))
    return new Date(value ?? Number.NaN)
  if (tag === 'bytes' && typeof value === 'string') return bytesOf(value)
  if (tag === 'bigint' && typeof value === 'string' && /^-?\d{1,40}$/.test(value))
    return BigInt(value)
  if (tag === 'number' && typeof value === 'string') return Number(value)
  if (tag === 'object' && typeof value === 'object' && value !== null) {
    const record = value as Record<string, unknown>
    for (const key of Object.keys(record)) defineKey(record, key, fromWire(record[key], depth + 1))
    return record
  }
  throw new StratalogError('input_invalid', 'A value has a tag that is none.')
}

/** A key may be called `__proto__`. */
function defineKey(record: Record<string, unknown>, key: string, value: unknown): void {
  if (key !== '__proto__') record[key] = value
  else
    Object.defineProperty(record, key, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    })
}

function tooDeep(): StratalogError {
  return new StratalogError('input_invalid', `A value has more than ${DEPTH_MAX} levels.`)
}

function base64Of(bytes: Uint8Array): string {
  let text = ''
  for (let from = 0; from < bytes.length; from += CHARS_MAX)
    text += String.fromCharCode(...bytes.subarray(from, from + CHARS_MAX))
  return btoa(text)
}

function bytesOf(base64: string): Uint8Array {
  let text: string
  try {
    text = atob(base64)
  } catch {
    throw new StratalogError('input_invalid', 'Bytes are base64.')
  }
  const bytes = new Uint8Array(text.length)
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index)
  return bytes
}
