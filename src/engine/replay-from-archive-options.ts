/** What a replay out of an archive may be asked for. */
import type { ReplaySpeed } from '../replay/pace.ts'
import type { RecordFilter } from '../replay/record-filter.ts'
import type { ReplayProgress, ReplayStep } from '../replay/replay-options.ts'
import type { ResumePoint } from '../replay/report.ts'
import type { Batch } from './batch.ts'
import {
  FLAG,
  FUNCTION,
  LOOKED_AT_LATER,
  NAMES,
  OBJECT,
  type OptionKind,
  SIGNAL,
  SOME_NAMES,
  TEXT,
  TEXTS_BY_NAME,
  assertOptions,
  assertText,
} from './check-arguments.ts'
import type { S3Options } from './config.ts'
import type { HttpEndpoint } from './http-target-sink.ts'

export interface ReplayFromArchiveOptions {
  readonly logs?: readonly string[]
  /** Records at or after this time. */
  readonly since?: Date | string | number
  /** Records before this time. */
  readonly until?: Date | string | number
  /** Offsets `[from, to)` of one log with one partition. */
  readonly from?: number
  readonly to?: number
  /** Only records for which it returns true; a record is right during the call. */
  readonly filter?: RecordFilter
  /** `max` (the default), `realtime`, how many times faster than it happened, or `stepped`. */
  readonly speed?: ReplaySpeed
  /** With `stepped`: called before each step of at most `stepRecords` records (1), taken when it resolves. */
  readonly step?: (next: ReplayStep) => Promise<void>
  readonly stepRecords?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: ReplayProgress) => void
  /**
   * Of an earlier report or progress, to go on where it stopped. Logs that the engine has already are then taken for
   * those of the earlier replay, and each record comes into them once.
   */
  readonly resumePoint?: ResumePoint
  /**
   * Takes each batch instead of the engine; it is valid until the returned promise settles. Or an endpoint that takes
   * NDJSON by POST.
   */
  readonly into?: ((log: string, batch: Batch) => void | Promise<void>) | HttpEndpoint
  readonly s3?: S3Options
}

const KINDS: Readonly<Record<keyof ReplayFromArchiveOptions, OptionKind>> = {
  ...{ logs: SOME_NAMES, since: LOOKED_AT_LATER, until: LOOKED_AT_LATER },
  ...{ from: LOOKED_AT_LATER, to: LOOKED_AT_LATER, filter: FUNCTION },
  speed: {
    expected: `'max', 'realtime', 'stepped' or a number above 0`,
    fits: (value) => typeof value === 'string' || typeof value === 'number',
  },
  ...{ step: FUNCTION, stepRecords: LOOKED_AT_LATER, signal: SIGNAL, onProgress: FUNCTION },
  resumePoint: OBJECT,
  into: {
    expected: 'a function, or an endpoint such as { url }',
    fits: (value) => FUNCTION.fits(value) || OBJECT.fits(value),
  },
  s3: OBJECT,
}

const ENDPOINT_KINDS: Readonly<Record<keyof HttpEndpoint, OptionKind>> = {
  ...{ url: TEXT, hosts: NAMES, allowPrivate: FLAG, headers: TEXTS_BY_NAME },
}

/** What by itself is wrong. @throws StratalogError `argument_invalid`. */
export function assertReplayOptions(options: ReplayFromArchiveOptions): void {
  assertOptions(options, KINDS, 'replayFromArchive')
  const { into } = options
  if (into === undefined || typeof into === 'function') return
  assertOptions(into, ENDPOINT_KINDS, 'into')
  assertText(into.url, 'url of into')
}
