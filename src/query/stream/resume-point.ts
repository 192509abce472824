/** Where a continuous query goes on: a few numbers, as JSON. The records stay in the log. */
import { StratalogError } from '../../base/errors.ts'

/** A record that does not count in windows that end at or before `horizon`; in no session at all. */
export interface LateRecord {
  readonly partition: number
  readonly offset: number
  readonly time: number
  readonly horizon: number
}

/**
 * All that was given up to a row. A query that is opened with it gives the rows that follow, each once. Keep it as
 * JSON, best in the same transaction as the row; what is in it may change with the release.
 */
export interface StreamResumePoint {
  readonly version: 1
  readonly log: string
  /** Another log may come to have the name. */
  readonly logId: number
  /** The statement; another one has other windows. */
  readonly sql: string
  readonly partitions: readonly ResumedPartition[]
  /** Windows that end at or before this were given, in ms; null before the first. */
  readonly horizon: number | null
  readonly watermark: number | null
  /** Sessions that are open begin here or later. */
  readonly sessionFrom: number | null
  /** Records that came too late for windows that are not given yet, or for open sessions. */
  readonly late: readonly LateRecord[]
  /** Starts of given windows that a late record changes; of sessions, the times of such records. */
  readonly changed: readonly number[]
  readonly counts: { readonly records: number; readonly late: number }
  /** The windows that are given come to the end of a query that does not go on; open ones are among them. */
  readonly isEnding: boolean
  /** Rows that were given of what was due. */
  readonly given: number
}

export interface ResumedPartition {
  readonly partition: number
  /** The first offset of the query. */
  readonly start: number
  readonly next: number
  /** `next` when rows were last given in full. */
  readonly emitted: number
  /** The first offset that an open window may need. */
  readonly openFrom: number
  /** The newest time that was read; null where none was. */
  readonly time: number | null
}

type Check = (value: unknown) => boolean

const isText: Check = (value) => typeof value === 'string'
const isWhole: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0
const isTime: Check = (value) => Number.isSafeInteger(value)
const isTimeOrNull: Check = (value) => value === null || isTime(value)
const hasFields =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(fields).every(([key, check]) =>
      check((value as Readonly<Record<string, unknown>>)[key]),
    )
const isListOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check)

const isResumePoint = hasFields({
  version: (value) => value === 1,
  log: isText,
  logId: isWhole,
  sql: isText,
  partitions: isListOf(
    hasFields({
      partition: isWhole,
      start: isWhole,
      next: isWhole,
      emitted: isWhole,
      openFrom: isWhole,
      time: isTimeOrNull,
    }),
  ),
  horizon: isTimeOrNull,
  watermark: isTimeOrNull,
  sessionFrom: isTimeOrNull,
  late: isListOf(hasFields({ partition: isWhole, offset: isWhole, time: isTime, horizon: isTime })),
  changed: isListOf(isTime),
  counts: hasFields({ records: isWhole, late: isWhole }),
  isEnding: (value) => typeof value === 'boolean',
  given: isWhole,
})

/** Checks what comes from outside. @throws StratalogError `argument_invalid`. */
export function checkResumePoint(value: unknown): StreamResumePoint {
  if (isResumePoint(value)) return value as StreamResumePoint
  throw new StratalogError('argument_invalid', 'resumePoint is none of a continuous query.')
}
