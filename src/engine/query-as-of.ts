/** A query as of a moment: the views of the logs that it names, cut to what there was. */
import { isStratalogError } from '../base/errors.ts'
import type { LogView } from '../log/log-view.ts'
import { type LogFacts, namesLogFacts } from '../query/information-tables.ts'
import { sqlWords, tableLogs } from '../query/pinned-tables.ts'
import type { QueriedState } from '../query/query-runner.ts'
import {
  type AsOf,
  type HeldOf,
  type LogAsOf,
  type Moment,
  type RangesAsOf,
  logAsOf,
  offsetsAsOf,
  resolveMoment,
  viewAsOf,
} from './as-of.ts'
import type { SnapshotDescription } from './describe-snapshot.ts'
import { logFactsAsOf } from './log-facts.ts'

const NO_LOG: LogAsOf = { ranges: new Map(), held: null }

export interface ViewedLogs {
  readonly hasLog: (name: string) => boolean
  /** All that the log is now, or these offsets of it. */
  readonly viewOf: (name: string, ranges?: RangesAsOf) => LogView
  /** Of all logs, now. */
  readonly logFacts: () => readonly LogFacts[]
  readonly listSnapshots: () => Promise<readonly SnapshotDescription[]>
  readonly heldOf: HeldOf
}

/**
 * The state that the query asks. @throws StratalogError `snapshot_not_found`, `argument_invalid`, `log_not_found` for a
 * log that the snapshot does not hold.
 */
export async function stateAsOf(
  sql: string,
  asOf: AsOf,
  logs: ViewedLogs,
  signal?: AbortSignal,
): Promise<QueriedState> {
  const { hasLog, viewOf, listSnapshots, heldOf } = logs
  const moment = await resolveMoment(asOf, listSnapshots)
  const withView = async <T>(name: string, find: (view: LogView) => Promise<T>): Promise<T> => {
    const view = viewOf(name)
    try {
      return await find(view)
    } finally {
      view.release()
    }
  }
  const found = new Map<string, LogAsOf>()
  for (const name of tableLogs(sql, hasLog))
    found.set(name, await withView(name, (view) => logAsOf(moment, view, heldOf, signal)))
  const offsetsOf = (name: string): Promise<RangesAsOf> =>
    withView(name, (view) => offsetsAsOf(moment, view, signal))
  const shown = namesLogFacts(sqlWords(sql)) ? await rangesOfAll(moment, logs, offsetsOf) : null
  const until = moment.kind === 'time' ? moment.at : Date.parse(moment.snapshot.time)
  return {
    viewOf: (name) => {
      const log = found.get(name) ?? NO_LOG
      return viewAsOf(log, viewOf(name, log.ranges))
    },
    logFacts: () =>
      logs.logFacts().flatMap((log) => {
        const held = shown?.get(log.definition.name)
        return held === undefined ? [] : [logFactsAsOf(log, held)]
      }),
    snapshots: async () => (await listSnapshots()).filter(({ time }) => Date.parse(time) <= until),
  }
}

/** By name, of the logs that there were. */
async function rangesOfAll(
  moment: Moment,
  { logFacts }: ViewedLogs,
  rangesOf: (name: string) => Promise<RangesAsOf>,
): Promise<ReadonlyMap<string, RangesAsOf>> {
  const found = new Map<string, RangesAsOf>()
  for (const { definition } of logFacts()) {
    const { id, name, createdAt } = definition
    const wasThere =
      moment.kind === 'time'
        ? createdAt <= moment.at
        : moment.snapshot.logs.some((held) => held.id === id)
    if (!wasThere) continue
    try {
      found.set(name, await rangesOf(name))
    } catch (error) {
      // It was deleted meanwhile.
      if (!isStratalogError(error) || error.code !== 'log_not_found') throw error
    }
  }
  return found
}
