/** Snapshots of a running engine: the instant is taken first, then everything below it is brought to the archive. */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { randomHex } from '../base/random.ts'
import type { Snapshot } from '../format/manifest.ts'
import { applyEdits } from '../format/manifest-builder.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { ArchiveWriter } from '../tiering/archive-writer.ts'
import type { TierFailure, TierMove, TieringContext } from '../tiering/context.ts'
import type { TieringScheduler } from '../tiering/scheduler.ts'
import { holdForSnapshot } from '../tiering/snapshot-ranges.ts'
import type { TierTarget } from '../tiering/steps.ts'
import { findSnapshot, snapshotNotFound } from '../log/archive-view.ts'
import { lackOf } from '../snapshot/check.ts'
import { createSnapshot as planSnapshot } from '../snapshot/create.ts'
import {
  AUTOMATIC_PREFIX,
  type SnapshotRetention,
  dueSnapshots,
  isAutomatic,
} from '../snapshot/retention.ts'
import { type OptionKind, SOME_NAMES, TEXT, assertOptions } from './check-arguments.ts'
import { type SnapshotDescription, describeSnapshot } from './describe-snapshot.ts'
import { releaseUnheld, snapshotToPlace } from './place-snapshot.ts'
import { newDamageOf } from './new-damage.ts'
import { type Pinned, pin, stillThere, withoutTakenBack } from './pinned.ts'
import type { LogRegistry } from './log-registry.ts'
import type { EnginePorts } from './ports.ts'

export interface SnapshotOptions {
  /** Default: `snapshot-` and the time. */
  readonly name?: string
  /** Default: every log. */
  readonly logs?: readonly string[]
}

const KINDS: Readonly<Record<keyof SnapshotOptions, OptionKind>> = { name: TEXT, logs: SOME_NAMES }

/** What of an engine a snapshot is made of. */
export interface SnapshotSource {
  /** Where its snapshots lie. */
  readonly archive: ArchiveWriter
  readonly registry: LogRegistry
  /** Null for an engine in RAM. */
  readonly scheduler: TieringScheduler | null
  readonly ports: EnginePorts
  /** Writes a `snapshotLocation`; null where snapshots lie in the engine's own archive. */
  readonly place: TieringContext | null
}

/** What is kept of the snapshots that the engine makes by itself, and what it found in the archive so far. */
export interface AutomaticSnapshots extends SnapshotRetention {
  /** Lengths of objects that were seen, by key. */
  readonly known: Map<string, number>
  /** Places in objects whose bytes were looked at. */
  readonly sound: Set<string>
}

const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/**
 * @throws StratalogError `argument_invalid` for a bad name, `snapshot_exists`, `log_not_found`,
 * `store_unavailable` and what else kept records from the archive; then there is no snapshot.
 */
export async function createSnapshot(
  source: SnapshotSource,
  options: SnapshotOptions,
): Promise<SnapshotDescription> {
  assertOptions(options, KINDS, 'snapshot')
  const { registry, ports } = source
  const logs =
    options.logs === undefined
      ? [...registry.all()]
      : options.logs.map((name) => registry.get(name))
  const name = checkName(options.name ?? `snapshot-${nameOfTime(ports.clock.now())}`)
  return makeSnapshot(source, logs, name, options.logs !== undefined)
}

/** The snapshot of a schedule, of all logs. @throws StratalogError as `createSnapshot`. */
export async function createAutomaticSnapshot(source: SnapshotSource): Promise<void> {
  const name = `${AUTOMATIC_PREFIX}${nameOfTime(source.ports.clock.now())}`
  await makeSnapshot(source, [...source.registry.all()], name, false)
}

/** @param isNamed whether these very logs were asked for: then one that is deleted meanwhile is not left out. */
async function makeSnapshot(
  source: SnapshotSource,
  logs: readonly LiveLog[],
  name: string,
  isNamed: boolean,
): Promise<SnapshotDescription> {
  const { ports } = source
  const request = { id: randomHex(ports.random, 8), name, time: ports.clock.now() }
  // The instant: every partition's end in one synchronous stretch.
  const pinned = logs.map(pin)
  const releases = pinned.map(({ log, partitions }) => holdForSnapshot(log, partitions))
  try {
    return await makePinned(source, pinned, request, isNamed)
  } finally {
    for (const release of releases) release()
  }
}

async function makePinned(
  source: SnapshotSource,
  pinned: readonly Pinned[],
  request: { readonly id: string; readonly name: string; readonly time: number },
  isNamed: boolean,
): Promise<SnapshotDescription> {
  const { scheduler, place } = source
  const logs = pinned.map(({ log }) => log)
  if (place !== null) {
    if (scheduler !== null) await bringDown(scheduler, logs, 'disk', waitsInWal)
    const check = (): void => (isNamed ? assertThere(logs) : undefined)
    return describeSnapshot(
      await snapshotToPlace(place, pinned.map(withoutTakenBack), request, check),
    )
  }
  const tiers = present(scheduler, 'an engine with an archive tiers to it')
  const uploaded = await bringDown(tiers, logs, 'object')
  const fromMemory = await Promise.all(pinned.flatMap((entry) => archiveFromMemory(tiers, entry)))
  const newBytes = [...uploaded, ...fromMemory.flat()].reduce((sum, move) => sum + move.bytes, 0)
  let made: Snapshot | null = null
  await source.archive.commitSnapshot(logs, (before, described) => {
    if (isNamed) assertThere(logs)
    // They say where a log that was in RAM begins to have no holes.
    const state = applyEdits(before, described)
    const left = stillThere(state, pinned)
    const { snapshot, edits } = planSnapshot(state, { ...request, pinned: left, newBytes })
    made = snapshot
    return edits
  })
  return describeSnapshot(present<Snapshot>(made, 'a committed snapshot was made'))
}

/** @throws StratalogError `log_deleted`. */
function assertThere(logs: readonly LiveLog[]): void {
  for (const { closed } of logs) if (closed !== null) throw closed
}

/** What waits for room on the disk goes to the place from RAM. Without a WAL its offsets could go to others then. */
function waitsInWal(log: LiveLog | undefined, { code }: TierFailure): boolean {
  return code === 'disk_budget_full' && log?.usesWal === true
}

/**
 * What came to that tier.
 * @throws StratalogError `store_unavailable` when something did not that may not stay where it is.
 */
async function bringDown(
  scheduler: TieringScheduler,
  logs: readonly LiveLog[],
  target: TierTarget,
  mayStay: (log: LiveLog | undefined, failure: TierFailure) => boolean = () => false,
): Promise<readonly TierMove[]> {
  const report = await scheduler.now(logs, target, { forSnapshot: target === 'object' })
  const named = new Map(logs.map((log) => [log.name, log]))
  const failure = report.failed.find((entry) => !mayStay(named.get(entry.log), entry))
  if (failure === undefined) return report.moved.filter((move) => move.toTier === target)
  const where = target === 'object' ? 'the archive' : 'the disk'
  throw new StratalogError(
    'store_unavailable',
    `The snapshot was not made: log '${failure.log}', partition ${failure.partition} did not reach ${where}: ${failure.message}`,
    { details: { ...failure } },
  )
}

/**
 * Deletes a snapshot by name or id. What only it held is removed by the next collections.
 * @throws StratalogError `snapshot_not_found`, and what the store throws.
 */
export async function deleteSnapshot(
  { archive, place }: SnapshotSource,
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
  if (place !== null) await releaseUnheld(place)
  return describeSnapshot(present<Snapshot>(deleted, 'a committed deletion found its snapshot'))
}

/**
 * Deletes what is too many or too old of the snapshots that a schedule made, unless the newest of them is not good:
 * then an older one may be the last that is.
 * @throws StratalogError `snapshot_corrupt` when the newest is not good, and what the store throws.
 */
export async function retireSnapshots(
  source: SnapshotSource,
  automatic: AutomaticSnapshots,
): Promise<void> {
  await deleteDue(source, automatic)
  if (source.place !== null) await releaseUnheld(source.place)
}

async function deleteDue(
  { archive, ports, place }: SnapshotSource,
  { known, sound, ...retention }: AutomaticSnapshots,
): Promise<void> {
  const manifest = await archive.manifest()
  const due = dueSnapshots(manifest.state.snapshots.values(), retention, ports.clock.now())
  if (due.length === 0) return
  const newest = present([...manifest.state.snapshots.values()].findLast(isAutomatic), 'it stays')
  const lack =
    (await lackOf(archive.store, manifest.state, newest, known)) ??
    (await newDamageOf(archive.store, manifest.state, newest, due, sound))
  if (lack !== null) {
    // The next snapshot at a place of its own makes it again, of what is in RAM.
    if (place !== null && lack.object !== null) archive.damaged.add(lack.object)
    throw new StratalogError(
      'snapshot_corrupt',
      `Snapshot '${newest.name}' cannot be restored: ${lack.reason}. No older one is deleted until a newer one can.`,
      { details: { snapshot: newest.name, reason: lack.reason } },
    )
  }
  await manifest.commit((state) => {
    // Somebody may have deleted the one that was looked at.
    if (!state.snapshots.has(newest.id)) return []
    return due
      .filter(({ id }) => state.snapshots.has(id))
      .map(({ id }) => ({ kind: 'snapshot-deleted', id }))
  })
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
