/** How an engine meets its archive: whose it is, and what each of the two knows that the other does not. */
import type { Clock } from '../base/clock.ts'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { sha256Hex } from '../format/checksum.ts'
import { decodeIdentity, encodeIdentity } from '../format/identity.ts'
import {
  type LogDefinition,
  type LogState,
  type ManifestEdit,
  type ManifestState,
  type PartitionState,
  type SegmentEntry,
  type Writer,
  isDeletedLog,
} from '../format/manifest.ts'
import { SegmentEntries } from '../format/segment-entries.ts'
import { applyEdits } from '../format/manifest-builder.ts'
import { IDENTITY_FILE, segmentPath } from '../format/paths.ts'
import { manifestFilesInStore } from '../log/manifest-files.ts'
import { ManifestStore } from '../log/manifest-store.ts'
import { producerEdits } from '../log/producer-table.ts'
import { replacedBy, successionOf } from '../log/segment-successor.ts'
import type { FileSystem } from '../storage/file-system.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { type Compacted, compactedIn, movedIn } from '../tiering/compacted.ts'
import { divergedFromArchive } from './archive-diverged.ts'

export interface ArchiveConnection {
  readonly store: ObjectStore
  readonly engineId: string
  readonly writer: Writer
  readonly clock: Clock
  readonly logger: Logger
  /** Throws when the archive does not fit the data directory; then it is not claimed. May be called again. */
  readonly check: (archive: ManifestState) => void | Promise<void>
  /** As of `ManifestStore`. */
  readonly onFenced: (error: StratalogError) => void
}

/**
 * Opens the archive's manifest as its writer.
 * @throws StratalogError `archive_foreign` when it belongs to another engine; `store_unsupported` when the store lets
 * two writers win; what `check` and the store throw.
 */
export async function openArchiveManifest(connection: ArchiveConnection): Promise<ManifestStore> {
  const { store, engineId, writer, clock, logger, check, onFenced } = connection
  await store.probe({ write: true })
  await claimIdentity(store, engineId)
  const files = manifestFilesInStore(store)
  const manifest = await ManifestStore.open(files, { clock, logger, onFenced })
  await manifest.claim(writer, engineId, [], check)
  return manifest
}

async function claimIdentity(store: ObjectStore, engineId: string): Promise<void> {
  try {
    await store.put(IDENTITY_FILE, encodeIdentity({ kind: 'archive', engineId }), {
      ifAbsent: true,
    })
  } catch (error) {
    if (!isStratalogError(error) || error.code !== 'object_exists') throw error
    const identity = decodeIdentity(await store.get(IDENTITY_FILE), store.url)
    if (identity.kind === 'archive' && identity.engineId === engineId) return
    throw new StratalogError(
      'archive_foreign',
      `${store.url} belongs to another engine (${identity.engineId}). Give this engine an empty prefix, or restore that archive into a new data directory first.`,
      { details: { url: store.url, engineId, archiveEngineId: identity.engineId } },
    )
  }
}

/**
 * Edits that teach the local manifest what only the archive knows: uploads whose local commit a crash swallowed, and
 * segments that went straight to the archive. What the archive does not name is uploaded again, so its copy is
 * forgotten.
 * @throws StratalogError `archive_diverged` when both have other records under the same offsets, or the archive lacks
 * records that the directory has nowhere else, or says that a log of it was deleted.
 */
export function pullFromArchive(
  local: ManifestState,
  archive: ManifestState,
): readonly ManifestEdit[] {
  const edits = [...pullStarts(local, archive)]
  edits.push(...pullReplaced(applyEdits(local, edits), archive, compactedIn))
  edits.push(...pullReplaced(applyEdits(local, edits), archive, movedObjects))
  if (local.archive !== undefined)
    edits.push(...pullReplaced(applyEdits(local, edits), archive, mergedIn))
  for (const [logId, log] of applyEdits(local, edits).logs) {
    const remote = archive.logs.get(logId)
    if (isDeletedLog(archive, logId)) throw deletedThere(log.definition)
    if (remote !== undefined) assertSameLog(log.definition, remote.definition)
    if (remote !== undefined) edits.push(...pullSchemas(log, remote))
    log.partitions.forEach((partition, number) => {
      const known = remote?.partitions[number] ?? NOTHING
      edits.push(...forgetCopies(log.definition, number, partition, known, archive))
      edits.push(...pullPartition(log.definition, number, partition, known))
    })
  }
  return edits
}

/**
 * For an archive that was away when the engine opened. What it holds beyond the directory would have been taken over
 * then; by now its offsets may belong to other records.
 * @throws StratalogError `archive_diverged`.
 */
export function assertNothingNew(local: ManifestState, archive: ManifestState): void {
  // A copy, or a compaction, whose local commit a crash swallowed is found again by the next move.
  const edit = pullFromArchive(local, archive).find(
    ({ kind }) => kind !== 'segment-copied' && kind !== 'segments-replaced',
  )
  if (edit === undefined) return
  throw new StratalogError(
    'archive_diverged',
    'The archive was away when the engine opened, and is not what the data directory knows of it. Close the engine and open it again: then both are compared.',
    { details: { edit } },
  )
}

const NOTHING: PartitionState = { startOffset: 0, segments: SegmentEntries.empty }

/**
 * Edits of `pullFromArchive` that know the files of compactions whose local commit a crash swallowed: each was durable
 * before the archive had it, and takes the place of files that records are to be kept in.
 */
export async function withDiskCopies(
  edits: readonly ManifestEdit[],
  fileSystem: FileSystem,
  dataDir: string,
): Promise<readonly ManifestEdit[]> {
  const known: ManifestEdit[] = []
  for (const edit of edits) {
    if (edit.kind !== 'segments-replaced' || edit.segment.disk !== null) known.push(edit)
    else {
      const { logId, partition, segment } = edit
      const object = segmentPath({ ...segment, logId, partition })
      const path = `${dataDir}/${object}`
      const isThere = (await fileSystem.stat(path))?.length === segment.length
      const isWhole = isThere && sha256Hex(await fileSystem.read(path)) === segment.sha256
      const disk = isWhole ? { object, position: 0, length: segment.length } : null
      known.push({ ...edit, segment: { ...segment, disk } })
    }
  }
  return known
}

/** What the archive retired since a directory was restored from it without its bytes. */
function pullStarts(local: ManifestState, archive: ManifestState): readonly ManifestEdit[] {
  if (local.archive === undefined) return []
  const edits: ManifestEdit[] = []
  for (const [logId, { partitions }] of local.logs) {
    for (const [partition, { startOffset: own, segments }] of partitions.entries()) {
      const start = archive.logs.get(logId)?.partitions[partition]?.startOffset ?? 0
      const last = segments.at(segments.indexAt(start) - 1)
      const startOffset = last !== undefined && last.endOffset <= start ? last.endOffset : own
      if (startOffset > own)
        edits.push({ kind: 'start-moved', logId, partition, startOffset, retiredAt: null })
    }
  }
  return edits
}

/**
 * What the archive has in the place of segments, or of objects: compactions whose local commit a crash swallowed, what
 * it moved out of a pack, and of a directory that was restored without its bytes compactions since then: what they
 * replaced may be collected by now. Their segments lie in the archive only, until they are fetched, unless their file
 * is there.
 */
function pullReplaced(
  local: ManifestState,
  archive: ManifestState,
  find: (archive: PartitionState, own: SegmentEntries) => readonly Pick<Compacted, 'segment'>[],
): readonly ManifestEdit[] {
  const edits: ManifestEdit[] = []
  for (const [logId, { partitions }] of local.logs) {
    for (const [partition, own] of partitions.entries()) {
      const known = archive.logs.get(logId)?.partitions[partition]
      if (known === undefined) continue
      for (const { segment } of find(known, own.segments))
        edits.push({ kind: 'segments-replaced', logId, partition, segment, retiredAt: null })
    }
  }
  return edits
}

/** Segments whose objects the archive has in other places by now. */
function movedObjects(
  archive: PartitionState,
  own: SegmentEntries,
): readonly Pick<Compacted, 'segment'>[] {
  return movedIn(archive, own.having('object')).map((segment) => ({ segment }))
}

/** What the archive has by now in the place of segments that the directory knows of it. */
function mergedIn(archive: PartitionState, own: SegmentEntries): readonly Compacted[] {
  const moved: Compacted[] = []
  let next = 0
  for (const segment of own.having('object')) {
    if (segment.baseOffset < next) continue
    if (archive.segments.startingAt(segment.baseOffset)?.sha256 === segment.sha256) continue
    const found = successionOf(archive, own, segment)
    const replaced = found.kind === 'moved' ? replacedBy(own, found.segment) : null
    if (found.kind !== 'moved' || replaced === null) continue
    moved.push({ segment: found.segment, replaced })
    next = found.segment.endOffset
  }
  return moved
}

/** A segment says by number which schema it has, so both must mean the same by it. */
function pullSchemas(local: LogState, remote: LogState): readonly ManifestEdit[] {
  const logId = local.definition.id
  const other = local.schemas.find(
    (schema, index) =>
      index < remote.schemas.length &&
      JSON.stringify(schema) !== JSON.stringify(remote.schemas[index]),
  )
  if (other !== undefined) {
    throw divergedFromArchive(
      `The data directory and the archive have different columns in schema ${other.id} of log '${local.definition.name}'.`,
      { logId, schemaId: other.id },
    )
  }
  return remote.schemas
    .slice(local.schemas.length)
    .map((schema) => ({ kind: 'schema-added', logId, schema }))
}

/** Object copies that the archive's manifest does not name: it is another archive than the one they were put into. */
function forgetCopies(
  log: LogDefinition,
  partition: number,
  local: PartitionState,
  remote: PartitionState,
  archive: ManifestState,
): readonly ManifestEdit[] {
  const edits: ManifestEdit[] = []
  for (const { baseOffset, endOffset, sha256, disk } of local.segments.having('object')) {
    if (remote.segments.startingAt(baseOffset) !== undefined) continue
    // A fork that the archive was not told of: it is, before anything of it may go.
    if (isOfRelative(archive, log, partition, sha256, baseOffset)) continue
    if (disk !== null) {
      const copy = { logId: log.id, partition, baseOffset, tier: 'object' } as const
      edits.push({ kind: 'segment-copy-dropped', ...copy })
      continue
    }
    if (isCovered(remote, baseOffset, endOffset))
      throw divergedFromArchive(
        `The archive has offsets ${baseOffset} to ${endOffset} of log '${log.name}', partition ${partition}, in other segments than the data directory knows, and with them what another machine appended.`,
        { logId: log.id, partition, from: baseOffset, to: endOffset },
      )
    throw new StratalogError(
      'archive_diverged',
      `The archive lacks offsets ${baseOffset} to ${endOffset} of log '${log.name}', partition ${partition}, and the data directory has them nowhere else. Open it with the archive that it was written with.`,
      { details: { logId: log.id, partition, from: baseOffset, to: endOffset, sha256 } },
    )
  }
  return edits
}

/** Whether segments without a hole between them have all of the offsets. */
function isCovered({ segments }: PartitionState, from: number, to: number): boolean {
  let end = from
  for (const segment of segments.from(from)) {
    if (segment.baseOffset > end) return false
    end = segment.endOffset
    if (end >= to) return true
  }
  return false
}

/** Whether the archive has the object for a log that this one was forked from, or that was forked from it. */
function isOfRelative(
  { logs }: ManifestState,
  log: LogDefinition,
  partition: number,
  sha256: string,
  baseOffset: number,
): boolean {
  if (log.origins === undefined) return false
  for (const { partitions } of logs.values()) {
    const { segments, retired = [] } = partitions[partition] ?? NOTHING
    if (segments.startingAt(baseOffset)?.sha256 === sha256) return true
    if (retired.some(({ segment }) => segment.sha256 === sha256)) return true
  }
  return false
}

function pullPartition(
  log: LogDefinition,
  partition: number,
  local: PartitionState,
  remote: PartitionState,
): ManifestEdit[] {
  const logId = log.id
  // A log in RAM may have evicted records before it was archived, by snapshots or since it has another mode.
  const gapsEnd = log.policy.mode === 'memory' ? Infinity : (local.denseFrom ?? 0)
  const edits: ManifestEdit[] = []
  const ownEnd = local.segments.at(-1)?.endOffset ?? local.startOffset
  let end = ownEnd
  for (const segment of remote.segments) {
    const own = local.segments.startingAt(segment.baseOffset)
    if (own !== undefined) {
      if (own.sha256 !== segment.sha256) throw diverged(logId, partition, own, segment)
      if (own.object === null && segment.object !== null) {
        const { baseOffset, object } = segment
        edits.push({
          kind: 'segment-copied',
          logId,
          partition,
          baseOffset,
          tier: 'object',
          location: object,
        })
      }
    } else if (
      segment.baseOffset === end ||
      (segment.baseOffset > end && segment.baseOffset <= gapsEnd)
    ) {
      edits.push({ kind: 'segment-added', logId, partition, segment })
      end = segment.endOffset
    } else if (isBetween(local, segment, gapsEnd)) {
      edits.push({ kind: 'segment-added', logId, partition, segment })
    } else if (segment.endOffset > local.startOffset) {
      throw diverged(logId, partition, null, segment)
    }
  }
  // Of what lies between the directory's own segments its producers are older than those that it has.
  if (end > ownEnd)
    edits.push(...producerEdits(logId, partition, local, [...(remote.producers?.values() ?? [])]))
  return edits
}

/**
 * Records of RAM that a snapshot archived, and that an engine which did not hear of it could not know: it went on
 * behind them, so nothing here has their offsets.
 */
function isBetween(
  { startOffset, segments }: PartitionState,
  { baseOffset, endOffset }: SegmentEntry,
  gapsEnd: number,
): boolean {
  const own = segments.at(segments.indexAt(baseOffset))
  const isFree = own === undefined || own.baseOffset >= endOffset
  return isFree && baseOffset >= startOffset && endOffset <= gapsEnd
}

/** Two machines that each made a log gave both the same id. */
function assertSameLog(own: LogDefinition, other: LogDefinition): void {
  if (own.name === other.name && own.createdAt === other.createdAt) return
  throw divergedFromArchive(
    `The data directory and the archive have different logs of number ${own.id}: '${own.name}' here, and '${other.name}' there.`,
    { logId: own.id, log: own.name, archiveLog: other.name },
  )
}

/** A directory knows of a deletion before its archive does. */
function deletedThere({ id: logId, name }: LogDefinition): StratalogError {
  return divergedFromArchive(
    `The archive says that log '${name}' was deleted, and the data directory still has it.`,
    { logId, log: name },
  )
}

function diverged(
  logId: number,
  partition: number,
  own: SegmentEntry | null,
  other: SegmentEntry,
): StratalogError {
  const here =
    own === null
      ? 'nothing that fits'
      : `${own.baseOffset} to ${own.endOffset} (${own.sha256.slice(0, 12)})`
  const there = `${other.baseOffset} to ${other.endOffset} (${other.sha256.slice(0, 12)})`
  return divergedFromArchive(
    `The data directory and the archive hold different records of log ${logId}, partition ${partition}: the archive has offsets ${there}, the directory ${here}.`,
    {
      logId,
      partition,
      archive: { from: other.baseOffset, to: other.endOffset },
      directory: own && { from: own.baseOffset, to: own.endOffset },
    },
  )
}
