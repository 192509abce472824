/**
 * Logs in RAM come back from the snapshots at a `snapshotLocation`: each from the newest that is good and holds it.
 * Records keep their offsets and times; what was appended after the snapshot is gone, and its offsets may be given
 * again only where no snapshot ever had them.
 */
import { present } from '../base/assert.ts'
import type { Logger } from '../base/logger.ts'
import type { LogState, ManifestState, Snapshot, SnapshotPartition } from '../format/manifest.ts'
import { producersAsOf } from '../format/producer.ts'
import { conformBatch } from '../format/column-conform.ts'
import { type RecordBatch, endOffset, sliceRecordBatch } from '../format/record-batch.ts'
import { SegmentEntries } from '../format/segment-entries.ts'
import { blockEnd } from '../format/segment.ts'
import { Archive } from '../log/archive-view.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { SegmentSource } from '../log/log-view.ts'
import { type OffsetTerms, termsOfSegment, termsWithin } from '../log/record-terms.ts'
import { damageOf } from '../log/segment-damage.ts'
import { SegmentReading } from '../log/segment-reading.ts'
import { ownerOf } from '../log/segment-origin.ts'
import type { MemoryGovernor } from '../tiering/governor.ts'
import { type SnapshotLack, lackOf } from '../snapshot/check.ts'
import type { ScrubProblem } from '../tiering/scrub-report.ts'
import { appendable } from './appendable.ts'
import type { LogRegistry } from './log-registry.ts'
import type { EnginePorts } from './ports.ts'
import type { SnapshotPlace } from './snapshot-place.ts'

/** A log that has no more RAM than it takes loads its records in pieces of this part of it. */
const PIECES_MIN = 16

/** Where records are loaded to. */
interface Loading {
  readonly registry: LogRegistry
  readonly governor: MemoryGovernor
}

/** A snapshot turned out damaged while it was read: what was loaded of it is not to be used. */
export class SnapshotDamaged extends Error {
  readonly snapshotId: string
  readonly object: string | null

  constructor(snapshotId: string, { reason, object }: SnapshotLack) {
    super(reason)
    this.snapshotId = snapshotId
    this.object = object
  }
}

/** What was found damaged at a location while an engine was opened. */
export interface DamagedSnapshots {
  /** Ids of snapshots that are not to be used. */
  readonly ids: Set<string>
  /** Objects that are not as they were written: what is snapshotted next counts on none of them. */
  readonly objects: Set<string>
}

/** What a log in RAM is at a location. */
export interface PlacedLog {
  readonly state: LogState
  /** The newest snapshot that holds it and was not found damaged, or the newest that holds it; null: none does. */
  readonly snapshot: Snapshot | null
  /** Whether it was found damaged: what is sound of it is loaded. */
  readonly isDamaged: boolean
}

/** Records that no copy is left of: what was not loaded, in the form in which a status tells of damage. */
export interface LostInSnapshot {
  readonly logId: number
  readonly problem: ScrubProblem
}

/**
 * Logs of mode `memory` that a location knows.
 * @param damaged ids of snapshots that are not to be used; null: none is.
 */
export function placedLogs(
  { logs, snapshots }: ManifestState,
  damaged: ReadonlySet<string> | null,
): readonly PlacedLog[] {
  const all = damaged === null ? [] : [...snapshots.values()]
  const good = all.filter(({ id }) => damaged?.has(id) === false)
  return [...logs.values()]
    .filter(
      ({ definition, deletedAt }) => definition.policy.mode === 'memory' && deletedAt === undefined,
    )
    .map((state) => {
      const holds = ({ logs: held }: Snapshot): boolean => held.some(isOf(state))
      const whole = good.findLast(holds)
      const snapshot = whole ?? all.findLast(holds) ?? null
      return { state, snapshot, isDamaged: whole === undefined && snapshot !== null }
    })
}

function isOf({ definition }: LogState): (held: { readonly logId: number }) => boolean {
  return ({ logId }) => logId === definition.id
}

/** The log as an engine begins it that loads its records: without segments, and with what producers sent. */
export function emptyLog({ state, snapshot }: PlacedLog): LogState {
  const held = snapshot?.logs.find(isOf(state))?.partitions ?? []
  return {
    ...state,
    partitions: state.partitions.map(({ startOffset, producers }, number) => {
      const end = held.find(({ partition }) => partition === number)?.endOffset ?? startOffset
      const known = producersAsOf(producers?.values() ?? [], end)
      const table = new Map(known.map((producer) => [producer.producerId, producer]))
      return {
        startOffset,
        segments: SegmentEntries.empty,
        ...(table.size === 0 ? {} : { producers: table }),
      }
    }),
  }
}

/**
 * The log as a data directory begins it that loads its records: it may know fewer schemas, as a log in RAM notes them
 * with its first segment.
 */
export function placedIn(local: LogState, placed: readonly PlacedLog[]): LogState {
  const found = placed.find(({ state }) => state.definition.id === local.definition.id)
  if (found === undefined || local.definition.policy.mode !== 'memory') return local
  const { schemas, partitions } = emptyLog(found)
  return {
    ...local,
    schemas: schemas.length > local.schemas.length ? schemas : local.schemas,
    partitions: local.partitions.map((own, number) => {
      const producers = partitions[number]?.producers
      const isEmpty = own.segments.length === 0 && own.producers === undefined
      return isEmpty && producers !== undefined ? { ...own, producers } : own
    }),
  }
}

/** @throws SnapshotDamaged when a snapshot names what the location does not have. */
export async function assertRestorable(
  { store, state }: SnapshotPlace,
  placed: readonly PlacedLog[],
): Promise<void> {
  const whole = placed.filter(({ isDamaged }) => !isDamaged)
  const snapshots = new Set(whole.map(({ snapshot }) => snapshot))
  for (const snapshot of snapshots) {
    const lack = snapshot === null ? null : await lackOf(store, state, snapshot, new Map())
    if (snapshot !== null && lack !== null) throw new SnapshotDamaged(snapshot.id, lack)
  }
}

/**
 * Appends what snapshots hold of logs that are live and have none of it. What is damaged of a snapshot that is known to
 * be is left out, is a gap for readers, and is told.
 * @throws SnapshotDamaged; StratalogError `memory_full` under `reject`, and what the store throws.
 */
export async function loadLogs(
  place: SnapshotPlace,
  placed: readonly PlacedLog[],
  { registry, governor }: Loading,
  ports: EnginePorts,
): Promise<readonly LostInSnapshot[]> {
  const lost: LostInSnapshot[] = []
  const pieceBytes = governor.maxBytes / PIECES_MIN
  const archive = new Archive(place.store, 0, place.state)
  const logger = ports.logger.child('snapshot')
  for (const { state: source, snapshot, isDamaged } of placed) {
    const log = registry.byId.get(source.definition.id)
    // It may have a disk by now, which keeps what it has.
    if (log?.policy.mode !== 'memory' || log.refusal !== null) continue
    let records = 0
    const held = snapshot?.logs.find(isOf(source))
    const onDamage = (problem: ScrubProblem, object: string): void => {
      const { where, reason, partition, from, to } = problem
      const what = { log: log.name, partition, from, to, where, reason }
      logger.error('Records of a log in RAM are lost: no snapshot has them whole.', what)
      lost.push({ logId: log.id, problem })
      place.archive.damaged.add(object)
    }
    const loading = {
      archive,
      source,
      log,
      pieceBytes,
      ports,
      onDamage: isDamaged ? onDamage : null,
    }
    for (const bounds of held?.partitions ?? [])
      records += await loadPartition(loading, bounds, snapshot)
    // Offsets that some snapshot had are not given to other records.
    for (const [number, { segments }] of source.partitions.entries()) {
      const partition = log.partition(number)
      const end = segments.at(-1)?.endOffset ?? 0
      if (end > partition.nextOffset) partition.continueAt(end)
    }
    if (snapshot !== null) told(logger, log, snapshot, records)
  }
  return lost
}

interface LoadingLog {
  readonly archive: Archive
  readonly source: LogState
  readonly log: LiveLog
  readonly pieceBytes: number
  readonly ports: EnginePorts
  /** Null: damage ends the loading. */
  readonly onDamage: ((problem: ScrubProblem, object: string) => void) | null
}

async function loadPartition(
  { archive, source, log, pieceBytes, ports, onDamage }: LoadingLog,
  bounds: SnapshotPartition,
  snapshot: Snapshot | null,
): Promise<number> {
  const partition = log.partition(bounds.partition)
  const view = archive.view(source, [bounds])
  let records = 0
  try {
    for (const source of view.partitions.flatMap(({ sources }) => sources)) {
      if (source.tier === 'memory') continue
      try {
        for await (const { batch, terms } of recordsOf(source, log, partition))
          for (const piece of appendable(batch, pieceBytes))
            records += await load(log, partition, piece, terms, ports)
      } catch (error) {
        const damage = damageOf(error, Math.max(source.from, partition.nextOffset), source.to)
        if (damage === null) throw error
        const object = source.segment.object?.object ?? null
        if (onDamage === null)
          throw new SnapshotDamaged(snapshot?.id ?? '', { reason: damage.reason, object })
        const { from, to } = damage
        if (from > partition.nextOffset) partition.continueAt(from)
        partition.skipTo(to, 'damaged')
        const where = `${archive.url}/${object}`
        const place = { where, log: log.name, partition: bounds.partition }
        onDamage({ ...damage, ...place, tier: 'object', readable: false }, object ?? '')
      }
    }
  } finally {
    view.release()
  }
  if (bounds.endOffset > partition.nextOffset) partition.continueAt(bounds.endOffset)
  return records
}

interface TermedBatch {
  readonly batch: RecordBatch
  readonly terms: Pick<OffsetTerms, 'expiresAt' | 'priority'>
}

/** The records of a segment that the partition does not have, cut where their terms differ. */
async function* recordsOf(
  source: SegmentSource,
  log: LiveLog,
  partition: Partition,
): AsyncGenerator<TermedBatch, void, undefined> {
  const owner = ownerOf(log.definition, partition.partition, source.segment)
  const reading = await SegmentReading.open(source.bytes, source.segment, owner)
  const from = Math.max(source.from, partition.nextOffset)
  const all = termsOfSegment(reading.facts)
  for await (const batch of reading.read(
    reading.blocks((block) => block.baseOffset < source.to && blockEnd(block) > from),
  )) {
    const start = Math.max(from, batch.baseOffset)
    const end = Math.min(source.to, endOffset(batch))
    if (start >= end) continue
    const schema = present(log.schema, 'a log whose segments are loaded has a schema')
    for (const run of termsWithin(all, start, end)) {
      const cut = sliceRecordBatch(batch, run.start, run.end)
      yield { batch: conformBatch(cut, schema), terms: run }
    }
  }
}

/** How many of its records are live: those that expired meanwhile are left out. */
async function load(
  log: LiveLog,
  partition: Partition,
  batch: RecordBatch,
  { expiresAt, priority }: TermedBatch['terms'],
  { clock }: EnginePorts,
): Promise<number> {
  if (batch.baseOffset > partition.nextOffset) partition.continueAt(batch.baseOffset)
  if (expiresAt <= Math.max(clock.now(), partition.expiryTime)) {
    partition.continueAt(endOffset(batch), 'expired')
    return 0
  }
  const { fields } = batch.schema
  const columns = { kind: 'columns', fields, columns: batch.columns, length: batch.length } as const
  await log.append(partition, columns, 'memory', batch.appendTimeMax, { expiresAt, priority })
  return batch.length
}

function told(logger: Logger, { name }: LiveLog, snapshot: Snapshot, records: number): void {
  const time = new Date(snapshot.time).toISOString()
  logger.info('A log in RAM is back from a snapshot.', {
    log: name,
    snapshot: snapshot.name,
    time,
    records,
  })
}

/**
 * Opens with the newest snapshots, and again with older ones for each that is found damaged. The damaged ones stay
 * as they are.
 * @throws what `open` throws.
 */
export async function withSoundSnapshots<T>(
  open: (damaged: DamagedSnapshots) => Promise<T>,
  logger: Logger,
): Promise<T> {
  const damaged: DamagedSnapshots = { ids: new Set(), objects: new Set() }
  for (;;) {
    try {
      return await open(damaged)
    } catch (error) {
      if (!(error instanceof SnapshotDamaged)) throw error
      damaged.ids.add(error.snapshotId)
      if (error.object !== null) damaged.objects.add(error.object)
      logger.error('A snapshot is damaged; the one before it is used.', {
        snapshot: error.snapshotId,
        reason: error.message,
      })
    }
  }
}
