/** What an archive's manifest should say and does not: problems that no segment by itself can show. */
import { isStratalogError } from '../base/errors.ts'
import type { LogState, ManifestState, Snapshot, PartitionState } from '../format/manifest.ts'
import { SegmentEntries } from '../format/segment-entries.ts'
import { recordsIn } from '../format/segment-entry.ts'
import { PACKS_DIRECTORY, SEGMENTS_DIRECTORY, type SegmentName } from '../format/paths.ts'
import { SEGMENT_TAIL_BYTES, parseSegmentTail } from '../format/segment-reader.ts'
import { type Archive, wholePartition } from '../log/archive-view.ts'
import { unheld } from '../log/held-segments.ts'
import { readingStore, segmentsAt } from '../log/pack-contents.ts'
import type { MissingObject } from '../log/segment-damage.ts'
import type { ListedObject } from '../storage/object-store.ts'
import type { LiveLogFacts } from './live-side.ts'

/** Records that the manifest names, of one log or of all. */
export function recordsNamed(log: LogState): number {
  return log.partitions
    .flatMap((partition) => [...partition.segments])
    .reduce((sum, segment) => sum + recordsIn(segment), 0)
}

/** Offsets between segments that no segment holds, where the log was not free to let go of them. */
export function gapReasons(log: LogState): readonly string[] {
  const { name, policy } = log.definition
  if (policy.mode === 'memory') return []
  return log.partitions.flatMap(({ startOffset, segments, denseFrom = 0 }, partition) => {
    const reasons: string[] = []
    let next = startOffset
    for (const segment of segments) {
      if (segment.baseOffset > Math.max(next, denseFrom))
        reasons.push(`${place(name, partition, next, segment.baseOffset)} is in no object.`)
      next = segment.endOffset
    }
    return reasons
  })
}

/** Offsets that a snapshot promises and the manifest has no segments for. */
export function snapshotReasons(archive: Archive, snapshot: Snapshot): readonly string[] {
  return snapshot.logs.flatMap(({ logId, name, partitions }) => {
    const log = archive.state.logs.get(logId)
    if (log === undefined)
      return [
        `Snapshot '${snapshot.name}' holds log '${name}', which the manifest no longer names.`,
      ]
    if (log.definition.policy.mode === 'memory') return []
    return partitions.flatMap(({ partition, startOffset, endOffset }) => {
      const nothing = { startOffset: 0, segments: SegmentEntries.empty }
      const state = log.partitions[partition] ?? nothing
      return unheld(state, startOffset, endOffset).map(
        ({ start, end }) =>
          `Snapshot '${snapshot.name}' holds ${place(name, partition, start, end)}, which is in no object.`,
      )
    })
  })
}

/**
 * Objects whose records lie behind all that the manifest names: it is older than the bucket. A writer puts an object
 * before it commits, so the manifest is read again after the listing before one is called unnamed. An object of a log
 * without a WAL may also be of records that a crash took before the commit: it is named all the same, for nobody can
 * tell.
 */
export async function unnamedObjects(
  archive: Archive,
  reopen: () => Promise<Archive>,
): Promise<readonly MissingObject[]> {
  const unnamed: ListedObject[] = []
  for (const directory of [SEGMENTS_DIRECTORY, PACKS_DIRECTORY]) {
    for await (const object of archive.store.list(`${directory}/`))
      if (await isBehind(archive, object.key)) unnamed.push(object)
  }
  if (unnamed.length === 0) return []
  const newer = await reopen()
  const behind: ListedObject[] = []
  for (const object of unnamed) if (await isBehind(newer, object.key)) behind.push(object)
  return (await Promise.all(behind.map((object) => describeUnnamed(archive, object)))).flat()
}

/** As `unnamedObjects`, in words. */
export async function unnamedReasons(
  archive: Archive,
  reopen: () => Promise<Archive>,
): Promise<readonly string[]> {
  const unnamed = await unnamedObjects(archive, reopen)
  return unnamed.map(
    ({ key, log, partition, from, to }) =>
      `Object ${key} holds records behind all that the manifest names: the manifest is stale. They are of ${place(log, partition, from, to)}.`,
  )
}

/** What the object says of itself, of each segment in a pack; of a damaged one what its name says. */
async function describeUnnamed(
  archive: Archive,
  { key, length }: ListedObject,
): Promise<readonly MissingObject[]> {
  const held = await segmentsAt(key, readingStore(archive.store))
  const behind = held.filter((segment) => isSegmentBehind(archive.state, segment))
  return Promise.all(
    behind.map((segment) => {
      const isPacked = 'position' in segment && 'length' in segment
      const [position, bytes] = isPacked
        ? [Number(segment.position), Number(segment.length)]
        : [0, length]
      return describeSegment(archive, key, segment, position, bytes)
    }),
  )
}

async function describeSegment(
  archive: Archive,
  key: string,
  { logId, partition, baseOffset: from }: SegmentName,
  position: number,
  length: number,
): Promise<MissingObject> {
  const name = archive.state.logs.get(logId)?.definition.name
  try {
    const start = position + Math.max(0, length - SEGMENT_TAIL_BYTES)
    const range = { start, end: position + length }
    const tail = parseSegmentTail(await archive.store.get(key, { range }), length)
    if (tail.kind === 'facts')
      return { key, log: name ?? tail.facts.logName, partition, from, to: tail.facts.endOffset }
  } catch (error) {
    if (!isStratalogError(error) || error.kind === 'unavailable') throw error
  }
  return { key, log: name ?? `#${logId}`, partition, from, to: from + 1 }
}

/**
 * Objects that a live engine counts on, and whose offsets the manifest has nowhere. It may have them in others: between
 * the two looks small segments become one, and old ones go.
 */
export function uncommittedReasons(
  archive: Archive,
  { id, name, partitions }: LiveLogFacts,
): readonly string[] {
  const log = archive.state.logs.get(id)
  if (archive.state.deletedLogIds.has(id)) return []
  return partitions.flatMap(({ partition, objects }) =>
    objects.flatMap(({ baseOffset, endOffset, object }) => {
      if (isNamed(log?.partitions[partition], baseOffset, endOffset)) return []
      const records = place(name, partition, baseOffset, endOffset)
      return [
        `The engine has ${records} in object ${object}, which the manifest does not name: it is stale.`,
      ]
    }),
  )
}

/** Whether segments of the partition hold all of the offsets, but for those before its start. */
function isNamed(
  partition: PartitionState | undefined,
  baseOffset: number,
  endOffset: number,
): boolean {
  if (partition === undefined) return false
  let next = Math.max(baseOffset, partition.startOffset)
  for (const segment of partition.segments.from(next)) {
    if (next >= endOffset || segment.baseOffset > next) break
    next = segment.endOffset
  }
  return next >= endOffset
}

/** A range of records in words. */
export function place(log: string, partition: number, from: number, to: number): string {
  return `log '${log}', partition ${partition}, offsets [${from}, ${to})`
}

async function isBehind({ state, store }: Archive, key: string): Promise<boolean> {
  const held = await segmentsAt(key, readingStore(store))
  return held.some((segment) => isSegmentBehind(state, segment))
}

function isSegmentBehind(
  { logs, deletedLogIds }: ManifestState,
  { logId, partition, baseOffset }: SegmentName,
): boolean {
  const log = logs.get(logId)
  if (log === undefined) return !deletedLogIds.has(logId)
  if (log.deletedAt !== undefined) return false
  const known = log.partitions[partition]
  return known === undefined || baseOffset >= wholePartition(known, partition).endOffset
}
