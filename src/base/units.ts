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
    `${what}: ${shown(value)} is not a duration; give ms as a number, or text like '90s', '1h', '7d'.`,
  )
}

/** @throws StratalogError `argument_invalid` when the value is not a size. */
export function parseBytes(value: ByteSize, what = 'size'): number {
  const bytes = tryParseBytes(value)
  if (bytes !== null) return bytes
  throw new StratalogError(
    'argument_invalid',
    `${what}: ${shown(value)} is not a size; give bytes as a number, or text like '64KB', '4GB'.`,
  )
}

function parseQuantity(
  value: unknown,
  units: Readonly<Record<string, number>>,
  bareUnit: string,
): number | null {
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
  // From 1023.5 on, whole numbers would be shown as 1024.
  while (amount >= (unit === 0 ? 1024 : 1023.5) && unit < units.length - 1) {
    amount /= 1024
    unit++
  }
  const digits = unit === 0 || amount >= 100 || Number.isInteger(amount) ? 0 : 1
  return `${amount.toFixed(digits)} ${units[unit] ?? ''}`
}

/** A duration for people: `12 ms`, `3.4 s`, `2 m 05 s`, `1 h 02 m`. */
export function formatDuration(ms: number): string {
  if (Math.round(ms) < 1_000) return `${Math.round(ms)} ms`
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`
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
  const ms =
    value instanceof Date
      ? value.getTime()
      : typeof value === 'string'
        ? parseIsoTime(value)
        : value
  if (typeof ms === 'number' && Number.isFinite(ms)) return Math.floor(ms)
  throw new StratalogError(
    'argument_invalid',
    `${what}: ${shown(value)} is not a time; give a Date, ISO 8601 text such as 2026-01-31T14:05:00Z, or ms since 1970.`,
  )
}

/** A date, or a date and a time of day; seconds, their fraction and the zone may be left out. */
const ISO_TIME_PATTERN =
  /^(\d{4}|[+-]\d{6})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?(Z|[+-]\d{2}:?\d{2})?)?$/i

/** A time to the ns: whole ms since 1970, rounded down, and the ns above them, below a million. */
export interface ExactTime {
  readonly ms: number
  readonly nanoseconds: number
}

/**
 * ISO 8601 text as a time; null for anything else. Text without a zone is UTC: what is stored must not depend on where
 * the process runs, and `Date.parse` takes nearly any text that has a number in it.
 */
export function parseExactTime(text: string): ExactTime | null {
  const match = ISO_TIME_PATTERN.exec(text)
  if (match === null) return null
  const [year, month, day, hour, minute, second] = match
    .slice(1, 7)
    .map((part) => Number(part ?? 0))
  if (year === undefined || month === undefined || day === undefined) return null
  if ((hour ?? 0) > 23 || (minute ?? 0) > 59 || (second ?? 0) > 59) return null
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  // A day that its month does not have comes out as one of the next.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return null
  const fraction = (match[7] ?? '').padEnd(9, '0')
  const ofDay = ((hour ?? 0) * 60 + (minute ?? 0)) * 60_000 + (second ?? 0) * 1_000
  const ms = date.getTime() + ofDay - zoneMs(match[8]) + Number(fraction.slice(0, 3))
  return Number.isNaN(ms) ? null : { ms, nanoseconds: Number(fraction.slice(3, 9)) }
}

/** ISO 8601 text in whole ms since 1970, rounded down; null for anything else. See `parseExactTime`. */
export function parseIsoTime(text: string): number | null {
  return parseExactTime(text)?.ms ?? null
}

/** How far a zone such as `+01:30` is ahead of UTC. */
function zoneMs(zone: string | undefined): number {
  if (zone === undefined || zone.toUpperCase() === 'Z') return 0
  const ms = (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(-2))) * 60_000
  return zone.startsWith('-') ? -ms : ms
}

/** What was given, for a message; JSON has no text for some of what callers without types pass. */
function shown(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`
  // JSON makes null of NaN and the infinities.
  return typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? typeof value)
}
