/**
 * Reconcile: a data directory whose archive another machine went on with becomes what the archive is, and keeps what
 * only it has in forks. The archive is only read, so its writer is not disturbed.
 *
 * 1. an engine without the archive recovers the directory, brings all of the WAL into segments on disk, and ends;
 * 2. each log is held against the archive;
 * 3. of those that are not the same, one commit to the directory's manifest makes forks that have the segments on disk,
 *    and puts the archive's logs in their place.
 * A crash before the commit leaves the directory as it was, and the same can be done again; after it all is done. Files
 * that nothing names any more go when the directory is opened next.
 */
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { randomHex } from '../base/random.ts'
import type { Range } from '../base/range.ts'
import {
  type LogDefinition,
  type LogState,
  type ManifestEdit,
  type ManifestState,
  type PartitionState,
  isDeletedLog,
} from '../format/manifest.ts'
import { type Archive, viewOfLog } from '../log/archive-view.ts'
import type { LogView } from '../log/log-view.ts'
import { bytesInDirectory } from '../log/segment-copies.ts'
import { readPartition } from '../log/view-reader.ts'
import { pullFromArchive } from './archive-connection.ts'
import { connectArchive } from './archive-store.ts'
import { attachEdits } from './attach-log.ts'
import { type Closers, closeAll } from './closers.ts'
import type { S3Options, StratalogOptions } from './config.ts'
import { openDirectory } from './open-directory.ts'
import { openEngine } from './open-engine.ts'
import { type EnginePorts, resolvePorts } from './ports.ts'
import { ArchivedRecords } from './same-history.ts'
import type { StoragePorts } from './storage-ports.ts'
import { storageOf } from './system-storage.ts'

export interface ReconcileOptions extends Pick<StratalogOptions, 'maxMemoryBytes'> {
  readonly dataDir: string
  /** `s3://bucket/prefix` or `file:///path`. */
  readonly archive: string
  readonly s3?: S3Options
}

/** What of a partition only the directory had: offsets of the log, and of its fork. */
export interface KeptTail {
  readonly partition: number
  readonly from: number
  readonly to: number
}

export interface ReconciledLog {
  readonly log: string
  /** The fork that has what only the directory had; null where that was nothing. */
  readonly as: string | null
  /** Whether the archive has the log, so that the directory goes on with it. */
  readonly isInArchive: boolean
  readonly kept: readonly KeptTail[]
}

export interface ReconcileReport {
  /** Those that were not what the archive has; empty where directory and archive went together. */
  readonly logs: readonly ReconciledLog[]
}

/** See `reconcileArchive` of `archive-operations.ts`. */
export async function runReconcile(
  { archive: url, s3, ...directory }: ReconcileOptions,
  given: Partial<EnginePorts>,
): Promise<ReconcileReport> {
  const ports = resolvePorts({}, given)
  const archive = await connectArchive(url, s3, ports)
  try {
    const engine = await openEngine(directory, given, 'write')
    try {
      await engine.lowerTiers?.bringAllToDisk()
    } finally {
      await engine.close()
    }
    return await withDirectory(directory.dataDir, archive, ports)
  } finally {
    await archive.store.close()
  }
}

/** Steps 2 and 3. */
async function withDirectory(
  dataDir: string,
  archive: Archive,
  ports: EnginePorts,
): Promise<ReconcileReport> {
  const storage = storageOf(ports)
  const closers: Closers = []
  try {
    const { clock, random } = ports
    const writer = { id: randomHex(random, 16), ...storage.processName, since: clock.now() }
    const { fileSystem } = storage
    const place = { ...storage, dataDir, fileSystem, evidenceFiles: fileSystem }
    const { manifest, engineId } = await openDirectory(place, ports, 'write', writer, closers)
    assertSameEngine(engineId, archive)
    const diverged: Diverged[] = []
    for (const log of manifest.state.logs.values()) {
      const found = await compare(log, manifest.state, archive, storage, dataDir)
      if (found !== null) diverged.push(found)
    }
    if (diverged.length === 0) return { logs: [] }
    await manifest.claim(writer, engineId)
    const { edits, logs } = plan(manifest.state, archive.state, diverged, clock.now())
    await manifest.commit(edits)
    for (const { log, as, kept } of logs)
      ports.logger.warn(
        'A log was taken from the archive; what only the directory had is a fork.',
        {
          log,
          as,
          kept,
        },
      )
    return { logs }
  } finally {
    await closeAll(closers, ports.logger)
  }
}

interface Diverged {
  readonly own: LogState
  /** Null where the archive has no log of that number. */
  readonly other: LogState | null
  readonly kept: readonly KeptTail[]
}

/** Null for a log that goes together with the archive as it is. */
async function compare(
  own: LogState,
  state: ManifestState,
  archive: Archive,
  { fileSystem }: StoragePorts,
  dataDir: string,
): Promise<Diverged | null> {
  const { id } = own.definition
  try {
    pullFromArchive({ ...state, logs: new Map([[id, own]]) }, archive.state)
    return null
  } catch (error) {
    const isOurs = isStratalogError(error) && error.details['remedy'] === 'reconcile'
    if (!isOurs) throw error
  }
  const known = archive.state.logs.get(id)
  const other = known === undefined || isDeletedLog(archive.state, id) ? null : known
  const kept: KeptTail[] = []
  // What a log in RAM promises ends with its process.
  if (own.definition.policy.mode === 'memory') return { own, other, kept }
  for (const [partition, state] of own.partitions.entries()) {
    const range = unarchivedRange(state)
    if (range === null) continue
    const isSame = other !== null && isSameLog(own.definition, other.definition)
    const view = viewOfLog(own, undefined, ({ disk }) =>
      disk === null ? null : { tier: 'disk', bytes: bytesInDirectory(fileSystem, dataDir, disk) },
    )
    const from = isSame ? await ownFrom(view, archive.view(other), partition, range) : range.start
    if (from < range.end) kept.push({ partition, from, to: range.end })
  }
  return { own, other, kept }
}

/** What has an object copy came to the archive from here, and lies before what has none; that is on disk. */
function unarchivedRange({ segments }: PartitionState): Range | null {
  for (const { baseOffset } of segments.lacking('object'))
    return { start: baseOffset, end: segments.at(-1)?.endOffset ?? baseOffset }
  return null
}

/** The first offset of the range whose record the archive has not. */
async function ownFrom(
  own: LogView,
  other: LogView,
  partition: number,
  { start, end }: Range,
): Promise<number> {
  const archived = new ArchivedRecords(other, partition)
  try {
    for await (const { batch } of readPartition(own, partition, { from: start, onGap: 'skip' })) {
      const from = await archived.firstUnlike(batch)
      if (from !== null) return from
    }
  } finally {
    await archived.end()
  }
  return Math.max(start, Math.min(end, other.partitions[partition]?.endOffset ?? start))
}

/** All forks, and the archive's logs in the place of the directory's. */
function plan(
  local: ManifestState,
  remote: ManifestState,
  diverged: readonly Diverged[],
  now: number,
): { readonly edits: readonly ManifestEdit[]; readonly logs: readonly ReconciledLog[] } {
  let nextLogId = Math.max(local.nextLogId, remote.nextLogId)
  const edits: ManifestEdit[] = [{ kind: 'log-ids-reserved', nextLogId }]
  const gone = new Set(diverged.map(({ own }) => own.definition.id))
  const staying = [...local.logs.values()].filter(({ definition }) => !gone.has(definition.id))
  const names = new Set(staying.map(({ definition }) => definition.name))
  const taken = new Set([...names, ...local.detachedLogs.values(), ...namesIn(remote)])
  const forks: ManifestEdit[] = []
  const attached: ManifestEdit[] = []
  const logs: ReconciledLog[] = []
  for (const { own, other, kept } of diverged) {
    const { id, name } = own.definition
    const as =
      kept.length === 0 ? null : freeName(`${name.slice(0, 100)}.kept-${local.epoch}`, taken)
    if (as !== null) forks.push(...forkEdits(own, kept, nextLogId++, as, now))
    edits.push(
      isDeletedLog(remote, id)
        ? { kind: 'log-deleted', logId: id, deletedAt: null }
        : { kind: 'log-detached', logId: id, name },
    )
    // Where another log has its name by now, it can be attached once that is gone.
    const isInArchive = other !== null && !names.has(other.definition.name)
    if (isInArchive) attached.push(...attachEdits(other))
    logs.push({ log: name, as, isInArchive, kept })
  }
  return { edits: [...edits, ...forks, ...attached], logs }
}

function namesIn({ logs }: ManifestState): readonly string[] {
  return [...logs.values()].map(({ definition }) => definition.name)
}

function freeName(wanted: string, taken: Set<string>): string {
  let name = wanted
  for (let count = 2; taken.has(name); count++) name = `${wanted}-${count}`
  taken.add(name)
  return name
}

/** A log of those segments that hold what was kept; they stay where they are, and say whose they were. */
function* forkEdits(
  { definition, schemas, partitions }: LogState,
  kept: readonly KeptTail[],
  logId: number,
  name: string,
  now: number,
): Generator<ManifestEdit> {
  const ends = partitions.map(
    ({ segments, startOffset }) => segments.at(-1)?.endOffset ?? startOffset,
  )
  const parts = partitions.map(({ segments }, partition) => {
    const from = kept.find((tail) => tail.partition === partition)?.from
    return from === undefined ? [] : [...segments.from(from)]
  })
  const startOffsets = parts.map(([first], partition) => first?.baseOffset ?? ends[partition] ?? 0)
  const { policy, origins = [] } = definition
  // Who looks at it reads what was acknowledged at any level, also before it is archived.
  const ack = policy.ack !== 'object' ? policy.ack : policy.wal ? 'disk' : 'memory'
  const log = {
    ...definition,
    id: logId,
    name,
    createdAt: now,
    policy: { ...policy, ack },
    origins: [...origins, { logId: definition.id, endOffsets: ends }],
  }
  yield { kind: 'log-created', log, startOffsets }
  for (const schema of schemas) yield { kind: 'schema-added', logId, schema }
  for (const [partition, segments] of parts.entries()) {
    for (const segment of segments) yield { kind: 'segment-added', logId, partition, segment }
    const { denseFrom = 0, producers } = partitions[partition] ?? {}
    if (denseFrom > (startOffsets[partition] ?? 0))
      yield { kind: 'offsets-dense-from', logId, partition, offset: denseFrom }
    const known = [...(producers?.values() ?? [])]
    if (segments.length > 0 && known.length > 0)
      yield { kind: 'producers-noted', logId, partition, producers: known, forgotten: [] }
  }
}

function isSameLog(one: LogDefinition, other: LogDefinition): boolean {
  return one.name === other.name && one.createdAt === other.createdAt
}

/** @throws StratalogError `archive_foreign`. */
function assertSameEngine(engineId: string, { url, state }: Archive): void {
  if (engineId === state.engineId) return
  throw new StratalogError(
    'archive_foreign',
    `${url} belongs to another engine (${state.engineId}) than the directory (${engineId}): there is nothing that both began with.`,
    { details: { url, engineId, archiveEngineId: state.engineId } },
  )
}
