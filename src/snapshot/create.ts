/**
 * The pure part of a snapshot: from the offsets that were pinned in one synchronous stretch and the manifest that names
 * their segments, to the value that the manifest keeps. Whoever calls this has already brought every pinned record into
 * segments of that manifest, so the edits are the last step: a crash before them leaves no snapshot, never half of one.
 */
import { StratalogError } from '../base/errors.ts'
import { segmentsHolding, unheld } from '../log/held-segments.ts'
import type {
  LogDefinition,
  LogState,
  ManifestEdit,
  ManifestState,
  PartitionState,
  Snapshot,
  SnapshotPartition,
} from '../format/manifest.ts'
import { SegmentEntries } from '../format/segment-entries.ts'

export interface PinnedLog {
  readonly definition: LogDefinition
  readonly partitions: readonly SnapshotPartition[]
}

export interface SnapshotRequest {
  readonly id: string
  readonly name: string
  /** Engine clock at the pin, ms. */
  readonly time: number
  readonly pinned: readonly PinnedLog[]
  /** Bytes that were uploaded for it. */
  readonly newBytes: number
}

/**
 * @param state the manifest that the snapshot is committed to.
 * @throws StratalogError `snapshot_exists`; `offset_gap` when a pinned record of a log that may have no gaps is in no
 * segment.
 */
export function createSnapshot(
  state: ManifestState,
  request: SnapshotRequest,
): { readonly snapshot: Snapshot; readonly edits: readonly ManifestEdit[] } {
  const { id, name, time, pinned, newBytes } = request
  if (
    state.snapshots.has(id) ||
    [...state.snapshots.values()].some((other) => other.name === name)
  ) {
    throw new StratalogError('snapshot_exists', `There is a snapshot '${name}' already.`, {
      details: { name },
    })
  }
  const bytes = pinned.reduce(
    (sum, log) => sum + logBytes(state.logs.get(log.definition.id), log),
    0,
  )
  const logs = pinned.map(({ definition, partitions }) => ({
    logId: definition.id,
    name: definition.name,
    partitions,
  }))
  const snapshot = { id, name, time, logs, bytes, newBytes }
  return { snapshot, edits: [{ kind: 'snapshot-created', snapshot }] }
}

function logBytes(state: LogState | undefined, pinned: PinnedLog): number {
  return pinned.partitions.reduce((sum, pin) => {
    const part = state?.partitions[pin.partition]
    const held = part === undefined ? [] : segmentsHolding(part, pin.startOffset, pin.endOffset)
    if (pinned.definition.policy.mode !== 'memory') assertCovered(pinned.definition.name, pin, part)
    return sum + held.reduce((bytes, segment) => bytes + segment.length, 0)
  }, 0)
}

/**
 * A snapshot names only what can be restored. Logs in RAM only may have evicted records, which are gaps by their
 * nature, and stay so below `denseFrom` when the log has another mode.
 */
function assertCovered(
  log: string,
  { partition, startOffset, endOffset }: SnapshotPartition,
  state: PartitionState = { startOffset: 0, segments: SegmentEntries.empty },
): void {
  const [gap] = unheld(state, startOffset, endOffset)
  if (gap === undefined) return
  throw new StratalogError(
    'offset_gap',
    `Log '${log}', partition ${partition}: offset ${gap.start} is in no segment, so a snapshot cannot hold it.`,
    { details: { log, partition, from: gap.start, to: gap.end } },
  )
}
