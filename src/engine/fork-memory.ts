/**
 * Fork of a log in RAM: a new log in the same memory. Sealed batches never change, so both show them; each lets go of
 * them by itself, and the memory goes back when both have. Nothing is copied.
 *
 * 1. what the log has in segments, of a snapshot or of a time when it had another mode, is pinned and shared as any
 *    fork does;
 * 2. the open batches are sealed and all are leased in one synchronous stretch: that is the fork's moment;
 * 3. a commit makes the log, where logs are committed, and its batches are those that are leased. After a crash it is
 *    empty, or what its last snapshot has, as any log in RAM.
 */
import { parseLogName } from '../base/log-name.ts'
import { parseTime } from '../base/units.ts'
import type { LogState, PartitionState } from '../format/manifest.ts'
import { producersAsOf } from '../format/producer.ts'
import { SegmentEntries } from '../format/segment-entries.ts'
import type { CausedGap } from '../log/gap-history.ts'
import type { HotBatch } from '../log/hot-batch.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { ProducerTable } from '../log/producer-table.ts'
import { type Wanted, endsAt, notShared, originsOf, wantedOf } from './fork-moment.ts'
import type { ForkEngine, ForkOptions } from './fork-options.ts'
import { holesIn } from './held-by-snapshot.ts'
import { logExists } from './log-registry.ts'

/** What a partition of the fork has in segments, and where they end. */
export interface SharedSegments {
  readonly parts: readonly PartitionState[]
  readonly ends: readonly number[]
}

/** What is taken of a partition, leased. */
interface Taken {
  readonly batches: readonly HotBatch[]
  readonly end: number
  readonly gaps: readonly CausedGap[]
  readonly producers: ProducerTable
}

/** @param segments null where the log has none. @throws StratalogError what committing a log does. */
export async function forkMemory(
  { registry, ports, commitLog }: ForkEngine,
  source: LiveLog,
  name: string,
  { ends }: Wanted,
  segments: SharedSegments | null,
): Promise<LiveLog> {
  if (source.closed !== null) throw source.closed
  const taken = source.partitions.map((partition, number) =>
    take(partition, ends[number] ?? 0, segments?.ends[number] ?? 0),
  )
  try {
    const { definition, schemas } = source
    const createdAt = ports.clock.now()
    const origins = segments === null ? {} : { origins: originsOf(source, segments.ends) }
    const state = await commitLog((id): LogState => ({
      definition: { ...definition, id, name, createdAt, ...origins },
      schemas,
      partitions:
        segments?.parts ??
        source.partitions.map(({ startOffset }, number) => ({
          startOffset: Math.min(startOffset, taken[number]?.end ?? startOffset),
          segments: SegmentEntries.empty,
        })),
    }))
    const log = registry.add(state)
    for (const [number, part] of taken.entries())
      give(log.partition(number), part, source.partition(number))
    return log
  } finally {
    for (const { batches } of taken) for (const batch of batches) batch.release()
  }
}

function take(partition: Partition, end: number, from: number): Taken {
  partition.sealOpenBatch()
  const batches: HotBatch[] = []
  for (const batch of partition.batches) {
    if (batch.baseOffset < from || batch.baseOffset >= end || batch.length === 0) continue
    batch.retain()
    batches.push(batch)
  }
  const { view, release } = partition.view()
  const gaps = view.gaps?.within(partition.startOffset, end) ?? []
  release()
  const producers = new ProducerTable(producersAsOf(partition.producerStates, end))
  return { batches, end, gaps: gaps.filter(({ cause }) => cause !== 'missing'), producers }
}

function give(partition: Partition, taken: Taken, source: Partition): void {
  partition.noteGaps(taken.gaps)
  for (const held of taken.batches) {
    const batch = partition.share(held, taken.end)
    partition.skipTo(batch.baseOffset)
    partition.addAdopted(batch)
    partition.applied(batch.length, false)
    partition.skipTo(batch.endOffset)
  }
  partition.skipTo(Math.max(taken.end, partition.nextOffset))
  partition.coldTerms = source.coldTerms
  partition.producers = taken.producers
}

/** In an engine that has no files. See `Stratalog.fork`. */
export async function forkInRam(
  engine: ForkEngine,
  sourceName: string,
  name: string,
  options: ForkOptions,
): Promise<LiveLog> {
  const { registry } = engine
  const source = registry.get(sourceName)
  const logName = parseLogName(name)
  if (!registry.reserve(logName)) throw logExists(logName)
  try {
    const wanted = await wantedInRam(engine, source, options)
    return await forkMemory(engine, source, logName, wanted, null)
  } catch (error) {
    registry.release(logName)
    throw error
  }
}

/** @throws StratalogError as `wantedOf`, and `offset_gap` where a snapshot holds more than the log has now. */
export async function wantedInRam(
  engine: ForkEngine,
  source: LiveLog,
  options: ForkOptions,
): Promise<Wanted> {
  const wanted = await wantedOf(engine, source, options)
  await assertInRam(engine, source, wanted, options.snapshot ?? '')
  // What was let go of below a snapshot is not looked for in an archive.
  if (options.at === undefined) return { ...wanted, pinned: null }
  return { ends: await endsAt(source, parseTime(options.at, 'at')), pinned: null }
}

async function assertInRam(
  { snapshots }: ForkEngine,
  source: LiveLog,
  { pinned }: Wanted,
  snapshot: string,
): Promise<void> {
  if (pinned === null || snapshots === null) return
  const held = await snapshots.held(source.definition)
  for (const [number, range] of pinned.entries()) {
    if (range === null) continue
    const { view, release } = source.partition(number).view(range)
    const [gone] = holesIn(view.sources, range).flatMap((hole) => {
      const [first] = held?.view(number, hole).sources ?? []
      return first === undefined || first.tier === 'memory' ? [] : [first]
    })
    release()
    if (gone !== undefined)
      throw notShared(source, number, { start: gone.from, end: gone.to }, snapshot)
  }
}
