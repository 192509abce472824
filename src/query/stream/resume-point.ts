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
  /** Starts of given windows that a late record changes. */
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

const PARTITION_OFFSETS = ['partition', 'start', 'next', 'emitted', 'openFrom'] as const

/** Checks what comes from outside. @throws StratalogError `argument_invalid`. */
export function checkResumePoint(value: unknown): StreamResumePoint {
  const point = value as Partial<StreamResumePoint> | null
  const isWhole = (number: unknown): boolean => Number.isSafeInteger(number) && Number(number) >= 0
  const isTime = (time: unknown): boolean => time === null || Number.isFinite(time)
  const isSound =
    typeof point === 'object' &&
    point !== null &&
    point.version === 1 &&
    typeof point.log === 'string' &&
    typeof point.sql === 'string' &&
    [point.horizon, point.watermark, point.sessionFrom].every(isTime) &&
    Array.isArray(point.partitions) &&
    (point.partitions as readonly ResumedPartition[]).every(
      (entry) => PARTITION_OFFSETS.every((key) => isWhole(entry[key])) && isTime(entry.time),
    ) &&
    Array.isArray(point.late) &&
    (point.late as readonly LateRecord[]).every(
      ({ partition, offset, time, horizon }) =>
        isWhole(partition) && isWhole(offset) && isTime(time) && isTime(horizon),
    ) &&
    Array.isArray(point.changed) &&
    point.changed.every(Number.isSafeInteger) &&
    isWhole(point.counts?.records) &&
    isWhole(point.counts?.late) &&
    typeof point.isEnding === 'boolean' &&
    isWhole(point.given)
  if (isSound) return point as StreamResumePoint
  throw new StratalogError('argument_invalid', 'resumePoint is none of a continuous query.')
}
