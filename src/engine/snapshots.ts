/** Snapshots of a running engine: the instant is taken first, then everything below it is brought to the archive. */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { randomHex } from '../base/random.ts'
import type { Snapshot } from '../format/manifest.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { ArchiveWriter } from '../tiering/archive-writer.ts'
import type { TierMove } from '../tiering/context.ts'
import type { TieringScheduler } from '../tiering/scheduler.ts'
import { type PinnedLog, createSnapshot as planSnapshot } from '../snapshot/create.ts'
import type { LogRegistry } from './log-registry.ts'
import type { EnginePorts } from './ports.ts'

export interface SnapshotOptions {
  /** Default: `snapshot-` and the time. */
  readonly name?: string
  /** Default: every log. */
  readonly logs?: readonly string[]
}

/** A snapshot as `snapshot --json` prints it. */
export interface SnapshotDescription {
  readonly name: string
  readonly id: string
  /** ISO 8601, UTC. */
  readonly time: string
  readonly logs: readonly {
    readonly name: string
    readonly partitions: readonly {
      readonly partition: number
      readonly startOffset: number
      readonly endOffset: number
    }[]
  }[]
  /** Stored bytes of all it refers to, and of what was uploaded for it. */
  readonly bytes: number
  readonly newBytes: number
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
  const time = ports.clock.now()
  const name = checkName(
    options.name ?? `snapshot-${new Date(time).toISOString().replaceAll(/[:.]/g, '-')}`,
  )
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

export async function listSnapshots(
  archive: ArchiveWriter,
): Promise<readonly SnapshotDescription[]> {
  const manifest = await archive.manifest()
  return [...manifest.state.snapshots.values()]
    .sort((a, b) => a.time - b.time)
    .map(describeSnapshot)
}

export function describeSnapshot(snapshot: Snapshot): SnapshotDescription {
  const { name, id, time, logs, bytes, newBytes } = snapshot
  return {
    name,
    id,
    time: new Date(time).toISOString(),
    logs: logs.map((log) => ({ name: log.name, partitions: log.partitions })),
    bytes,
    newBytes,
  }
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

function checkName(name: string): string {
  if (NAME_PATTERN.test(name)) return name
  throw new StratalogError(
    'argument_invalid',
    `${JSON.stringify(name)} is not a snapshot name; it needs 1 to 128 letters, digits, '.', '_' and '-', the first a letter or a digit.`,
  )
}
