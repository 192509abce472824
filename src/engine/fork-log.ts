/**
 * Fork: a new log that shares all data of another up to an offset. Nothing is copied but the one segment of a partition
 * that the offset cuts.
 *
 * 1. what the source has in RAM is flushed, so that all that is shared lies in segments; a log of mode `memory` shares
 *    its RAM instead (fork-memory.ts);
 * 2. their files and objects are pinned, and the cut segment is written; (a crash here leaves a file that no manifest
 *    names)
 * 3. one commit makes the log with all of its segments, and it is live: from here on whoever drops a file or an object
 *    sees that it is shared;
 * 4. the archive is told. Until it is, the engine keeps the objects, and the scheduler tries again.
 */
import { present } from '../base/assert.ts'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { parseLogName } from '../base/log-name.ts'
import type { Range } from '../base/range.ts'
import { parseTime } from '../base/units.ts'
import type { PartitionState, SegmentEntry } from '../format/manifest.ts'
import { segmentDirectory } from '../format/paths.ts'
import { producersAsOf } from '../format/producer.ts'
import { SegmentEntries } from '../format/segment-entries.ts'
import { type StateEnd, lackingAt, momentCompacted } from '../log/compacted-moment.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { ownerOf } from '../log/segment-origin.ts'
import { cutSegment } from '../log/segment-cut.ts'
import type { DiskContext, TieringContext } from '../tiering/context.ts'
import { writeFile } from '../tiering/packs.ts'
import { fetchVerified } from '../tiering/recall.ts'
import type { TieringScheduler } from '../tiering/scheduler.ts'
import { readVerified } from '../tiering/upload.ts'
import { forkMemory, wantedInRam } from './fork-memory.ts'
import { type Wanted, endsAt, notShared, originsOf, wantedOf } from './fork-moment.ts'
import type { ForkEngine, ForkOptions } from './fork-options.ts'
import type { HeldBySnapshots } from './held-by-snapshot.ts'
import { logExists } from './log-registry.ts'

/** What a fork is made with. */
export interface ForkPorts {
  readonly engine: ForkEngine
  readonly context: TieringContext
  readonly disk: DiskContext
  readonly scheduler: TieringScheduler
}

/** See `Stratalog.fork`. */
export async function forkLog(
  fork: ForkPorts,
  sourceName: string,
  name: string,
  options: ForkOptions,
): Promise<LiveLog> {
  const { registry } = fork.engine
  const source = registry.get(sourceName)
  const isInRam = source.policy.mode === 'memory'
  const logName = parseLogName(name)
  if (!registry.reserve(logName)) throw logExists(logName)
  try {
    const wanted = isInRam
      ? await wantedInRam(fork.engine, source, options)
      : await wantedOf(fork.engine, source, options)
    // Of a log that had a WAL, what is not durable may be taken back, and its offsets given to others.
    if (!isInRam) await flush(fork, source)
    else if (source.usesWal) await fork.context.wal?.flush()
    const log = await makeFork(fork, source, logName, wanted, options)
    await tellArchive(fork, log)
    return log
  } catch (error) {
    registry.release(logName)
    throw error
  }
}

async function flush({ scheduler }: ForkPorts, source: LiveLog): Promise<void> {
  const target = source.policy.localDisk ? 'disk' : 'object'
  const [failure] = (await scheduler.now([source], target)).failed
  if (failure === undefined) return
  const code = failure.code === 'store_unavailable' ? failure.code : 'file_system_failed'
  throw new StratalogError(
    code,
    `Log '${source.name}' could not be flushed, and a fork shares segments: ${failure.message}`,
    { details: { ...failure } },
  )
}

/** Steps 2 and 3. */
async function makeFork(
  fork: ForkPorts,
  source: LiveLog,
  name: string,
  wanted: Wanted,
  { at, snapshot = '' }: ForkOptions,
): Promise<LiveLog> {
  const { engine, context } = fork
  if (source.closed !== null) throw source.closed
  const known = wanted.pinned === null ? null : await engine.snapshots?.held(source.definition)
  const archived = known?.store === context.archive?.store ? known : null
  const letGo = letGoOf(source, wanted, archived ?? null, snapshot)
  const held = source.partitions.map(({ partition, segments }) => [
    ...(letGo[partition] ?? []),
    ...segments,
  ])
  const pinned = held.flat().flatMap(({ disk, object }) => [disk?.object, object?.object])
  const files = pinned.filter((file) => file !== undefined)
  for (const file of files) context.pins.pin(file)
  try {
    const moments = at === undefined ? null : await endsAt(source, parseTime(at, 'at'))
    const partitions: PartitionState[] = []
    const ends: number[] = []
    for (const partition of source.partitions) {
      const number = partition.partition
      const own = held[number] ?? []
      const startOffset = letGo[number]?.at(0)?.baseOffset ?? partition.startOffset
      const last = own.at(-1)?.endOffset ?? startOffset
      const asked = Math.min(wanted.ends[number] ?? 0, moments?.[number] ?? Infinity)
      // Who wants all of a log is not to get less of it without being told.
      if (partition.lost !== null && asked > partition.lost.from) throw partition.lost.error()
      const wantedEnd = Math.max(startOffset, Math.min(asked, last))
      const lacking = at === undefined ? null : lackingAt(own, wantedEnd)
      const place = { log: source.name, partition: number, endOffset: wantedEnd }
      if (lacking !== null && !(await isSnapshotEnd(fork, source, place)))
        throw momentCompacted(place, lacking)
      const range = { start: startOffset, end: wantedEnd }
      const { part, end } = await sharedPart(fork, source, partition, own, range)
      partitions.push(part)
      ends.push(end)
    }
    if (source.policy.mode === 'memory')
      return await forkMemory(engine, source, name, wanted, { parts: partitions, ends })
    const { definition, schemas } = source
    const createdAt = engine.ports.clock.now()
    const origins = originsOf(source, ends)
    const state = await engine.commitLog((id) => ({
      definition: { ...definition, id, name, createdAt, origins },
      schemas,
      partitions,
    }))
    for (const { segments } of partitions)
      for (const { disk } of segments) if (disk !== null) context.diskBudget.named(disk.object)
    return engine.registry.add(state)
  } finally {
    for (const file of files) context.pins.unpin(file)
  }
}

/**
 * By partition: segments that the snapshot holds and the log has let go of. They lie in the archive for as long as a
 * log or a snapshot names them.
 * @throws StratalogError `offset_gap` where something of the snapshot cannot be shared.
 */
function letGoOf(
  source: LiveLog,
  { pinned }: Wanted,
  archived: HeldBySnapshots | null,
  snapshot: string,
): readonly (readonly SegmentEntry[])[] {
  return source.partitions.map(({ partition, firstOffset, denseFrom = 0 }) => {
    const part = pinned?.[partition] ?? null
    const range = { start: part?.start ?? 0, end: Math.min(part?.end ?? 0, firstOffset) }
    if (range.start >= range.end) return []
    const segments = archived?.segments(partition, range) ?? []
    let next = Math.max(range.start, denseFrom)
    for (const { baseOffset, endOffset } of segments)
      if (baseOffset <= next) next = Math.max(next, endOffset)
    if (next < range.end)
      throw notShared(source, partition, { start: next, end: range.end }, snapshot)
    return segments.map((segment) => ({ ...segment, disk: null }))
  })
}

/** Whether a snapshot that holds the log ends there: compaction keeps what that one has. */
async function isSnapshotEnd(
  { engine }: ForkPorts,
  source: LiveLog,
  { partition, endOffset }: StateEnd,
): Promise<boolean> {
  const snapshots = (await engine.snapshots?.list()) ?? []
  return snapshots.some(({ logs }) =>
    logs
      .find(({ id }) => id === source.id)
      ?.partitions.some((held) => held.partition === partition && held.endOffset === endOffset),
  )
}

/**
 * Of one partition, all of `wanted`, and where that ends: before it where older versions of keys are gone. New
 * records get the offsets from there on, so producers are known as of there.
 */
async function sharedPart(
  fork: ForkPorts,
  source: LiveLog,
  { partition, denseFrom, producers }: Partition,
  held: readonly SegmentEntry[],
  { start: startOffset, end: wantedEnd }: Range,
): Promise<{ readonly part: PartitionState; readonly end: number }> {
  const segments = held.filter(({ endOffset }) => endOffset <= wantedEnd)
  const cut = held.find(
    ({ baseOffset, endOffset }) => baseOffset < wantedEnd && endOffset > wantedEnd,
  )
  if (cut !== undefined) segments.push(...(await cutAt(fork, source, partition, cut, wantedEnd)))
  const end = segments.at(-1)?.endOffset ?? startOffset
  const known = producersAsOf(producers.states(), end)
  const part = {
    startOffset,
    segments: SegmentEntries.of(segments),
    ...(denseFrom === undefined ? {} : { denseFrom: Math.min(denseFrom, end) }),
    ...(known.length === 0
      ? {}
      : { producers: new Map(known.map((producer) => [producer.producerId, producer])) }),
  }
  return { part, end }
}

/** The part of a segment before `end`, if any, in a file of its own. It says of itself whose it was. */
async function cutAt(
  { context, disk }: ForkPorts,
  { definition, name }: LiveLog,
  partition: number,
  segment: SegmentEntry,
  end: number,
): Promise<readonly SegmentEntry[]> {
  const store = context.archive?.store ?? context.source?.store ?? null
  const bytes =
    segment.disk === null && store !== null
      ? await fetchVerified(store, segment)
      : await readVerified(disk, segment)
  const owner = { ...ownerOf(definition, partition, segment), engineId: context.engineId }
  const range = { from: segment.baseOffset, to: end, clock: context.clock }
  const cut = await cutSegment(bytes, segment, { ...owner, logName: name }, range, definition.id)
  if (cut === null) return []
  const path = present(cut.entry.disk, 'what was cut lies on disk').object
  await writeFile(context, disk, segmentDirectory(definition.id, partition), path, cut.bytes)
  return [cut.entry]
}

async function tellArchive({ context }: ForkPorts, log: LiveLog): Promise<void> {
  try {
    await context.archive?.commitStarts(log)
  } catch (error) {
    if (!isStratalogError(error)) throw error
    context.logger.warn('The archive could not be told of a fork; it is tried again.', {
      log: log.name,
      reason: error.message,
    })
  }
}
