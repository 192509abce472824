/** What a restore will cost before it begins: the plan, and how long by a short measurement of the store. */
import type { Clock } from '../base/clock.ts'
import { isStratalogError } from '../base/errors.ts'
import { rangeLength } from '../base/range.ts'
import { decodeCommit } from '../format/manifest-codec.ts'
import { manifestPath } from '../format/paths.ts'
import { commitFile } from '../log/manifest-chain.ts'
import { manifestFilesInStore } from '../log/manifest-files.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { PlannedSegment, RestorePlan, RestoreSummary } from './plan-restore.ts'
import { PARALLEL_SEGMENTS } from './restore.ts'

/** What `restore --plan --json` prints as `plan`. */
export interface RestoreForecast extends RestoreSummary {
  readonly archive: string
  /** The commit of the archive's manifest that the plan was made of. */
  readonly manifest: number
  /** Whether the directory is there before its bytes are: they follow in the background. */
  readonly isLazy: boolean
  /** Measured, with as many requests at a time as a restore has; null where there was nothing to measure. */
  readonly bytesPerSecond: number | null
  /** Until every byte is on this machine; null where it was not measured. */
  readonly expectedMs: number | null
  /** The archive's newest commit. An engine that goes on there changes what a lazy restore counts on. */
  readonly lastWrite: LastWrite | null
}

export interface LastWrite {
  /** ISO 8601. */
  readonly time: string
  readonly pid: number
  readonly host: string
}

/** Of each measured object at most so much is read. */
const SAMPLE_BYTES = 4 * 1024 * 1024

/** @throws StratalogError what the store throws; a missing object is no measurement. */
export async function forecastRestore(
  { archive, logs, summary }: RestorePlan,
  isLazy: boolean,
  clock: Clock,
  signal?: AbortSignal,
): Promise<RestoreForecast> {
  const { store, number } = archive
  const sampled = sampleOf(logs.flatMap((log) => log.segments))
  const startedAt = clock.monotonic()
  const read = await Promise.all(sampled.map((segment) => readSample(store, segment, signal)))
  const elapsedMs = clock.monotonic() - startedAt
  const bytes = read.reduce((sum, count) => sum + count, 0)
  const isMeasured = bytes > 0 && elapsedMs > 0
  return {
    ...summary,
    archive: archive.url,
    manifest: number,
    isLazy,
    bytesPerSecond: isMeasured ? Math.round((bytes / elapsedMs) * 1000) : null,
    // Small segments cost their requests, and so did those that were measured.
    expectedMs: isMeasured ? Math.round((summary.bytes / bytes) * elapsedMs) : null,
    lastWrite: await lastWriteOf(archive),
  }
}

/** Null where the commit itself is not there any more. */
async function lastWriteOf({
  store,
  number,
  state,
}: RestorePlan['archive']): Promise<LastWrite | null> {
  const files = manifestFilesInStore(store)
  const file = commitFile(number)
  const bytes = await files.read(file)
  if (bytes === null || state.writer === null) return null
  const { time } = decodeCommit(bytes, manifestPath(file))
  const { pid, host } = state.writer
  return { time: new Date(time).toISOString(), pid, host }
}

/** Some of the segments, evenly: as many as are fetched at a time. */
function sampleOf(segments: readonly PlannedSegment[]): readonly PlannedSegment[] {
  const count = Math.min(PARALLEL_SEGMENTS, segments.length)
  return Array.from({ length: count }, (_, index) => {
    const at = Math.floor(((index + 1) * segments.length) / count) - 1
    return segments[at]
  }).filter((segment) => segment !== undefined)
}

async function readSample(
  store: ObjectStore,
  { entry }: PlannedSegment,
  signal: AbortSignal | undefined,
): Promise<number> {
  if (entry.object === null) return 0
  const { object, position, length } = entry.object
  const range = { start: position, end: position + Math.min(length, SAMPLE_BYTES) }
  try {
    await store.get(object, signal === undefined ? { range } : { range, signal })
    return rangeLength(range)
  } catch (error) {
    if (isStratalogError(error) && (error.kind === 'not_found' || error.kind === 'corrupt'))
      return 0
    throw error
  }
}
