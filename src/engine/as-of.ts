/**
 * Reading as of a moment: a snapshot, by name or id, or a time of the engine's clock. It says for each partition which
 * offsets there were; these are then read from wherever they lie now. What has expired since is a gap.
 */
import { StratalogError } from '../base/errors.ts'
import { type Range, rangeLength } from '../base/range.ts'
import { parseTime } from '../base/units.ts'
import { lackingAt, momentCompacted } from '../log/compacted-moment.ts'
import type { LogView } from '../log/log-view.ts'
import { offsetAtMoment } from '../log/offset-at-moment.ts'
import type { ReadableLog } from './readable-log.ts'
import type { SnapshotDescription } from './describe-snapshot.ts'

/** Name or id of a snapshot, or a time. */
export type AsOf = string | Date | number

/** By partition: the offsets that there were. */
export type RangesAsOf = ReadonlyMap<number, Range>

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

/** The same log, with nothing in it but these offsets. */
export function readableAsOf(log: ReadableLog, ranges: RangesAsOf): ReadableLog {
  const rangeOf = (partition: number): Range => ranges.get(partition) ?? { start: 0, end: 0 }
  return {
    name: log.name,
    partitionCount: log.partitionCount,
    rangeOf,
    newestStart: (partition, count) => {
      const range = rangeOf(partition)
      return range.end - Math.min(count, rangeLength(range))
    },
    viewOf: (partition, from, to) =>
      log.viewOf(partition, from, Math.min(to, rangeOf(partition).end)),
    waitFor: () => Promise.resolve(),
  }
}
