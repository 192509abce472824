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
import type { FileSystem } from '../storage/file-system.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { compactedIn, movedIn } from '../tiering/compacted.ts'

export interface ArchiveConnection {
  readonly store: ObjectStore
  readonly engineId: string
  readonly writer: Writer
  readonly clock: Clock
  readonly logger: Logger
  /** Throws when the archive does not fit the data directory. Called before the archive is claimed. */
  readonly check: (archive: ManifestState) => void
}

/**
 * Opens the archive's manifest as its writer.
 * @throws StratalogError `archive_foreign` when it belongs to another engine; `store_unsupported` when the store lets
 * two writers win; what `check` and the store throw.
 */
export async function openArchiveManifest(connection: ArchiveConnection): Promise<ManifestStore> {
  const { store, engineId, writer, clock, logger, check } = connection
  await store.probe({ write: true })
  await claimIdentity(store, engineId)
  const manifest = await ManifestStore.open(manifestFilesInStore(store), { clock, logger })
  check(manifest.state)
  await manifest.claim(writer, engineId)
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
  const edits = [...pullReplaced(local, archive)]
  for (const [logId, log] of applyEdits(local, edits).logs) {
    const remote = archive.logs.get(logId)
    if (isDeletedLog(archive, logId)) throw deletedThere(log.definition)
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

/** Compactions whose local commit a crash swallowed, and objects that lie in other places now. */
function pullReplaced(local: ManifestState, archive: ManifestState): readonly ManifestEdit[] {
  const edits: ManifestEdit[] = []
  for (const [logId, { partitions }] of local.logs) {
    for (const [partition, { segments }] of partitions.entries()) {
      const known = archive.logs.get(logId)?.partitions[partition]
      if (known === undefined) continue
      const replaced = compactedIn(known, segments).map(({ segment }) => segment)
      for (const segment of [...replaced, ...movedIn(known, segments.having('object'))])
        edits.push({ kind: 'segments-replaced', logId, partition, segment, retiredAt: null })
    }
  }
  return edits
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
    throw new StratalogError(
      'archive_diverged',
      `The data directory and the archive have different columns in schema ${other.id} of log '${local.definition.name}'. Restore the archive into a new directory, or give this one an empty prefix.`,
      { details: { logId, schemaId: other.id } },
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
    throw new StratalogError(
      'archive_diverged',
      `The archive lacks offsets ${baseOffset} to ${endOffset} of log '${log.name}', partition ${partition}, and the data directory has them nowhere else. Open it with the archive that it was written with.`,
      { details: { logId: log.id, partition, from: baseOffset, to: endOffset, sha256 } },
    )
  }
  return edits
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

/** A directory knows of a deletion before its archive does: this one is an old copy. */
function deletedThere({ id: logId, name }: LogDefinition): StratalogError {
  return new StratalogError(
    'archive_diverged',
    `The archive says that log '${name}' was deleted, and the data directory still has it: it is an old copy. Restore the archive into a new directory, or give this one an empty prefix.`,
    { details: { logId, log: name } },
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
  return new StratalogError(
    'archive_diverged',
    `The data directory and the archive hold different records of log ${logId}, partition ${partition}: the archive has offsets ${there}, the directory ${here}. Restore the archive into a new directory, or give this one an empty prefix.`,
    {
      details: {
        logId,
        partition,
        archive: { from: other.baseOffset, to: other.endOffset },
        directory: own && { from: own.baseOffset, to: own.endOffset },
      },
    },
  )
}
