/** Brings what a snapshot pinned to a `snapshotLocation`: what is not there yet, as it lies in segments or from RAM. */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { Mutex } from '../base/mutex.ts'
import { type Range, subtractRanges } from '../base/range.ts'
import type {
  ManifestEdit,
  ManifestState,
  PartitionState,
  SegmentEntry,
  Snapshot,
} from '../format/manifest.ts'
import { applyEdits } from '../format/manifest-builder.ts'
import { segmentKey } from '../format/paths.ts'
import { type ProducerState, producersAsOf } from '../format/producer.ts'
import { segmentsHolding } from '../log/held-segments.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { SegmentBytes, SegmentSource, ViewSource } from '../log/log-view.ts'
import type { Partition } from '../log/partition.ts'
import { type OffsetTerms, runsWithin, termsInRam } from '../log/record-terms.ts'
import { producerEdits } from '../log/producer-table.ts'
import { checkSegment } from '../log/segment-damage.ts'
import type { SegmentOwner } from '../log/segment-reading.ts'
import { ownerOf } from '../log/segment-origin.ts'
import { createSnapshot } from '../snapshot/create.ts'
import { cutSegment } from '../log/segment-cut.ts'
import { type ArchiveWriter, isThere } from '../tiering/archive-writer.ts'
import { collectArchive } from '../tiering/collect.ts'
import { notedIn } from '../tiering/committed.ts'
import type { TieringContext } from '../tiering/context.ts'
import { putBatches } from '../tiering/flush.ts'
import { cutsByTerms, groupForSegments } from '../tiering/segment-groups.ts'
import { memoryParts } from '../tiering/memory-parts.ts'
import { PieceRoom } from '../tiering/piece-room.ts'
import { type Pinned, stillThere } from './pinned.ts'

/** A partition at the instant of the snapshot. */
interface PinnedPartition {
  readonly log: LiveLog
  readonly partition: Partition
  readonly end: number
  readonly producers: readonly ProducerState[]
}

interface Request {
  readonly id: string
  readonly name: string
  readonly time: number
}

/** Of places: one snapshot, or one release, counts on what is there until it is committed. */
const changing = new WeakMap<ArchiveWriter, Mutex>()

function alone<Result>(
  { archive }: TieringContext,
  work: (place: ArchiveWriter) => Promise<Result>,
): Promise<Result> {
  const place = present(archive, 'a snapshot location is written')
  const mutex = changing.get(place) ?? new Mutex()
  changing.set(place, mutex)
  return mutex.run(() => work(place))
}

/**
 * @param context its archive is the location.
 * @param check is called right before the commit. @throws what it throws.
 * @throws StratalogError `offset_gap`, and what the store and the segments' copies throw; then there is no snapshot.
 */
export async function snapshotToPlace(
  context: TieringContext,
  pinned: readonly Pinned[],
  request: Request,
  check: () => void = () => {},
): Promise<Snapshot> {
  // As of the instant: of a time that has passed only so many appends are remembered.
  const parts = pinned.flatMap(({ log, partitions }) =>
    partitions.map(({ partition, endOffset: end }): PinnedPartition => {
      const part = log.partition(partition)
      return { log, partition: part, end, producers: producersAsOf(part.producerStates, end) }
    }),
  )
  return alone(context, (place) => makeSnapshot(context, place, pinned, parts, request, check))
}

async function makeSnapshot(
  context: TieringContext,
  place: ArchiveWriter,
  pinned: readonly Pinned[],
  parts: readonly PinnedPartition[],
  request: Request,
  check: () => void,
): Promise<Snapshot> {
  const manifest = await place.manifest()
  // A snapshot that was answered with an error may have been made.
  if (!manifest.isSure) await manifest.settle()
  // What is damaged is made again of what RAM still has, or it could be restored no better than what was before it.
  const lost = damagedOf(manifest.state, place.damaged, pinned)
  const known = applyEdits(manifest.state, [...lostEdits(manifest.state, lost)])
  const added = new Map<PinnedPartition, readonly SegmentEntry[]>()
  for (const part of parts) added.set(part, await bringOverIfThere(context, known, part))
  const newBytes = [...added.values()].flat().reduce((sum, { length }) => sum + length, 0)
  let made: Snapshot | null = null
  await place.commitSnapshot(
    pinned.map(({ log }) => log),
    (state, described) => {
      check()
      const edits = [
        ...lostEdits(state, lost),
        ...parts
          .filter(({ log }) => isThere(state, log))
          .flatMap((part) => partitionEdits(state, part, added.get(part) ?? [])),
      ]
      const plan = createSnapshot(applyEdits(state, [...described, ...edits]), {
        ...request,
        pinned: stillThere(state, pinned),
        newBytes,
      })
      made = plan.snapshot
      return [...edits, ...plan.edits]
    },
    (log) =>
      parts
        .filter((part) => part.log === log)
        .flatMap((part) => {
          const { partition } = part.partition
          return (added.get(part) ?? []).map((segment) => ({ partition, segment }))
        }),
  )
  for (const key of lost) place.damaged.delete(key)
  return present<Snapshot>(made, 'a committed snapshot was made')
}

/** Those of the objects that segments of pinned logs in RAM lie in. */
function damagedOf(
  state: ManifestState,
  damaged: ReadonlySet<string>,
  pinned: readonly Pinned[],
): ReadonlySet<string> {
  const ids = new Set(pinned.map(({ log }) => log.id))
  const found = new Set<string>()
  for (const { logId, key } of segmentsIn(state, damaged)) if (ids.has(logId)) found.add(key)
  return found
}

/** Lets go of segments in these objects. */
function* lostEdits(state: ManifestState, lost: ReadonlySet<string>): Generator<ManifestEdit> {
  for (const { logId, partition, baseOffset } of segmentsIn(state, lost))
    yield { kind: 'segment-copy-dropped', logId, partition, baseOffset, tier: 'object' }
}

interface LostSegment {
  readonly logId: number
  readonly partition: number
  readonly baseOffset: number
  readonly key: string
}

/** The segments of logs in RAM that lie in these objects. */
function* segmentsIn(
  { logs }: ManifestState,
  objects: ReadonlySet<string>,
): Generator<LostSegment, void, undefined> {
  if (objects.size === 0) return
  for (const [logId, { definition, partitions }] of logs) {
    if (definition.policy.mode !== 'memory') continue
    for (const [partition, { segments }] of partitions.entries())
      for (const { baseOffset, object } of segments)
        if (object !== null && objects.has(object.object))
          yield { logId, partition, baseOffset, key: object.object }
  }
}

function partitionEdits(
  state: ManifestState,
  { log, partition, producers }: PinnedPartition,
  added: readonly SegmentEntry[],
): readonly ManifestEdit[] {
  const place = { logId: log.id, partition: partition.partition }
  return [
    ...added.map((segment) => ({ kind: 'segment-added' as const, ...place, segment })),
    ...producerEdits(log.id, partition.partition, notedIn(state, log, partition.partition), [
      ...producers,
    ]),
  ]
}

/** Nothing of a log that is deleted before or meanwhile: its copies may be gone. */
async function bringOverIfThere(
  context: TieringContext,
  known: ManifestState,
  part: PinnedPartition,
): Promise<readonly SegmentEntry[]> {
  if (part.log.closed !== null) return []
  try {
    return await bringOver(context, known, part)
  } catch (error) {
    if (part.log.closed === null) throw error
    return []
  }
}

async function bringOver(
  context: TieringContext,
  known: ManifestState,
  { log, partition, end }: PinnedPartition,
): Promise<readonly SegmentEntry[]> {
  // Of a log that had a WAL, what is not durable may be taken back, and its offsets given to others.
  if (log.usesWal) await context.wal?.flush()
  const added: SegmentEntry[] = []
  for (const missing of missingOf(notedIn(known, log, partition.partition), partition, end)) {
    const { view, release } = partition.view(missing)
    const terms = termsInRam(partition)
    try {
      for (const sources of runsOf(view.sources)) {
        const [first] = sources
        if (first === undefined) continue
        if (first.tier === 'memory')
          added.push(...(await putMemory(context, { log, partition, terms, release }, sources)))
        else added.push(...(await putSegment(context, log, partition, first)))
      }
    } finally {
      release()
    }
  }
  return added
}

/** Offsets of the partition below `end` that no segment there holds. */
function missingOf(
  known: PartitionState | undefined,
  { startOffset }: Partition,
  end: number,
): readonly Range[] {
  let missing: readonly Range[] = startOffset < end ? [{ start: startOffset, end }] : []
  const held = known === undefined ? [] : segmentsHolding(known, startOffset, end)
  for (const { baseOffset, endOffset: to } of held)
    missing = missing.flatMap((range) => subtractRanges(range, { start: baseOffset, end: to }))
  return missing
}

/** Segments one by one, and what lies in RAM between them together. */
function runsOf(sources: readonly ViewSource[]): readonly (readonly ViewSource[])[] {
  const runs: ViewSource[][] = []
  for (const source of sources) {
    const run = runs.at(-1)
    if (source.tier === 'memory' && run?.[0]?.tier === 'memory') run.push(source)
    else runs.push([source])
  }
  return runs
}

/** Records of RAM, and their terms when they were pinned. */
interface InRam {
  readonly log: LiveLog
  readonly partition: Partition
  readonly terms: readonly OffsetTerms[]
  /** Of what ends at or before the offset. */
  readonly release: (below: number) => void
}

async function putMemory(
  context: TieringContext,
  { log, partition, terms, release }: InRam,
  sources: readonly ViewSource[],
): Promise<readonly SegmentEntry[]> {
  const parts = await memoryParts(sources, context.clock)
  const segments: SegmentEntry[] = []
  const room = new PieceRoom()
  for (const group of groupForSegments(parts, cutsByTerms(parts, terms))) {
    const records = group.map(({ batch }) => batch)
    const [first] = group
    const end = group.at(-1)?.endOffset ?? 0
    const runs = runsWithin(terms, first?.baseOffset ?? 0, end)
    segments.push(
      await putBatches(context, {
        log,
        partition,
        records,
        producers: undefined,
        terms: runs,
        room,
      }),
    )
    // What was evicted meanwhile goes now: all of it at once, at the end, would hold up appends.
    release(end)
  }
  return segments
}

/** The bytes of a segment as they are, or what of it is wanted, if anything; checked before they count as a copy. */
async function putSegment(
  context: TieringContext,
  log: LiveLog,
  partition: Partition,
  source: SegmentSource,
): Promise<readonly SegmentEntry[]> {
  const place = present(context.archive, 'a snapshot location is written')
  const { segment, from, to } = source
  const number = partition.partition
  const owner = ownerOf(log.definition, number, source.segment)
  const stored = await soundBytes(source, owner)
  const isAll = from <= segment.baseOffset && to >= segment.endOffset
  const cutOwner = { ...owner, engineId: context.engineId, logName: log.name }
  const cut = isAll
    ? { bytes: stored, entry: segment }
    : await cutSegment(stored, segment, cutOwner, { from, to, clock: context.clock })
  if (cut === null) return []
  const { bytes, entry } = cut
  const key = segmentKey({ ...entry, logId: log.id, partition: number })
  await place.putSegment(key, bytes, entry.sha256)
  return [{ ...entry, disk: null, object: { object: key, position: 0, length: entry.length } }]
}

/** Of the first copy that is as it was written. @throws what the last one throws. */
async function soundBytes(source: SegmentSource, owner: SegmentOwner): Promise<Uint8Array> {
  const { segment, fallback } = source
  try {
    return await checkedBytes(source.bytes, segment, owner)
  } catch (error) {
    if (fallback === undefined) throw error
    fallback.onUse(error)
    return checkedBytes(fallback.bytes, segment, owner)
  }
}

async function checkedBytes(
  copy: SegmentBytes,
  segment: SegmentEntry,
  owner: SegmentOwner,
): Promise<Uint8Array> {
  const bytes = await copy.read({ start: 0, end: segment.length })
  const damage = await checkSegment(bytes, segment, owner)
  if (damage === null) return bytes
  throw new StratalogError('segment_corrupt', damage.reason, { details: { ...owner, ...damage } })
}

/**
 * Lets go of what no snapshot holds any more of logs in RAM, of which nothing else is kept; objects go after a grace.
 * What is in RAM still stays: the next snapshot counts on it.
 * @throws StratalogError what the store throws.
 */
export function releaseUnheld(context: TieringContext): Promise<void> {
  return alone(context, async (place) => {
    await place.commitEdits((state) => [...unheldStarts(context, state)])
    await collectArchive(context)
  })
}

function* unheldStarts(
  { clock, logs }: TieringContext,
  state: ManifestState,
): Generator<ManifestEdit> {
  const retiredAt = clock.now()
  const live = new Map([...logs()].map((log) => [log.id, log]))
  for (const [logId, { definition, partitions }] of state.logs) {
    if (definition.policy.mode !== 'memory') continue
    for (const [partition, { segments, startOffset: start }] of partitions.entries()) {
      const inRam = live.get(logId)?.partitions[partition]?.startOffset ?? Infinity
      const held = Math.min(heldFrom(state, logId, partition) ?? Infinity, inRam)
      const first = segments.find((segment) => segment.endOffset > held)
      const startOffset = first?.baseOffset ?? segments.at(-1)?.endOffset ?? start
      if (startOffset > start)
        yield { kind: 'start-moved', logId, partition, startOffset, retiredAt }
    }
  }
}

/** The first offset of a partition that some snapshot holds; null: none does. */
function heldFrom({ snapshots }: ManifestState, logId: number, number: number): number | null {
  let first: number | null = null
  for (const { logs } of snapshots.values()) {
    for (const log of logs) {
      if (log.logId !== logId) continue
      for (const { partition, startOffset, endOffset } of log.partitions)
        if (partition === number && startOffset < endOffset)
          first = Math.min(first ?? Infinity, startOffset)
    }
  }
  return first
}
