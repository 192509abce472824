/**
 * Fork: a new log that shares all data of another up to an offset. Nothing is copied but the one segment of a partition
 * that the offset cuts.
 *
 * 1. what the source has in RAM is flushed, so that all that is shared lies in segments;
 * 2. their files and objects are pinned, and the cut segment is written; (a crash here leaves a file that no manifest
 *    names)
 * 3. one commit makes the log with all of its segments, and it is live: from here on whoever drops a file or an object
 *    sees that it is shared;
 * 4. the archive is told. Until it is, the engine keeps the objects, and the scheduler tries again.
 */
import { present } from '../base/assert.ts'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { parseLogName } from '../base/log-name.ts'
import { parseTime } from '../base/units.ts'
import type { LogOrigin, PartitionState, SegmentEntry } from '../format/manifest.ts'
import { segmentDirectory } from '../format/paths.ts'
import { producersAsOf } from '../format/producer.ts'
import { SegmentEntries } from '../format/segment-entries.ts'
import { type StateEnd, lackingAt, momentCompacted } from '../log/compacted-moment.ts'
import type { LiveLog } from '../log/live-log.ts'
import { offsetAtMoment } from '../log/offset-at-moment.ts'
import type { Partition } from '../log/partition.ts'
import { ownerOf } from '../log/segment-origin.ts'
import { cutSegment } from '../log/segment-cut.ts'
import type { DiskContext, TieringContext } from '../tiering/context.ts'
import { writeFile } from '../tiering/packs.ts'
import { fetchVerified } from '../tiering/recall.ts'
import type { TieringScheduler } from '../tiering/scheduler.ts'
import { readVerified } from '../tiering/upload.ts'
import type { ForkEngine, ForkOptions } from './fork-options.ts'
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
  if (source.policy.mode === 'memory') {
    throw invalid(
      `Log '${sourceName}' is in RAM only and has no segments that a fork could share.`,
      { log: sourceName },
    )
  }
  const logName = parseLogName(name)
  if (!registry.reserve(logName)) throw logExists(logName)
  try {
    const wanted = await wantedEnds(fork, source, options)
    await flush(fork, source)
    const log = await makeFork(fork, source, logName, wanted, options)
    await tellArchive(fork, log)
    return log
  } catch (error) {
    registry.release(logName)
    throw error
  }
}

/** By partition; what is visible now where nothing else is asked for. */
async function wantedEnds(
  { engine }: ForkPorts,
  source: LiveLog,
  { atOffset, at, snapshot }: ForkOptions,
): Promise<readonly number[]> {
  if ([atOffset, at, snapshot].filter((given) => given !== undefined).length > 1)
    throw invalid('Give one of atOffset, at and snapshot: each says where the fork begins.', {})
  const visible = source.partitions.map(({ readableEnd }) => readableEnd)
  if (atOffset !== undefined) {
    const [end = 0] = visible
    const start = source.partitions[0]?.startOffset ?? 0
    if (visible.length > 1)
      throw invalid(
        `Log '${source.name}' has ${visible.length} partitions, and an offset names one. Give a time or a snapshot.`,
        { log: source.name, partitions: visible.length },
      )
    if (!Number.isSafeInteger(atOffset) || atOffset < start || atOffset > end)
      throw invalid(`Log '${source.name}' has offsets ${start} to ${end}; ${atOffset} is none.`, {
        log: source.name,
        atOffset,
        startOffset: start,
        endOffset: end,
      })
    return [atOffset]
  }
  if (snapshot === undefined) return visible
  const found = (await engine.snapshots?.list())?.findLast(
    ({ name, id }) => name === snapshot || id === snapshot,
  )
  const held = found?.logs.find(({ id }) => id === source.id)
  if (held === undefined)
    throw new StratalogError(
      'snapshot_not_found',
      `There is no snapshot '${snapshot}' that holds log '${source.name}'.`,
      { details: { snapshot, log: source.name } },
    )
  return visible.map((end, partition) => {
    const pinned = held.partitions.find((part) => part.partition === partition)
    return Math.min(end, pinned?.endOffset ?? 0)
  })
}

async function flush({ scheduler }: ForkPorts, source: LiveLog): Promise<void> {
  const target = source.policy.localDisk ? 'disk' : 'object'
  const [failure] = (await scheduler.now([source], target)).failed
  if (failure === undefined) return
  throw new StratalogError(
    'file_system_failed',
    `Log '${source.name}' could not be flushed, and a fork shares segments: ${failure.message}`,
    { details: { ...failure } },
  )
}

/** Steps 2 and 3. */
async function makeFork(
  fork: ForkPorts,
  source: LiveLog,
  name: string,
  wanted: readonly number[],
  { at }: ForkOptions,
): Promise<LiveLog> {
  const { engine, context } = fork
  if (source.closed !== null) throw source.closed
  const held = source.partitions.map(({ segments }) => [...segments])
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
      const last = own.at(-1)?.endOffset ?? partition.startOffset
      const asked = Math.min(wanted[number] ?? 0, moments?.[number] ?? Infinity)
      // Who wants all of a log is not to get less of it without being told.
      if (partition.lost !== null && asked > partition.lost.from) throw partition.lost.error()
      const wantedEnd = Math.max(partition.startOffset, Math.min(asked, last))
      const lacking = at !== undefined ? lackingAt(own, wantedEnd) : null
      const place = { log: source.name, partition: number, endOffset: wantedEnd }
      if (lacking !== null && !(await isSnapshotEnd(fork, source, place)))
        throw momentCompacted(place, lacking)
      const { part, end } = await sharedPart(fork, source, partition, own, wantedEnd)
      partitions.push(part)
      ends.push(end)
    }
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

/** What the source shares itself lies before what it wrote. */
function originsOf({ definition }: LiveLog, ends: readonly number[]): readonly LogOrigin[] {
  const clipped = (definition.origins ?? []).map(({ logId, endOffsets }) => ({
    logId,
    endOffsets: endOffsets.map((end, partition) => Math.min(end, ends[partition] ?? 0)),
  }))
  return [...clipped, { logId: definition.id, endOffsets: ends }]
}

/** By partition; what had been appended by then. */
async function endsAt(source: LiveLog, at: number): Promise<readonly number[]> {
  const view = source.view()
  try {
    return await Promise.all(
      view.partitions.map(({ partition }) => offsetAtMoment(view, partition, at)),
    )
  } finally {
    view.release()
  }
}

/**
 * Of one partition, all below `wantedEnd`, and where that ends: before it where older versions of keys are gone. New
 * records get the offsets from there on, so producers are known as of there.
 */
async function sharedPart(
  fork: ForkPorts,
  source: LiveLog,
  { partition, startOffset, denseFrom, producers }: Partition,
  held: readonly SegmentEntry[],
  wantedEnd: number,
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

function invalid(message: string, details: Readonly<Record<string, unknown>>): StratalogError {
  return new StratalogError('argument_invalid', message, { details })
}
