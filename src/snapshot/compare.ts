/** What lies between two snapshots of one archive: which records and stored bytes one holds and the other does not. */
import { type Range, subtractRanges } from '../base/range.ts'
import type { ManifestState, PartitionState, Snapshot } from '../format/manifest.ts'
import { recordsWithin } from '../format/segment-entry.ts'
import { segmentsHolding } from '../log/held-segments.ts'

/** Shaped for `snapshot diff --json`: what a restore of `to` has more (`added`) and less (`removed`) than of `from`. */
export interface SnapshotDiff {
  readonly from: SnapshotName
  readonly to: SnapshotName
  readonly records: Change
  /** Stored bytes of the segments that only one of the two needs. */
  readonly bytes: Change
  readonly logs: readonly LogDiff[]
}

export interface SnapshotName {
  readonly name: string
  readonly id: string
  /** ISO 8601, UTC. */
  readonly time: string
}

interface Change {
  readonly added: number
  readonly removed: number
}

export interface LogDiff {
  /** As the newer of the two that hold it calls it. */
  readonly name: string
  readonly change: 'same' | 'changed' | 'added' | 'removed'
  readonly partitions: readonly PartitionDiff[]
}

interface PartitionDiff {
  readonly partition: number
  /** Null: that snapshot does not hold the partition. */
  readonly from: OffsetRange | null
  readonly to: OffsetRange | null
  readonly records: Change
}

interface OffsetRange {
  readonly startOffset: number
  readonly endOffset: number
}

/** @param state a state of the manifest that has both snapshots. */
export function compareSnapshots(state: ManifestState, from: Snapshot, to: Snapshot): SnapshotDiff {
  const ids = new Set([...from.logs, ...to.logs].map((log) => log.logId))
  const logs = [...ids].map((logId) => compareLog(state, logId, from, to))
  logs.sort((a, b) => (a.name < b.name ? -1 : 1))
  const parts = logs.flatMap(({ partitions }) => partitions)
  const before = segmentsOf(state, from)
  const after = segmentsOf(state, to)
  return {
    from: nameOf(from),
    to: nameOf(to),
    records: {
      added: sum(parts.map(({ records }) => records.added)),
      removed: sum(parts.map(({ records }) => records.removed)),
    },
    bytes: { added: bytesBeside(after, before), removed: bytesBeside(before, after) },
    logs,
  }
}

function compareLog(state: ManifestState, logId: number, from: Snapshot, to: Snapshot): LogDiff {
  const before = from.logs.find((log) => log.logId === logId)
  const after = to.logs.find((log) => log.logId === logId)
  const numbers = new Set(
    [...(before?.partitions ?? []), ...(after?.partitions ?? [])].map((part) => part.partition),
  )
  const partitions = [...numbers].map((partition) => {
    const held = state.logs.get(logId)?.partitions[partition]
    const one = rangeOf(before?.partitions, partition)
    const other = rangeOf(after?.partitions, partition)
    const records = {
      added: recordsBeside(held, other, one),
      removed: recordsBeside(held, one, other),
    }
    return { partition, from: one, to: other, records }
  })
  const isSame = partitions.every(
    ({ from: one, to: other }) =>
      one?.startOffset === other?.startOffset && one?.endOffset === other?.endOffset,
  )
  const change =
    before === undefined ? 'added' : after === undefined ? 'removed' : isSame ? 'same' : 'changed'
  return { name: after?.name ?? before?.name ?? '', change, partitions }
}

function rangeOf(
  partitions: Snapshot['logs'][number]['partitions'] | undefined,
  number: number,
): OffsetRange | null {
  const found = partitions?.find(({ partition }) => partition === number)
  if (found === undefined) return null
  const { startOffset, endOffset } = found
  return { startOffset, endOffset }
}

/** Records of `range` that lie in segments, and not in `other`: what was evicted in between is none. */
function recordsBeside(
  state: PartitionState | undefined,
  range: OffsetRange | null,
  other: OffsetRange | null,
): number {
  if (state === undefined || range === null) return 0
  const whole: Range = { start: range.startOffset, end: range.endOffset }
  const beside =
    other === null
      ? [whole]
      : subtractRanges(whole, { start: other.startOffset, end: other.endOffset })
  return sum(
    beside.flatMap(({ start, end }) =>
      segmentsHolding(state, start, end).map((segment) =>
        recordsWithin(
          segment,
          Math.max(start, segment.baseOffset),
          Math.min(end, segment.endOffset),
        ),
      ),
    ),
  )
}

/** Stored bytes by SHA-256 of the segments that a restore of a snapshot needs. */
function segmentsOf(state: ManifestState, { logs }: Snapshot): ReadonlyMap<string, number> {
  const bytes = new Map<string, number>()
  for (const { logId, partitions } of logs) {
    for (const { partition, startOffset, endOffset } of partitions) {
      const held = state.logs.get(logId)?.partitions[partition]
      if (held === undefined) continue
      for (const { sha256, length } of segmentsHolding(held, startOffset, endOffset))
        bytes.set(sha256, length)
    }
  }
  return bytes
}

function bytesBeside(one: ReadonlyMap<string, number>, other: ReadonlyMap<string, number>): number {
  return sum([...one].map(([sha256, length]) => (other.has(sha256) ? 0 : length)))
}

function nameOf({ name, id, time }: Snapshot): SnapshotName {
  return { name, id, time: new Date(time).toISOString() }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
