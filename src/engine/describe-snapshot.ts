import type { Snapshot } from '../format/manifest.ts'

/** A snapshot as `snapshot --json` prints it. */
export interface SnapshotDescription {
  readonly name: string
  readonly id: string
  /** ISO 8601, UTC. */
  readonly time: string
  readonly logs: readonly {
    /** Of the log: another of the same name may follow it. */
    readonly id: number
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

export function describeSnapshot(snapshot: Snapshot): SnapshotDescription {
  const { name, id, time, logs, bytes, newBytes } = snapshot
  return {
    name,
    id,
    time: new Date(time).toISOString(),
    logs: logs.map((log) => ({ id: log.logId, name: log.name, partitions: log.partitions })),
    bytes,
    newBytes,
  }
}
