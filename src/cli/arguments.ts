/** Parsers of single arguments. Each throws what the parser reports as a usage error naming the flag. */
import { InvalidArgumentError } from 'commander'
import { isStratalogError } from '../base/errors.ts'
import { parseLogName } from '../base/log-name.ts'
import { parseTime, tryParseBytes, tryParseDuration } from '../base/units.ts'

/** A whole number of at least 0. */
export function wholeNumber(text: string): number {
  return numberFrom(0, text)
}

/** A whole number of at least 1. */
export function offsetOrNow(text: string): number | 'now' {
  return text === 'now' ? text : wholeNumber(text)
}

export function positiveNumber(text: string): number {
  return numberFrom(1, text)
}

export function portNumber(text: string): number {
  const port = numberFrom(0, text)
  if (port <= 65_535) return port
  throw new InvalidArgumentError('Give a port from 0 to 65535.')
}

/** The demo's parts are shares of its records; with fewer, one of them would be empty. */
export function demoRecords(text: string): number {
  return numberFrom(1_000, text)
}

/** A whole number, below 0 too. */
export function wholeNumberOfAnySign(text: string): number {
  if (/^-?\d+$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Give a whole number.')
}

function numberFrom(min: number, text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value) || value < min)
    throw new InvalidArgumentError(`Give a whole number of at least ${min}.`)
  return value
}

export function fraction(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value))
    throw new InvalidArgumentError('Give a number.')
  return value
}

/** A time in ms since 1970, from ISO 8601 text or from ms. */
export function time(text: string): number {
  const value = /^-?\d+$/.test(text) ? Number(text) : text
  return invalidAs(() => parseTime(value))
}

/** A time in ms since 1970, or the name of a snapshot as it is. */
export function moment(text: string): number | string {
  try {
    return time(text)
  } catch {
    return text
  }
}

/** A duration, left as it was written: the configuration reports it as the user gave it. */
export function duration(text: string): string | number {
  if (tryParseDuration(text) === null)
    throw new InvalidArgumentError(`Give a duration such as 250ms, 90s, 1h or 7d.`)
  return /^\d+$/.test(text) ? Number(text) : text
}

export function byteSize(text: string): string | number {
  if (tryParseBytes(text) === null)
    throw new InvalidArgumentError('Give a size such as 64MB or 4GB.')
  return /^\d+$/.test(text) ? Number(text) : text
}

/** `a,b,c` without empty parts; a flag given more than once adds up. */
export function list(text: string, previous: readonly string[] = []): readonly string[] {
  const parts = text.split(',').map((part) => part.trim())
  return [...previous, ...parts.filter((part) => part !== '')]
}

/** A flag that may be given more than once, each time with one value. */
export function repeated(text: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, text]
}

export function logName(text: string): string {
  return invalidAs(() => parseLogName(text))
}

/** An offset in one partition: `L/P=O`. */
export interface OffsetTarget {
  readonly log: string
  readonly partition: number
  readonly offset: number
}

export function offsetTargets(
  text: string,
  previous: readonly OffsetTarget[] = [],
): readonly OffsetTarget[] {
  return list(text).reduce((targets, part) => {
    const match = /^([^/=]+)\/(\d+)=(\d+)$/.exec(part)
    if (match === null)
      throw new InvalidArgumentError('Give a log, a partition and an offset: orders/0=1000.')
    return [
      ...targets,
      {
        log: logName(match[1] ?? ''),
        partition: wholeNumber(match[2] ?? ''),
        offset: wholeNumber(match[3] ?? ''),
      },
    ]
  }, previous)
}

/** New names of logs by old name: `a=b,c=d`. */
export function renames(
  text: string,
  previous: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const pairs = list(text).map((part) => {
    const [from = '', to = '', ...rest] = part.split('=')
    if (from === '' || to === '' || rest.length > 0)
      throw new InvalidArgumentError('Give old and new name: orders=orders2.')
    return [logName(from), logName(to)] as const
  })
  return { ...previous, ...Object.fromEntries(pairs) }
}

/** `max`, `realtime`, `stepped` or a factor such as `2x` or `0.5x`. */
export function speed(text: string): 'max' | 'realtime' | 'stepped' | number {
  if (text === 'max' || text === 'realtime' || text === 'stepped') return text
  const factor = /^\d+(\.\d+)?x$/.test(text) ? Number(text.slice(0, -1)) : 0
  if (factor > 0) return factor
  throw new InvalidArgumentError(`Give 'max', 'realtime', 'stepped', or a factor such as 2x.`)
}

function invalidAs<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (isStratalogError(error)) throw new InvalidArgumentError(error.message)
    throw error
  }
}
