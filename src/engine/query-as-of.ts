/** A query as of a moment: the views of the logs that it names, cut to what there was. */
import type { LogView } from '../log/log-view.ts'
import { tableLogs } from '../query/pinned-tables.ts'
import { type AsOf, type RangesAsOf, rangesAsOf, resolveMoment } from './as-of.ts'
import type { SnapshotDescription } from './describe-snapshot.ts'

export interface ViewedLogs {
  readonly hasLog: (name: string) => boolean
  /** All that the log is now, or these offsets of it. */
  readonly viewOf: (name: string, ranges?: RangesAsOf) => LogView
  readonly listSnapshots: () => Promise<readonly SnapshotDescription[]>
}

/**
 * What pins a log's view for the query. @throws StratalogError `snapshot_not_found`, `argument_invalid`,
 * `log_not_found` for a log that the snapshot does not hold.
 */
export async function viewsAsOf(
  sql: string,
  asOf: AsOf,
  { hasLog, viewOf, listSnapshots }: ViewedLogs,
  signal?: AbortSignal,
): Promise<(name: string) => LogView> {
  const moment = await resolveMoment(asOf, listSnapshots)
  const ranges = new Map<string, RangesAsOf>()
  for (const name of tableLogs(sql, hasLog)) {
    const view = viewOf(name)
    try {
      ranges.set(name, await rangesAsOf(moment, view, signal))
    } finally {
      view.release()
    }
  }
  return (name) => viewOf(name, ranges.get(name) ?? new Map())
}
