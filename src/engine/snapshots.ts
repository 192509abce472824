/** Snapshots of a running engine: the instant is taken first, then everything below it is brought to the archive. */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { randomHex } from '../base/random.ts'
import type { Snapshot } from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { ArchiveWriter } from '../tiering/archive-writer.ts'
import type { TierMove } from '../tiering/context.ts'
import type { TieringScheduler } from '../tiering/scheduler.ts'
import { findSnapshot, snapshotNotFound } from '../log/archive-view.ts'
import { lackOf } from '../snapshot/check.ts'
import { type PinnedLog, createSnapshot as planSnapshot } from '../snapshot/create.ts'
import {
  AUTOMATIC_PREFIX,
  type SnapshotRetention,
  dueSnapshots,
  isAutomatic,
} from '../snapshot/retention.ts'
import { type SnapshotDescription, describeSnapshot } from './describe-snapshot.ts'
import type { LogRegistry } from './log-registry.ts'
import type { EnginePorts } from './ports.ts'

export interface SnapshotOptions {
  /** Default: `snapshot-` and the time. */
  readonly name?: string
  /** Default: every log. */
  readonly logs?: readonly string[]
}

/** What of an engine with an archive a snapshot is made of. */
export interface SnapshotSource {
  readonly archive: ArchiveWriter
  readonly registry: LogRegistry
  readonly scheduler: TieringScheduler
  readonly ports: EnginePorts
}

/** A log and the offsets that the snapshot names of it. */
interface Pinned extends PinnedLog {
  readonly log: LiveLog
}

/** What is kept of the snapshots that the engine makes by itself, and what it found in the archive so far. */
export interface AutomaticSnapshots extends SnapshotRetention {
  /** Lengths of objects that were seen, by key. */
  readonly known: Map<string, number>
}

const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/**
 * @throws StratalogError `argument_invalid` for a bad name, `snapshot_exists`, `log_not_found`,
 * `store_unavailable` and what else kept records from the archive; then there is no snapshot.
 */
export async function createSnapshot(
  { archive, registry, scheduler, ports }: SnapshotSource,
  options: SnapshotOptions,
): Promise<SnapshotDescription> {
  const logs =
    options.logs === undefined
      ? [...registry.all()]
      : options.logs.map((name) => registry.get(name))
  const name = checkName(options.name ?? `snapshot-${nameOfTime(ports.clock.now())}`)
  return makeSnapshot({ archive, registry, scheduler, ports }, logs, name)
}

/** The snapshot of a schedule, of all logs. @throws StratalogError as `createSnapshot`. */
export async function createAutomaticSnapshot(source: SnapshotSource): Promise<void> {
  const name = `${AUTOMATIC_PREFIX}${nameOfTime(source.ports.clock.now())}`
  await makeSnapshot(source, [...source.registry.all()], name)
}

async function makeSnapshot(
  { archive, scheduler, ports }: SnapshotSource,
  logs: readonly LiveLog[],
  name: string,
): Promise<SnapshotDescription> {
  const time = ports.clock.now()
  // The instant: every partition's end in one synchronous stretch.
  const pinned = logs.map(pin)
  const report = await scheduler.now(logs, 'object', { forSnapshot: true })
  const [failure] = report.failed
  if (failure !== undefined) {
    throw new StratalogError(
      'store_unavailable',
      `The snapshot was not made: log '${failure.log}', partition ${failure.partition} did not reach the archive: ${failure.message}`,
      { details: { ...failure } },
    )
  }
  const fromMemory = await Promise.all(
    pinned.flatMap((entry) => archiveFromMemory(scheduler, entry)),
  )
  const uploaded = [
    ...report.moved.filter((move) => move.toTier === 'object'),
    ...fromMemory.flat(),
  ]
  const newBytes = uploaded.reduce((sum, move) => sum + move.bytes, 0)
  const id = randomHex(ports.random, 8)
  let made: Snapshot | null = null
  await archive.commitSnapshot(logs, (state) => {
    // What was retired on the way is not part of it.
    const left = pinned.map(withoutRetired)
    const { snapshot, edits } = planSnapshot(state, { id, name, time, pinned: left, newBytes })
    made = snapshot
    return edits
  })
  return describeSnapshot(present<Snapshot>(made, 'a committed snapshot was made'))
}

/**
 * Deletes a snapshot by name or id. What only it held is removed by the next collections.
 * @throws StratalogError `snapshot_not_found`, and what the store throws.
 */
export async function deleteSnapshot(
  archive: ArchiveWriter,
  nameOrId: string,
): Promise<SnapshotDescription> {
  const manifest = await archive.manifest()
  let deleted: Snapshot | null = null
  await manifest.commit((state) => {
    const found = findSnapshot(state, nameOrId)
    // A commit that was answered with an error, and tried again, may have been done.
    if (found === null && deleted !== null) return []
    if (found === null) throw snapshotNotFound(archive.store.url, state, nameOrId)
    deleted = found
    return [{ kind: 'snapshot-deleted', id: found.id }]
  })
  return describeSnapshot(present<Snapshot>(deleted, 'a committed deletion found its snapshot'))
}

/**
 * Deletes what is too many or too old of the snapshots that a schedule made, unless the newest of them is not good:
 * then an older one may be the last that is.
 * @throws StratalogError `snapshot_corrupt` when the newest is not good, and what the store throws.
 */
export async function retireSnapshots(
  { archive, ports }: Pick<SnapshotSource, 'archive' | 'ports'>,
  { known, ...retention }: AutomaticSnapshots,
): Promise<void> {
  const manifest = await archive.manifest()
  const due = dueSnapshots(manifest.state.snapshots.values(), retention, ports.clock.now())
  if (due.length === 0) return
  const newest = present([...manifest.state.snapshots.values()].findLast(isAutomatic), 'it stays')
  const lack = await lackOf(archive.store, manifest.state, newest, known)
  if (lack !== null) {
    throw new StratalogError(
      'snapshot_corrupt',
      `Snapshot '${newest.name}' cannot be restored: ${lack}. No older one is deleted until a newer one can.`,
      { details: { snapshot: newest.name, reason: lack } },
    )
  }
  await manifest.commit((state) =>
    due
      .filter(({ id }) => state.snapshots.has(id))
      .map(({ id }) => ({ kind: 'snapshot-deleted', id })),
  )
}

/** When the newest snapshot of a schedule was made, engine clock in ms; null: there is none. */
export async function newestAutomaticTime(archive: ArchiveWriter): Promise<number | null> {
  const manifest = await archive.manifest()
  return [...manifest.state.snapshots.values()].findLast(isAutomatic)?.time ?? null
}

export async function listSnapshots(
  archive: ArchiveWriter,
): Promise<readonly SnapshotDescription[]> {
  const manifest = await archive.manifest()
  return [...manifest.state.snapshots.values()]
    .sort((a, b) => a.time - b.time)
    .map(describeSnapshot)
}

function pin(log: LiveLog): Pinned {
  return {
    log,
    definition: log.definition,
    partitions: log.partitions.map((partition) => ({
      partition: partition.partition,
      startOffset: partition.startOffset,
      endOffset: partition.nextOffset,
    })),
  }
}

function withoutRetired({ log, definition, partitions }: Pinned): PinnedLog {
  return {
    definition,
    partitions: partitions.map(({ partition, startOffset, endOffset }) => {
      const start = Math.max(startOffset, log.partition(partition).firstOffset)
      return { partition, startOffset: start, endOffset: Math.max(start, endOffset) }
    }),
  }
}

/** A memory-mode log has no tier to move to by itself: the snapshot brings it to the archive. */
function archiveFromMemory(
  scheduler: TieringScheduler,
  { log, partitions }: Pinned,
): readonly Promise<readonly TierMove[]>[] {
  if (log.policy.mode !== 'memory') return []
  return partitions.map(({ partition, endOffset }) =>
    scheduler.archiveMemory(log, log.partition(partition), endOffset),
  )
}

/** ISO 8601 in UTC, with what a name may have. */
function nameOfTime(time: number): string {
  return new Date(time).toISOString().replaceAll(/[:.]/g, '-')
}

function checkName(name: string): string {
  if (name.startsWith(AUTOMATIC_PREFIX)) {
    throw new StratalogError(
      'argument_invalid',
      `Names that begin with '${AUTOMATIC_PREFIX}' are for snapshots that the engine makes by itself; choose another.`,
      { details: { name } },
    )
  }
  if (NAME_PATTERN.test(name)) return name
  throw new StratalogError(
    'argument_invalid',
    `${JSON.stringify(name)} is not a snapshot name; it needs 1 to 128 letters, digits, '.', '_' and '-', the first a letter or a digit.`,
  )
}
