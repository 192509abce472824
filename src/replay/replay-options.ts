/** What a replay may be asked for. */
import { StratalogError } from '../base/errors.ts'
import type { ReplaySpeed } from './pace.ts'
import type { RecordFilter } from './record-filter.ts'
import type { ResumePoint } from './report.ts'
import { isResumePoint } from './resume-point.ts'

export interface ReplayProgress {
  readonly records: number
  /** Stored bytes that were read. */
  readonly bytes: number
  /** Offsets that were gone through, of `recordsTotal`; those that are left out count too. */
  readonly recordsPassed: number
  readonly recordsTotal: number
  readonly elapsedMs: number
  readonly recordsPerSecond: number
  /** At the rate so far; null while that says nothing. */
  readonly remainingMs: number | null
  /** Where a later replay would go on. */
  readonly resumePoint: () => ResumePoint
}

/** What is given out next by a replay that goes step by step. */
export interface ReplayStep {
  readonly log: string
  readonly partition: number
  readonly offset: number
  readonly records: number
  /** Of the first record, ms. */
  readonly time: number
}

export interface ReplayOptions {
  readonly logs?: readonly string[] | undefined
  /** ms. */
  readonly since?: number | undefined
  readonly until?: number | undefined
  /** Offsets, of one log with one partition. */
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly filter?: RecordFilter | undefined
  readonly speed?: ReplaySpeed | undefined
  /** With the speed `stepped`: called before each step; it is taken when the promise resolves. */
  readonly step?: ((next: ReplayStep) => Promise<void>) | undefined
  /** Records of a step, at most. Default 1. */
  readonly stepRecords?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: ReplayProgress) => void) | undefined
  /**
   * From the report or the progress of an earlier replay with the same options. The hash covers what this one gives.
   */
  readonly resumePoint?: ResumePoint | undefined
}

/** Before anything is read. @throws StratalogError `argument_invalid`. */
export function checkReplayOptions(options: ReplayOptions): void {
  const { from, to, since, until, speed, step, stepRecords, resumePoint } = options
  for (const [name, value] of Object.entries({ from, to, stepRecords })) {
    if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) continue
    throw invalid(`${name} is a whole number, 0 or more; got ${String(value)}.`)
  }
  if (from !== undefined && to !== undefined && from > to)
    throw invalid(`from (${from}) is after to (${to}).`)
  if (since !== undefined && until !== undefined && since > until)
    throw invalid(
      `since (${new Date(since).toISOString()}) is after until (${new Date(until).toISOString()}).`,
    )
  if (resumePoint !== undefined && !isResumePoint(resumePoint))
    throw invalid('resumePoint is none of a replay: take it from a report, or from its progress.')
  if (stepRecords === 0) throw invalid('stepRecords is 1 or more.')
  if ((speed === 'stepped') !== (step !== undefined))
    throw invalid(`speed 'stepped' and a function step belong together.`)
}

/** Offsets say nothing of several partitions. @throws StratalogError `argument_invalid`. */
export function checkPartitionCount({ from, to }: ReplayOptions, partitionCount: number): void {
  if ((from === undefined && to === undefined) || partitionCount <= 1) return
  throw invalid(
    `from and to are offsets of one partition, and ${partitionCount} would be replayed; name one log with one partition, or use since and until.`,
    { from, to, partitions: partitionCount },
  )
}

function invalid(message: string, details: Readonly<Record<string, unknown>> = {}): StratalogError {
  return new StratalogError('argument_invalid', message, { details })
}
