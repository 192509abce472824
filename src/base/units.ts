import { StratalogError } from './errors.ts'

/** A duration: a whole number of ms, or text such as `250ms`, `90s`, `5m`, `1h`, `7d`, `2w`. */
export type Duration = number | string
/** A size: a whole number of bytes, or text such as `64KB`, `1.5 MiB`, `4GB`; KB, MB, GB, TB are powers of 1024. */
export type ByteSize = number | string

const DURATION_UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

const BYTE_UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1024,
  kib: 1024,
  mb: 1024 ** 2,
  mib: 1024 ** 2,
  gb: 1024 ** 3,
  gib: 1024 ** 3,
  tb: 1024 ** 4,
  tib: 1024 ** 4,
}

/** A duration in whole ms, or null when the value is not one. */
export function tryParseDuration(value: unknown): number | null {
  return parseQuantity(value, DURATION_UNITS_MS, 'ms')
}

/** A size in whole bytes, or null when the value is not one. */
export function tryParseBytes(value: unknown): number | null {
  return parseQuantity(value, BYTE_UNITS, 'b')
}

/** @throws StratalogError `argument_invalid` when the value is not a duration. */
export function parseDuration(value: Duration, what = 'duration'): number {
  const ms = tryParseDuration(value)
  if (ms !== null) return ms
  throw new StratalogError(
    'argument_invalid',
    `${what}: ${JSON.stringify(value)} is not a duration; give ms as a number, or text like '90s', '1h', '7d'.`,
  )
}

/** @throws StratalogError `argument_invalid` when the value is not a size. */
export function parseBytes(value: ByteSize, what = 'size'): number {
  const bytes = tryParseBytes(value)
  if (bytes !== null) return bytes
  throw new StratalogError(
    'argument_invalid',
    `${what}: ${JSON.stringify(value)} is not a size; give bytes as a number, or text like '64KB', '4GB'.`,
  )
}

function parseQuantity(value: unknown, units: Readonly<Record<string, number>>, bareUnit: string): number | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : null
  if (typeof value !== 'string') return null
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(value)
  if (match === null) return null
  const unit = units[(match[2] === '' ? bareUnit : (match[2] ?? '')).toLowerCase()]
  if (unit === undefined) return null
  const amount = Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(amount) ? amount : null
}

/** Bytes for people: `0 B`, `1.5 KiB`, `64 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let amount = bytes
  let unit = 0
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024
    unit++
  }
  const digits = unit === 0 || amount >= 100 || Number.isInteger(amount) ? 0 : 1
  return `${amount.toFixed(digits)} ${units[unit] ?? ''}`
}

/** A duration for people: `12 ms`, `3.4 s`, `2 m 05 s`, `1 h 02 m`. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`
  const seconds = Math.round(ms / 1_000)
  const pad = (part: number): string => String(part).padStart(2, '0')
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} m ${pad(seconds % 60)} s`
  return `${Math.floor(seconds / 3_600)} h ${pad(Math.floor((seconds % 3_600) / 60))} m`
}

/** A count for people, with thousands separated: `3,000,000`. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+(?!\d))/g, ',')
}

/** A time given as a Date, ISO 8601 text or ms since 1970, in ms. @throws StratalogError `argument_invalid`. */
export function parseTime(value: Date | string | number, what = 'time'): number {
  const ms = value instanceof Date ? value.getTime() : typeof value === 'number' ? value : Date.parse(value)
  if (Number.isFinite(ms)) return Math.floor(ms)
  throw new StratalogError(
    'argument_invalid',
    `${what}: ${JSON.stringify(value)} is not a time; give a Date, ISO 8601 text such as 2026-01-31T14:05:00Z, or ms since 1970.`,
  )
}
