/**
 * Where the bytes of segments go that several steps of a round bring at the same time: small ones share a pack, others
 * get an object, or a file, of their own.
 *
 * - A pack is written like a segment: an object is proven (`ArchiveWriter.putSegment`) before anybody is told where its
 *   segment lies; a file is synced, renamed, and its directory synced.
 * - No segment is given a key that is doomed (`orphans.ts`): one that would have it goes into a pack of its own, and a
 *   pack gets another name by its turn.
 * - Its name follows from its bytes. A try that was not committed may come again with other neighbours, so what it put
 *   is remembered, and proven again before it is named.
 * - A pack on disk goes when no manifest entry names it (`sweepPacks`); one in the archive by `collect.ts`.
 */
import type { Clock } from '../base/clock.ts'
import { inTurns } from '../base/in-turns.ts'
import { randomHex } from '../base/random.ts'
import {
  PACKED_SEGMENT_BYTES_MAX,
  PACK_BYTES_MAX,
  PACK_SEGMENTS_MAX,
  PACK_SEGMENTS_MIN,
} from '../format/limits.ts'
import { type EncodedPack, type PackedBytes, packSteps } from '../format/pack.ts'
import {
  PACKS_DIRECTORY,
  packPath,
  segmentDirectory,
  segmentKey,
  segmentPath,
  temporaryPath,
} from '../format/paths.ts'
import type { Location } from '../format/segment-entry.ts'
import type { Partition } from '../log/partition.ts'
import { present } from '../base/assert.ts'
import type { DiskContext, TieringContext } from './context.ts'
import { meetIn } from './round.ts'

/** The stored bytes of a segment on their way. */
export interface PackedSegment extends PackedBytes {
  /** Null of one that only changes its place. */
  readonly partition: Partition | null
  /** Segments that are kept as long share packs. */
  readonly retention: number | null
  /** Whether it may leave this place while its log keeps it; what stays there is in no pack with it. */
  readonly isLeaving?: boolean
  /** Whether any other copy of the records goes only after the object was read back: then it need not be now. */
  readonly isProvenLater?: boolean
}

/** Objects, and files, of one meeting that are written at the same time. */
const PARALLEL_WRITES = 2

/** Of partitions: packs in the archive that no manifest named yet when they were put, by SHA-256 of the segment. */
const unnamed = new WeakMap<Partition, Map<string, Location>>()

/** Puts segments into the archive and says where each lies; they are not named yet. @throws what the store does. */
export function putSegments(
  context: TieringContext,
  segments: readonly PackedSegment[],
): Promise<readonly Location[]> {
  const bytes = segments.reduce((sum, segment) => sum + segment.bytes.length, 0)
  return meetIn(context.round, 'object', segments, (all) => putTogether(context, all), bytes)
}

/** To be told when segments of the partition were committed to the archive's manifest. */
export function areNamed(partition: Partition): void {
  unnamed.delete(partition)
}

/** Puts segments of the archive once more, in other places than those that they have. @throws what the store does. */
export async function putElsewhere(
  context: TieringContext,
  segments: readonly PackedBytes[],
): Promise<readonly Location[]> {
  const moved = segments.map((segment) => ({ ...segment, partition: null, retention: null }))
  return present(putTogether(context, [moved])[0], 'who is alone is answered')
}

function putTogether(
  context: TieringContext,
  asked: readonly (readonly PackedSegment[])[],
): readonly Promise<readonly Location[]>[] {
  const archive = present(context.archive, 'what is put has an archive')
  return written(asked, PACK_BYTES_MAX, {
    clock: context.clock,
    known: async ({ partition, name }) => {
      const location = partition === null ? undefined : unnamed.get(partition)?.get(name.sha256)
      if (location === undefined || archive.isDoomed(location.object)) return null
      return (await archive.hasPack(location)) ? location : null
    },
    isFree: (key) => !archive.isDoomed(key),
    alone: async ({ name, bytes, isProvenLater = false }) => {
      const key = segmentKey(name)
      await archive.putSegment(key, bytes, name.sha256, { isProvenLater })
      return key
    },
    pack: async (pack, sha256, segments) => {
      const key = packPath(sha256)
      const isProvenLater = segments.every(([segment]) => segment.isProvenLater === true)
      await archive.putSegment(key, pack, sha256, { isProvenLater })
      for (const [{ partition, name }, location] of segments) {
        if (partition === null) continue
        const known = unnamed.get(partition) ?? new Map<string, Location>()
        unnamed.set(partition, known.set(name.sha256, { ...location, object: key }))
      }
      return key
    },
  })
}

/** Writes a segment to disk and says where it lies; no manifest names it yet. @throws what the file system does. */
export async function writeSegment(
  context: TieringContext,
  segment: PackedSegment,
): Promise<Location> {
  const together = (all: readonly (readonly PackedSegment[])[]) => writeTogether(context, all)
  const [location] = await meetIn(context.round, 'file', [segment], together, segment.bytes.length)
  return present(location, 'a segment that was written lies somewhere')
}

/** Writes segments of the disk once more, in other places than they have. @throws what the file system does. */
export async function writeElsewhere(
  context: TieringContext,
  segments: readonly PackedSegment[],
): Promise<readonly Location[]> {
  return present(writeTogether(context, [segments])[0], 'who is alone is answered')
}

function writeTogether(
  context: TieringContext,
  asked: readonly (readonly PackedSegment[])[],
): readonly Promise<readonly Location[]>[] {
  const disk = present(context.disk, 'what is written to disk has one')
  return written(asked, context.diskBudget.packBytesMax, {
    clock: context.clock,
    known: async () => null,
    // A file of that name may go with its last reader.
    isFree: (path) => !context.pins.isGoing(path),
    alone: async ({ name, bytes }) => {
      const directory = segmentDirectory(name.logId, name.partition)
      return writeFile(context, disk, directory, segmentPath(name), bytes)
    },
    pack: (pack, sha256, segments) => {
      const counted = segments.reduce((sum, [, { length }]) => sum + length, 0)
      return writeFile(context, disk, PACKS_DIRECTORY, packPath(sha256), pack, counted)
    },
  })
}

/**
 * Write, fsync, rename, fsync the directory. Nothing is left of what fails.
 * @param counted what of it counts against the disk's budget: the bytes of segments.
 */
export async function writeFile(
  { random, diskBudget }: Pick<TieringContext, 'random' | 'diskBudget'>,
  { fileSystem, dataDir }: DiskContext,
  directory: string,
  path: string,
  bytes: Uint8Array,
  counted: number = bytes.length,
): Promise<string> {
  const temporary = `${dataDir}/${temporaryPath(randomHex(random, 8))}`
  try {
    const file = await fileSystem.create(temporary)
    try {
      await file.write(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await fileSystem.makeDirectory(`${dataDir}/${directory}`)
    await fileSystem.rename(temporary, `${dataDir}/${path}`)
    diskBudget.written(path, counted)
  } catch (error) {
    await fileSystem.remove(temporary).catch(() => {})
    throw error
  }
  await fileSystem.syncDirectory(`${dataDir}/${directory}`)
  return path
}

interface Place {
  readonly clock: Clock
  /** Where an earlier try put it, if that is there still. */
  readonly known: (segment: PackedSegment) => Promise<Location | null>
  /** Whether the name may be given to what is written. */
  readonly isFree: (path: string) => boolean
  /** Writes one segment and says under which name. */
  readonly alone: (segment: PackedSegment) => Promise<string>
  readonly pack: (
    bytes: Uint8Array,
    sha256: string,
    segments: readonly (readonly [PackedSegment, Location])[],
  ) => Promise<string>
}

/** Answers each of `asked` when all of its segments are written, or with what one of them failed with. */
function written(
  asked: readonly (readonly PackedSegment[])[],
  packBytesMax: number,
  place: Place,
): readonly Promise<readonly Location[]>[] {
  const done = new Map<PackedSegment, PromiseWithResolvers<Location>>()
  for (const segment of asked.flat()) done.set(segment, Promise.withResolvers<Location>())
  const settle = async (
    segments: readonly PackedSegment[],
    write: () => Promise<readonly Location[]>,
  ): Promise<void> => {
    try {
      const locations = await write()
      for (const [index, segment] of segments.entries())
        done.get(segment)?.resolve(present(locations[index], 'each segment lies somewhere'))
    } catch (error) {
      for (const segment of segments) done.get(segment)?.reject(error)
    }
  }
  const write = async (): Promise<void> => {
    const fresh: PackedSegment[] = []
    for (const segment of done.keys()) {
      const known = await place.known(segment).catch(() => null)
      if (known === null) fresh.push(segment)
      else done.get(segment)?.resolve(known)
    }
    const works = grouped(fresh, packBytesMax).map((group) => () => {
      const [first] = group
      const isAlone =
        group.length === 1 && first !== undefined && place.isFree(segmentKey(first.name))
      return settle(group, isAlone ? () => writeAlone(place, first) : () => writePack(place, group))
    })
    await someAtATime(works)
  }
  void write()
  return asked.map((segments) =>
    Promise.all(segments.map((segment) => present(done.get(segment), 'it is written').promise)),
  )
}

async function writeAlone(place: Place, segment: PackedSegment): Promise<readonly Location[]> {
  const object = await place.alone(segment)
  return [{ object, position: 0, length: segment.bytes.length }]
}

async function writePack(
  place: Place,
  group: readonly PackedSegment[],
): Promise<readonly Location[]> {
  const { bytes, sha256, positions } = await encodeFree(place, group)
  const locations = group.map((segment, index) => {
    const position = present(positions[index], 'each segment has a place in the pack')
    return { object: packPath(sha256), position, length: segment.bytes.length }
  })
  const object = await place.pack(
    bytes,
    sha256,
    group.map((segment, index) => [segment, present(locations[index], 'its place')] as const),
  )
  return locations.map((location) => ({ ...location, object }))
}

async function encodeFree(
  { clock, isFree }: Place,
  group: readonly PackedSegment[],
): Promise<EncodedPack> {
  for (let turn = 0; ; turn++) {
    const pack = await inTurns(packSteps(group, turn), clock)
    if (isFree(packPath(pack.sha256))) return pack
  }
}

/** What goes into one pack each; a group of one gets a file of its own. */
function grouped(
  segments: readonly PackedSegment[],
  packBytesMax: number,
): readonly (readonly PackedSegment[])[] {
  const small = segments.filter(({ bytes }) => bytes.length <= PACKED_SEGMENT_BYTES_MAX)
  const bytes = small.reduce((sum, segment) => sum + segment.bytes.length, 0)
  if (small.length < PACK_SEGMENTS_MIN && bytes < packBytesMax / 2)
    return segments.map((segment) => [segment])
  const groups = segments
    .filter(({ bytes }) => bytes.length > PACKED_SEGMENT_BYTES_MAX)
    .map((segment) => [segment])
  let last: PackedSegment[] = []
  let lastBytes = 0
  for (const segment of small.toSorted(byRetention)) {
    const isFull =
      lastBytes + segment.bytes.length > packBytesMax || last.length === PACK_SEGMENTS_MAX
    const isOther = last[0]?.isLeaving !== segment.isLeaving
    if (last.length === 0 || isFull || isOther) {
      last = []
      lastBytes = 0
      groups.push(last)
    }
    last.push(segment)
    lastBytes += segment.bytes.length
  }
  return groups
}

function byRetention(a: PackedSegment, b: PackedSegment): number {
  const [x, y] = [a, b].map(({ retention }) => retention ?? Number.MAX_SAFE_INTEGER)
  return (
    Number(a.isLeaving ?? false) - Number(b.isLeaving ?? false) ||
    (x ?? 0) - (y ?? 0) ||
    a.name.logId - b.name.logId ||
    a.name.partition - b.name.partition ||
    a.name.baseOffset - b.name.baseOffset
  )
}

async function someAtATime(works: readonly (() => Promise<void>)[]): Promise<void> {
  let next = 0
  const work = async (): Promise<void> => {
    for (let each = works[next++]; each !== undefined; each = works[next++]) await each()
  }
  await Promise.all(Array.from({ length: PARALLEL_WRITES }, work))
}
