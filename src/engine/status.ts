/** The state of an engine as facts; shaped as `status --json` prints it. */
import type { SegmentEntry, StoragePolicy } from '../format/manifest.ts'
import type { Archive } from '../log/archive-view.ts'
import type { DiskHealth } from '../log/disk-health.ts'
import type { DiskState } from '../log/disk-state.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { pendingRecords } from '../tiering/policy.ts'
import type { Engine } from './engine.ts'
import { rpoMs } from './log-description.ts'
import { PACKAGE_VERSION } from './version.ts'

/** Gaps of one partition in a status. */
const GAPS_MAX = 100

export interface TierStatus {
  readonly records: number
  readonly bytes: number
  readonly startOffset: number
  readonly endOffset: number
}

export interface PartitionStatus {
  readonly partition: number
  readonly startOffset: number
  readonly endOffset: number
  readonly durableOffset: number
  readonly archivedOffset: number
  readonly tiers: {
    readonly memory: TierStatus
    readonly disk: TierStatus & { readonly segments: number }
    readonly object: TierStatus & { readonly segments: number }
  }
  /** How long the oldest record that has no disk (object) copy has waited for one. */
  readonly lag: { readonly flushMs: number; readonly uploadMs: number }
  readonly gaps: readonly { readonly from: number; readonly to: number; readonly reason: string }[]
  readonly lastError: string | null
}

export interface LogStatus {
  readonly name: string
  readonly policy: StoragePolicy
  /** As of `LogDescription`. */
  readonly rpoMs: number | null
  /** Records that are not yet where the policy wants them since it was changed; 0: it is all as promised. */
  readonly pendingRecords: number
  readonly partitions: readonly PartitionStatus[]
}

export interface DiskStatus {
  readonly state: DiskState
  /** When that began: ISO 8601, UTC. */
  readonly since: string
  /** What the system said; null while the disk works. */
  readonly reason: string | null
}

export interface EngineStatus {
  readonly version: string
  readonly source: 'directory' | 'archive' | 'server'
  /** Who holds the directory's lock now. Of an archive: who last claimed it, as nothing tells whether it lives. */
  readonly writer: { readonly pid: number; readonly host: string; readonly since: string } | null
  readonly memory: {
    readonly usedBytes: number
    readonly maxBytes: number
    readonly usagePercent: number
  }
  /** Why appends with a WAL are refused, or null. */
  readonly failure: string | null
  /** The disk under the WAL as the engine that writes it sees it; null for one that does not. */
  readonly disk: DiskStatus | null
  readonly logs: readonly LogStatus[]
}

export function engineStatus(engine: Engine): EngineStatus {
  const { governor } = engine
  const now = engine.ports.clock.now()
  return {
    version: PACKAGE_VERSION,
    source: 'directory',
    writer: engine.writer(),
    memory: {
      usedBytes: governor.usedBytes,
      maxBytes: governor.maxBytes,
      usagePercent: Math.round((governor.usedBytes / governor.maxBytes) * 1000) / 10,
    },
    failure: engine.failure()?.message ?? null,
    disk: engine.disk === null ? null : diskStatus(engine.disk),
    logs: [...engine.registry.all()].map((log) => logStatus(log, now)),
  }
}

/** What an archive holds, in the same shape; nothing of it is in memory or on this machine's disk. */
export function archiveStatus(archive: Archive): EngineStatus {
  const { writer } = archive.state
  const empty: TierStatus = { records: 0, bytes: 0, startOffset: 0, endOffset: 0 }
  return {
    version: PACKAGE_VERSION,
    source: 'archive',
    writer:
      writer === null
        ? null
        : { pid: writer.pid, host: writer.host, since: new Date(writer.since).toISOString() },
    memory: { usedBytes: 0, maxBytes: 0, usagePercent: 0 },
    failure: null,
    disk: null,
    logs: archive.logs.map(({ definition, partitions }) => ({
      name: definition.name,
      policy: definition.policy,
      rpoMs: rpoMs(definition.policy),
      pendingRecords: 0,
      partitions: partitions.map(({ startOffset, segments }, partition) => {
        const endOffset = segments.at(-1)?.endOffset ?? startOffset
        return {
          partition,
          startOffset,
          endOffset,
          durableOffset: endOffset,
          archivedOffset: endOffset,
          tiers: { memory: empty, disk: { ...empty, segments: 0 }, object: segmentTier(segments) },
          lag: { flushMs: 0, uploadMs: 0 },
          gaps: [],
          lastError: null,
        }
      }),
    })),
  }
}

function diskStatus({ state, since, reason }: DiskHealth): DiskStatus {
  return { state, since: new Date(since).toISOString(), reason }
}

function logStatus(log: LiveLog, now: number): LogStatus {
  return {
    name: log.name,
    policy: log.policy,
    rpoMs: rpoMs(log.policy),
    pendingRecords: log.partitions.reduce((sum, partition) => sum + pendingIn(log, partition), 0),
    partitions: log.partitions.map((partition) => partitionStatus(partition, now)),
  }
}

function pendingIn({ id, policy }: LiveLog, partition: Partition): number {
  const { flushedEnd, owedEnd, batches, segments } = partition
  return pendingRecords({
    logId: id,
    partition: partition.partition,
    policy,
    flushedEnd,
    totals: null,
    isArchiveBehind: false,
    owedEnd,
    batches,
    segments,
  })
}

function partitionStatus(partition: Partition, now: number): PartitionStatus {
  const { segments, batches, startOffset } = partition
  const waitingInRam = batches.find((batch) => batch.endOffset > partition.flushedEnd)
  const [waitingOnDisk] = segments.lacking('object')
  return {
    partition: partition.partition,
    startOffset,
    endOffset: partition.visibleEnd,
    durableOffset: partition.durableEnd,
    archivedOffset: partition.archivedEnd,
    tiers: {
      memory: {
        records: partition.hotRecords,
        bytes: partition.hotBytes,
        startOffset: partition.hotStart,
        endOffset: partition.nextOffset,
      },
      disk: segmentTier(segments.having('disk')),
      object: segmentTier(segments.having('object')),
    },
    lag: {
      flushMs: waitingInRam === undefined ? 0 : Math.max(0, now - waitingInRam.appendTimeMin),
      uploadMs: waitingOnDisk === undefined ? 0 : Math.max(0, now - waitingOnDisk.appendTimeMin),
    },
    gaps: gapsOf(partition),
    lastError: partition.lastError,
  }
}

function segmentTier(given: Iterable<SegmentEntry>): TierStatus & { segments: number } {
  let [records, bytes, segments] = [0, 0, 0]
  let [startOffset, endOffset] = [0, 0]
  for (const segment of given) {
    if (segments === 0) startOffset = segment.baseOffset
    endOffset = segment.endOffset
    records += segment.endOffset - segment.baseOffset
    bytes += segment.length
    segments++
  }
  return { records, bytes, startOffset, endOffset, segments }
}

/** Offsets that were assigned and that no tier holds, the newest ones where there are many. */
function gapsOf(partition: Partition): PartitionStatus['gaps'] {
  return partition
    .gaps()
    .slice(-GAPS_MAX)
    .map(({ start, end, cause }) => ({ from: start, to: end, reason: cause }))
}
