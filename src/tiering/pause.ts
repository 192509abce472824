/**
 * Tier moves of a log, or of all, that somebody paused. The manifest has it, so it holds through restarts, and for a
 * process that is started to pause and ends.
 *
 * Paused is what the scheduler does by itself: flush, upload, drop, compact, recall, retire, collect. What somebody
 * asks for goes on (`now`, a round, a snapshot, an append that waits for the archive), and so does what the budgets
 * ask for: a pause takes room on the disk and in RAM up to their limits, and never more.
 */
import { StratalogError } from '../base/errors.ts'
import type { ManifestEdit, ManifestState } from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { TieringContext } from './context.ts'

/** In place of a log's id. */
export const ALL_LOGS = 0

/** Since when a log's moves are paused, by itself or with all; null where they are not. */
export function pausedSince({ paused }: ManifestState, logId: number): number | null {
  if (paused.size === 0) return null
  const times = [paused.get(ALL_LOGS), paused.get(logId)].filter((since) => since !== undefined)
  return times.length === 0 ? null : Math.min(...times)
}

export function isPaused({ disk }: TieringContext, logId: number): boolean {
  return disk !== null && pausedSince(disk.manifest.state, logId) !== null
}

/** The edits that pause `logs`, or all where it is null. What is paused already stays so since it was. */
export function pauseEdits(
  { paused, logs: known }: ManifestState,
  logs: readonly LiveLog[] | null,
  since: number,
): readonly ManifestEdit[] {
  const ids = logs === null ? [ALL_LOGS] : logs.map(({ id }) => id).filter((id) => known.has(id))
  return ids
    .filter((logId) => !paused.has(logId))
    .map((logId) => ({ kind: 'tiering-paused', logId, since }))
}

/**
 * The edits that let moves of `logs` go on, or of all where it is null.
 * @throws StratalogError `argument_invalid` for some logs while all are paused.
 */
export function resumeEdits(
  { paused }: ManifestState,
  logs: readonly LiveLog[] | null,
): readonly ManifestEdit[] {
  if (logs !== null && paused.has(ALL_LOGS)) {
    throw new StratalogError(
      'argument_invalid',
      'The moves of all logs are paused: resume all, and pause those that are to stand still.',
      { details: { logs: logs.map(({ name }) => name) } },
    )
  }
  const ids = logs === null ? [...paused.keys()] : logs.map(({ id }) => id)
  return ids
    .filter((logId) => paused.has(logId))
    .map((logId) => ({ kind: 'tiering-paused', logId, since: null }))
}
