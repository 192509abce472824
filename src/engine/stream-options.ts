/** What a continuous query may be asked for. */
import { StratalogError } from '../base/errors.ts'
import {
  type ByteSize,
  type Duration,
  parseBytes,
  parseDuration,
  parseTime,
} from '../base/units.ts'
import { type QueryParameters, checkedParameters } from '../base/query-parameters.ts'
import { type StreamResumePoint, checkResumePoint } from '../query/stream/resume-point.ts'
import type { LateOutput, StreamRequest } from '../query/stream/stream-ports.ts'
import { assertKnownKeys, assertSignal, assertText } from './check-arguments.ts'

export interface StreamSqlOptions {
  /** Of the statement's placeholders. */
  readonly parameters?: QueryParameters
  /** How far behind the newest record one may come and still count: windows close that much later. Default 0. */
  readonly lateness?: Duration
  /**
   * What becomes of a record that comes later than that: it is left out, or the window is given again with it, or a
   * function takes it, with others, as objects. Default `drop`.
   */
  readonly late?: 'drop' | 'update' | LateOutput
  /** When rows are given: once, when their window closes, or whenever they have changed. Default `close`. */
  readonly emit?: 'close' | 'change'
  /** Rows that changed are given this often at most. Default `1s`. */
  readonly emitInterval?: Duration
  /** A partition that is silent for so long does not hold the windows of the others open. Default `10s`. */
  readonly idleTimeout?: Duration
  /** An offset, of a log of one partition; `now`: what is appended from here on. Default: the beginning. */
  readonly from?: number | 'now'
  /** Only records at or after this time. */
  readonly since?: Date | string | number
  /** `false` ends it with what is there now; windows that are open then are given as they are. Default `true`. */
  readonly live?: boolean
  /** Goes on where another left off; instead of `from`, with the same statement. */
  readonly resumePoint?: StreamResumePoint | null
  /** Whether records that no tier holds any more end it with `offset_gap`. Default `fail`. */
  readonly onGap?: 'fail' | 'skip'
  /** Of what it keeps, and of rows that are given together. Default `64MB`. */
  readonly maxStateBytes?: ByteSize
  readonly signal?: AbortSignal
}

const KEYS: Readonly<Record<keyof StreamSqlOptions, true>> = {
  parameters: true,
  lateness: true,
  late: true,
  emit: true,
  emitInterval: true,
  idleTimeout: true,
  from: true,
  since: true,
  live: true,
  resumePoint: true,
  onGap: true,
  maxStateBytes: true,
  signal: true,
}

/** @throws StratalogError `argument_invalid`, `query_invalid` for a parameter. */
export function streamRequest(
  sql: string,
  options: StreamSqlOptions,
  signal: AbortSignal,
): StreamRequest {
  assertKnownKeys(options, KEYS, 'streamSql')
  assertText(sql, 'The statement of streamSql')
  if (options.signal !== undefined) assertSignal(options.signal)
  const {
    late = 'drop',
    emit = 'close',
    from,
    since,
    live = true,
    resumePoint = null,
    onGap = 'fail',
  } = options
  if (late !== 'drop' && late !== 'update' && typeof late !== 'function')
    throw invalid(`late is 'drop', 'update' or a function; got ${String(late)}.`)
  assertOneOf('emit', emit, ['close', 'change'])
  assertOneOf('onGap', onGap, ['fail', 'skip'])
  if (typeof live !== 'boolean') throw invalid(`live is true or false; got ${String(live)}.`)
  if (resumePoint !== null && from !== undefined)
    throw invalid('resumePoint says where it goes on: leave from out.')
  if (from !== undefined && from !== 'now' && !(Number.isSafeInteger(from) && from >= 0))
    throw invalid(`from is an offset or 'now'; got ${String(from)}.`)
  return {
    sql,
    parameters: checkedParameters(options.parameters === undefined ? [] : options.parameters),
    latenessMs: parseDuration(options.lateness ?? 0, 'lateness'),
    late,
    emit,
    emitIntervalMs: parseDuration(options.emitInterval ?? 1_000, 'emitInterval'),
    idleTimeoutMs: parseDuration(options.idleTimeout ?? 10_000, 'idleTimeout'),
    from: from ?? null,
    since: since === undefined ? -Infinity : parseTime(since, 'since'),
    live,
    skipGaps: onGap === 'skip',
    stateBytesMax: parseBytes(options.maxStateBytes ?? '64MB', 'maxStateBytes'),
    resume: resumePoint === null ? null : checkResumePoint(resumePoint),
    signal,
  }
}

function assertOneOf(name: string, value: string, allowed: readonly string[]): void {
  if (allowed.includes(value)) return
  throw invalid(`${name} is ${allowed.map((one) => `'${one}'`).join(' or ')}; got ${value}.`)
}

function invalid(message: string): StratalogError {
  return new StratalogError('argument_invalid', message)
}
