/**
 * Reading as of a moment: a snapshot, by name or id, or a time of the engine's clock. It says for each partition which
 * offsets there were; these are then read from wherever they lie now: of a snapshot also from where snapshots lie, for
 * what the log has let go of since. Of a time that is a gap.
 */
import { StratalogError } from '../base/errors.ts'
import { type Range, rangeLength } from '../base/range.ts'
import { parseTime } from '../base/units.ts'
import type { LogDefinition } from '../format/manifest.ts'
import { lackingAt, momentCompacted } from '../log/compacted-moment.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { LogView, PartitionView } from '../log/log-view.ts'
import { offsetAtMoment } from '../log/offset-at-moment.ts'
import { type HeldBySnapshots, filled, holesIn } from './held-by-snapshot.ts'
import type { ReadableLog } from './readable-log.ts'
import type { SnapshotDescription } from './describe-snapshot.ts'

const NOTHING: Range = { start: 0, end: 0 }

/** Name or id of a snapshot, or a time. */
export type AsOf = string | Date | number

/** By partition: the offsets that there were. */
export type RangesAsOf = ReadonlyMap<number, Range>

/** A log as of a moment. */
export interface LogAsOf {
  readonly ranges: RangesAsOf
  /** What snapshots hold of it; null where all is read from the log. */
  readonly held: HeldBySnapshots | null
}

/** What snapshots hold of a log, wherever they lie; null where that is not known. */
export type HeldOf = (log: LogDefinition) => Promise<HeldBySnapshots | null>

export type Moment =
  | { readonly kind: 'snapshot'; readonly snapshot: SnapshotDescription }
  | {
      readonly kind: 'time'
      readonly at: number
      readonly listSnapshots: () => Promise<readonly SnapshotDescription[]>
    }

/** @throws StratalogError `snapshot_not_found` for a text that is neither, `argument_invalid`. */
export async function resolveMoment(
  asOf: AsOf,
  listSnapshots: () => Promise<readonly SnapshotDescription[]>,
): Promise<Moment> {
  if (typeof asOf !== 'string') return { kind: 'time', at: parseTime(asOf, 'asOf'), listSnapshots }
  const snapshots = await listSnapshots()
  const snapshot =
    snapshots.find(({ id }) => id === asOf) ?? snapshots.findLast(({ name }) => name === asOf)
  if (snapshot !== undefined) return { kind: 'snapshot', snapshot }
  try {
    return { kind: 'time', at: parseTime(asOf, 'asOf'), listSnapshots }
  } catch (error) {
    const names = snapshots.map(({ name }) => name)
    throw new StratalogError(
      'snapshot_not_found',
      `There is no snapshot '${asOf}', and it is no time; there are ${names.length === 0 ? 'none' : names.join(', ')}.`,
      { cause: error, details: { snapshot: asOf, snapshots: names } },
    )
  }
}

/**
 * @param view all that the log is now.
 * @throws StratalogError `log_not_found` when the snapshot is without the log, `moment_compacted`.
 */
export async function rangesAsOf(
  moment: Moment,
  view: LogView,
  signal?: AbortSignal,
): Promise<RangesAsOf> {
  const ranges = await offsetsAsOf(moment, view, signal)
  if (moment.kind === 'time') await assertTold(moment, view, ranges)
  return ranges
}

/** A time at which a snapshot ends is as good as the snapshot. */
async function assertTold(
  { listSnapshots }: Extract<Moment, { kind: 'time' }>,
  { definition: { id, name }, partitions }: LogView,
  ranges: RangesAsOf,
): Promise<void> {
  let snapshots: readonly SnapshotDescription[] | null = null
  for (const { partition, sources } of partitions) {
    const endOffset = ranges.get(partition)?.end ?? 0
    const segments = sources.flatMap((source) => (source.tier === 'memory' ? [] : source.segment))
    const lacking = lackingAt(segments, endOffset)
    if (lacking === null) continue
    snapshots ??= await listSnapshots()
    const isHeld = snapshots.some(({ logs }) =>
      logs
        .find((log) => log.id === id)
        ?.partitions.some((held) => held.partition === partition && held.endOffset === endOffset),
    )
    if (!isHeld) throw momentCompacted({ log: name, partition, endOffset }, lacking)
  }
}

/** The offsets alone, whether or not their records are there. @throws StratalogError `log_not_found`. */
export async function offsetsAsOf(
  moment: Moment,
  view: LogView,
  signal?: AbortSignal,
): Promise<RangesAsOf> {
  if (moment.kind === 'time') {
    const ranges = view.partitions.map(async ({ partition, startOffset: start }) => {
      const end = await offsetAtMoment(view, partition, moment.at, signal)
      return [partition, { start, end: Math.max(start, end) }] as const
    })
    return new Map(await Promise.all(ranges))
  }
  const { snapshot } = moment
  const { id, name } = view.definition
  const log = snapshot.logs.find((candidate) => candidate.id === id)
  if (log === undefined) {
    throw new StratalogError(
      'log_not_found',
      `Snapshot '${snapshot.name}' does not hold log '${name}'.`,
      { details: { log: name, snapshot: snapshot.name } },
    )
  }
  return new Map(
    log.partitions.map(({ partition, startOffset: start, endOffset: end }) => [
      partition,
      { start, end },
    ]),
  )
}

/** @param view all that the log is now. @throws StratalogError as `rangesAsOf`, and what the store throws. */
export async function logAsOf(
  moment: Moment,
  view: LogView,
  heldOf: HeldOf,
  signal?: AbortSignal,
): Promise<LogAsOf> {
  const ranges = await rangesAsOf(moment, view, signal)
  const isWhole = ({ partition, sources }: PartitionView): boolean =>
    holesIn(sources, ranges.get(partition) ?? NOTHING).length === 0
  // A log in RAM says when its records expire in footers, which cost a request each.
  const isAllThere = view.definition.policy.mode === 'memory' && view.partitions.every(isWhole)
  if (moment.kind === 'time' || isAllThere) return { ranges, held: null }
  return { ranges, held: await heldOf(view.definition) }
}

/** What a running engine knows of moments. */
export interface Moments {
  readonly listSnapshots: () => Promise<readonly SnapshotDescription[]>
  readonly heldOf: HeldOf
  /** @throws StratalogError `engine_closed`. */
  readonly assertOpen: () => void
}

/** @throws StratalogError as `resolveMoment` and `logAsOf`. */
export async function liveLogAsOf(
  log: LiveLog,
  asOf: AsOf,
  { listSnapshots, heldOf, assertOpen }: Moments,
  signal: AbortSignal | undefined,
): Promise<LogAsOf> {
  const moment = await resolveMoment(asOf, listSnapshots)
  assertOpen()
  const view = log.view()
  try {
    return await logAsOf(moment, view, heldOf, signal)
  } finally {
    view.release()
  }
}

/** A view of the log as of the moment: `view` is one of `ranges` of what it is now. */
export function viewAsOf({ ranges, held }: LogAsOf, view: LogView): LogView {
  return held === null ? view : filled(view, held, ranges)
}

/** The same log, with nothing in it but these offsets. */
export function readableAsOf(log: ReadableLog, { ranges, held }: LogAsOf): ReadableLog {
  const rangeOf = (partition: number): Range => ranges.get(partition) ?? NOTHING
  return {
    name: log.name,
    partitionCount: log.partitionCount,
    rangeOf,
    newestStart: (partition, count) => {
      const range = rangeOf(partition)
      return range.end - Math.min(count, rangeLength(range))
    },
    viewOf: (partition, from, to) => {
      const end = Math.min(to, rangeOf(partition).end)
      if (held === null) return log.viewOf(partition, from, end)
      const live = log.rangeOf(partition)
      const isBelow = from < live.start
      const wanted = { start: from, end: isBelow ? Math.min(end, live.start) : end }
      const view = log.viewOf(partition, wanted.start, wanted.end)
      const part = view.partitions.find((candidate) => candidate.partition === partition)
      // Beside what the log has, no more than it pins at a time.
      if (!isBelow && from < live.end && part !== undefined) wanted.end = part.endOffset
      return filled(view, held, new Map([[partition, wanted]]))
    },
    waitFor: () => Promise.resolve(),
  }
}
