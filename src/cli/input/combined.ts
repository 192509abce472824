/** Access logs: `combined` of Apache and nginx; the shorter `common` is one without the last two. */
import type { ColumnType, Field } from '../../format/schema.ts'

export const COMBINED_TIME_COLUMN = 'time'

export const COMBINED_FIELDS: readonly Field[] = [
  field('remote', 'utf8'),
  field('ident', 'utf8'),
  field('user', 'utf8'),
  { name: COMBINED_TIME_COLUMN, type: 'timestamp[ms]', nullable: false },
  field('method', 'utf8'),
  field('path', 'utf8'),
  field('protocol', 'utf8'),
  field('status', 'int32'),
  field('bytes', 'int64'),
  field('referrer', 'utf8'),
  field('agent', 'utf8'),
]

function field(name: string, type: ColumnType): Field {
  return { name, type, nullable: true }
}

export interface AccessRecord {
  readonly remote: string
  readonly ident: string | null
  readonly user: string | null
  readonly time: Date
  /** Null with `protocol` when the request line is not one of HTTP; `path` then holds it as it was. */
  readonly method: string | null
  readonly path: string | null
  readonly protocol: string | null
  readonly status: number
  readonly bytes: number | null
  readonly referrer: string | null
  readonly agent: string | null
}

const QUOTED = String.raw`"((?:[^"\\]|\\.)*)"`
const LINE = new RegExp(
  String.raw`^(\S+) (\S+) (.+?) \[([^\]]+)\] ${QUOTED} (\d{3}) (\d+|-)(?: ${QUOTED} ${QUOTED})?(?: .*)?$`,
)
const REQUEST = /^([A-Z][A-Z_-]*) (\S+)(?: (HTTP\/\d(?:\.\d)?))?$/

/** Null when the line is no access record. */
export function parseCombinedLine(line: string): AccessRecord | null {
  const match = LINE.exec(line.trimEnd())
  if (match === null) return null
  const time = parseAccessTime(match[4] ?? '')
  const bytes = match[7] === '-' ? null : Number(match[7])
  if (time === null || (bytes !== null && !Number.isSafeInteger(bytes))) return null
  const requestLine = match[5] ?? ''
  const request = REQUEST.exec(requestLine)
  return {
    remote: match[1] ?? '',
    ident: dashIsNull(match[2]),
    user: dashIsNull(match[3]),
    time,
    method: request?.[1] ?? null,
    path: request?.[2] ?? dashIsNull(unquoted(requestLine)),
    protocol: request?.[3] ?? null,
    status: Number(match[6]),
    bytes,
    referrer: dashIsNull(unquoted(match[8])),
    agent: dashIsNull(unquoted(match[9])),
  }
}

const MONTHS: readonly string[] = [
  'Jan',
  'Feb',
  'Mar',
  'Apr',
  'May',
  'Jun',
  'Jul',
  'Aug',
  'Sep',
  'Oct',
  'Nov',
  'Dec',
]
const TIME = /^(\d{2})\/([A-Z][a-z]{2})\/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})$/

/** `10/Oct/2000:13:55:36 -0700` as a Date; null when it is none. */
export function parseAccessTime(text: string): Date | null {
  const match = TIME.exec(text)
  if (match === null) return null
  const [day, year, hour, minute, second] = [match[1], match[3], match[4], match[5], match[6]].map(
    Number,
  )
  const month = MONTHS.indexOf(match[2] ?? '')
  const offsetMinutes = (Number(match[8]) * 60 + Number(match[9])) * (match[7] === '-' ? -1 : 1)
  if (month < 0) return null
  const ms = Date.UTC(year ?? 0, month, day, hour, minute, second) - offsetMinutes * 60_000
  return Number.isNaN(ms) ? null : new Date(ms)
}

function dashIsNull(text: string | undefined): string | null {
  return text === undefined || text === '-' || text === '' ? null : text
}

/** Apache writes a quote and a backslash inside a quoted part with a backslash before it. */
function unquoted(text: string | undefined): string | undefined {
  return text?.replace(/\\(["\\])/g, '$1')
}
