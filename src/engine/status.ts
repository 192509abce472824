/** The state of an engine as facts; shaped as `status --json` prints it. */
import { present } from '../base/assert.ts'
import type { Metrics } from '../base/metrics.ts'
import { formatBytes, formatDuration } from '../base/units.ts'
import type { SegmentEntry, StoragePolicy } from '../format/manifest.ts'
import { recordsIn } from '../format/segment-entry.ts'
import type { Archive } from '../log/archive-view.ts'
import type { DiskHealth } from '../log/disk-health.ts'
import type { DiskState } from '../log/disk-state.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { partitionFacts } from '../tiering/facts.ts'
import { ALL_LOGS } from '../tiering/pause.ts'
import { type DiskFacts, type EarlyMoves, planEarlyMoves } from '../tiering/disk-pressure.ts'
import { type Around, type TierAction, nextMove, pendingRecords } from '../tiering/policy.ts'
import type { ScrubProblem, ScrubStatus } from '../tiering/scrub-report.ts'
import { recallsDue } from '../tiering/recalls.ts'
import type { CircuitStatus } from '../storage/breaking-object-store.ts'
import type { PartCacheCounts } from '../storage/part-cache.ts'
import type { RequestCounts } from '../storage/metered-object-store.ts'
import type { EstimatedCost } from '../storage/request-cost.ts'
import type { Engine } from './engine.ts'
import { rpoMs } from './log-description.ts'
import { lostProblem } from './lost-problem.ts'
import type { SnapshotScheduleStatus } from './snapshot-schedule.ts'
import { PACKAGE_VERSION } from './version.ts'

/** Gaps of one partition in a status. */
const GAPS_MAX = 100
/** Damages of one partition in a status. */
const DAMAGES_MAX = 100

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
  /**
   * Records that a damaged WAL or snapshots have lost; then copies on disk and in the archive that are damaged or
   * missing, as far as is known: the first ones, of many.
   */
  readonly damage: readonly ScrubProblem[]
  /** What a plan could do with it next, in how many ms, and why; null when nothing ages. */
  readonly next: {
    readonly action: TierAction | 'paused'
    readonly inMs: number
    readonly why: string
  } | null
}

export interface LogStatus {
  readonly name: string
  readonly policy: StoragePolicy
  /** As of `LogDescription`. */
  readonly rpoMs: number | null
  /** Records that are not yet where the policy wants them since it was changed; 0: it is all as promised. */
  readonly pendingRecords: number
  /** Since when somebody paused what moves by itself, of this log or of all; null where nobody did. */
  readonly paused: PausedStatus | null
  readonly partitions: readonly PartitionStatus[]
}

export interface PausedStatus {
  /** ISO 8601, UTC. */
  readonly since: string
  readonly forMs: number
}

export interface DiskStatus {
  readonly state: DiskState
  /** When that began: ISO 8601, UTC. */
  readonly since: string
  /** What the system said; null while the disk works. */
  readonly reason: string | null
  /** Of segment files. */
  readonly usedBytes: number
  /** Null without `maxDiskBytes`. */
  readonly maxBytes: number | null
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
  /** Of an engine that makes snapshots by itself; else null. */
  readonly snapshots: SnapshotScheduleStatus | null
  /** Since when somebody paused what moves by itself, of all logs; null where nobody did. */
  readonly paused: PausedStatus | null
  /** What checks the copies in the background; null in an engine that does not write a data directory. */
  readonly scrub: ScrubStatus | null
  /** Of an engine that was opened with an archive; else null. */
  readonly archive: ArchiveStatus | null
  /** Of a directory that was restored without its bytes; else null. */
  readonly restore: RestoreStatus | null
  readonly logs: readonly LogStatus[]
}

/** What is on this machine's disk by now, and what is still to be fetched because the policies want it there. */
export interface RestoreStatus {
  readonly onDisk: { readonly segments: number; readonly bytes: number }
  readonly pending: { readonly segments: number; readonly bytes: number }
}

export interface ArchiveStatus {
  readonly url: string
  /** Since the engine was opened. */
  readonly requests: RequestCounts
  /** Whether the store answers, and when it is asked again if not; null for a directory. */
  readonly circuit: CircuitStatus | null
  /** Of reads by offset and time: parts of segments that lay on disk, and that were fetched. SQL says its own. */
  readonly cache: PartCacheCounts
  /** Of the objects that hold segments, also of those that go soon, each once and whole. */
  readonly storedBytes: number
  /** By the list prices of S3 Standard, in US dollars. */
  readonly estimatedUsdPerMonth: EstimatedCost
}

export function engineStatus(engine: Engine): EngineStatus {
  const { governor } = engine
  const now = engine.ports.clock.now()
  const { hasArchive } = engine.surroundings
  const scrubber = engine.lowerTiers?.scrubber ?? null
  const damages = Map.groupBy(
    [...(engine.snapshots?.lost() ?? []), ...(scrubber?.problems() ?? [])],
    ({ log, partition }) => `${log}/${partition}`,
  )
  const pausedSince = engine.lowerTiers?.pausedSince ?? (() => null)
  const disk = engine.diskBudget?.facts() ?? null
  const early = earlyMoves(engine, disk)
  const isFilling = engine.lowerTiers?.scheduler.isFilling ?? false
  const around = { now, hasArchive, disk, early, damages, pausedSince, isFilling }
  const logs = [...engine.registry.all()].map((log) => logStatus(log, around))
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
    disk: engine.disk === null ? null : diskStatus(engine, engine.disk),
    snapshots: engine.snapshots?.status() ?? null,
    paused: pausedStatus(ALL_LOGS, around),
    scrub: scrubber?.status ?? null,
    archive: archiveUse(engine),
    restore: isFilling ? restoreStatus(engine.registry.all(), now) : null,
    logs,
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
    snapshots: null,
    paused: null,
    scrub: null,
    archive: null,
    restore: null,
    logs: archive.logs.map(({ definition, partitions }) => ({
      name: definition.name,
      policy: definition.policy,
      rpoMs: rpoMs(definition.policy),
      pendingRecords: 0,
      paused: null,
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
          damage: [],
          next: null,
        }
      }),
    })),
  }
}

/** The same figures go to the metrics port. */
export function archiveUse({
  archiveUse: use,
  ports: { metrics },
}: Pick<Engine, 'archiveUse' | 'ports'>): ArchiveStatus | null {
  if (use === null) return null
  const storedBytes = use.storedBytes()
  const requests = use.requests()
  const cost = use.estimateCost(storedBytes)
  metrics.gauge('stratalog_archive_stored_bytes', storedBytes)
  metrics.gauge('stratalog_archive_usd_per_month', cost.storage, { of: 'storage' })
  metrics.gauge('stratalog_archive_usd_per_month', cost.requests, { of: 'requests' })
  const cache = use.cache()
  metrics.gauge('stratalog_archive_cache_used_bytes', cache.usedBytes)
  metrics.gauge('stratalog_archive_cache_parts', cache.hits, { found: 'disk' })
  metrics.gauge('stratalog_archive_cache_parts', cache.misses, { found: 'archive' })
  const circuit = use.circuit()
  return { url: use.url, requests, circuit, cache, storedBytes, estimatedUsdPerMonth: cost }
}

/** The same figures go to the metrics port. */
function diskStatus(
  { diskBudget, ports: { metrics } }: Engine,
  { state, since, reason }: DiskHealth,
): DiskStatus {
  const { usedBytes, maxBytes } = present(diskBudget, 'an engine with a disk has its budget')
  setDiskGauges(metrics, { usedBytes, maxBytes })
  return {
    state,
    since: new Date(since).toISOString(),
    reason,
    usedBytes,
    maxBytes: maxBytes < Infinity ? maxBytes : null,
  }
}

export function setDiskGauges(
  metrics: Metrics,
  { usedBytes, maxBytes }: { readonly usedBytes: number; readonly maxBytes: number },
): void {
  metrics.gauge('stratalog_disk_used_bytes', usedBytes)
  if (maxBytes < Infinity) metrics.gauge('stratalog_disk_budget_bytes', maxBytes)
}

function restoreStatus(logs: Iterable<LiveLog>, now: number): RestoreStatus {
  const onDisk = { segments: 0, bytes: 0 }
  const pending = { segments: 0, bytes: 0 }
  const add = (to: typeof onDisk, { length }: SegmentEntry): void => {
    to.segments++
    to.bytes += length
  }
  for (const log of logs) {
    for (const partition of log.partitions) {
      for (const segment of partition.segments.having('disk')) add(onDisk, segment)
      const facts = partitionFacts(log, partition, null, { isFilling: true })
      for (const segment of recallsDue(facts, now)) add(pending, segment)
    }
  }
  return { onDisk, pending }
}

/** What the disk's budget asks for now, by partition. */
function earlyMoves(
  { registry }: Engine,
  disk: DiskFacts | null,
): ReadonlyMap<Partition, EarlyMoves> {
  if (disk === null || disk.roomBytes === Infinity) return new Map()
  const pressed = [...registry.all()].flatMap(({ policy, partitions }) =>
    partitions.map((partition) => {
      const { segments, batches, flushedEnd } = partition
      return { policy, segments, batches, flushedEnd, partition }
    }),
  )
  return new Map(
    Array.from(planEarlyMoves(disk, pressed), ([{ partition }, moves]) => [partition, moves]),
  )
}

interface Surroundings extends Around {
  readonly disk: DiskFacts | null
  readonly early: ReadonlyMap<Partition, EarlyMoves>
  /** By log and partition. */
  readonly damages: ReadonlyMap<string, readonly ScrubProblem[]>
  /** ms; null where tier moves of the log are not paused. */
  readonly pausedSince: (logId: number) => number | null
  readonly isFilling: boolean
}

function logStatus(log: LiveLog, around: Surroundings): LogStatus {
  const { now, isFilling } = around
  return {
    name: log.name,
    policy: log.policy,
    rpoMs: rpoMs(log.policy),
    pendingRecords: log.partitions.reduce(
      (sum, partition) =>
        sum + pendingRecords(partitionFacts(log, partition, null, { isFilling }), now),
      0,
    ),
    paused: pausedStatus(log.id, around),
    partitions: log.partitions.map((partition) => partitionStatus(log, partition, around)),
  }
}

function pausedStatus(
  logId: number,
  { now, pausedSince }: Pick<Surroundings, 'now' | 'pausedSince'>,
): PausedStatus | null {
  const since = pausedSince(logId)
  if (since === null) return null
  return { since: new Date(since).toISOString(), forMs: Math.max(0, now - since) }
}

function partitionStatus(
  log: LiveLog,
  partition: Partition,
  around: Surroundings,
): PartitionStatus {
  const { now, damages } = around
  const { segments, startOffset } = partition
  const { flush, upload } = waitingSince(partition)
  return {
    partition: partition.partition,
    startOffset,
    endOffset: partition.readableEnd,
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
      flushMs: flush === null ? 0 : Math.max(0, now - flush),
      uploadMs: upload === null ? 0 : Math.max(0, now - upload),
    },
    gaps: gapsOf(partition),
    lastError: partition.lastError,
    damage: [
      ...lostProblem(partition.lost),
      ...(damages.get(`${log.name}/${partition.partition}`)?.slice(0, DAMAGES_MAX) ?? []),
    ],
    next: nextOf(log, partition, around),
  }
}

/** When the oldest record was appended that has no disk copy, and one without an object copy; null: there is none. */
export function waitingSince({ batches, flushedEnd, segments }: Partition): {
  readonly flush: number | null
  readonly upload: number | null
} {
  const inRam = batches.find((batch) => batch.endOffset > flushedEnd)
  const [onDisk] = segments.lacking('object')
  return { flush: inRam?.appendTimeMin ?? null, upload: onDisk?.appendTimeMin ?? null }
}

function nextOf(log: LiveLog, partition: Partition, around: Surroundings): PartitionStatus['next'] {
  const { isFilling } = around
  const facts = partitionFacts(log, partition, null, { isFilling })
  const next = nextMove(facts, around, around.early.get(partition))
  if (next === null) return null
  const { action, inMs, isForDisk } = next
  const isBudget = isForDisk && around.disk !== null
  const why = isBudget ? budgetReason(action, around.disk) : reasonOf(action, log.policy)
  const paused = pausedStatus(log.id, around)
  if (paused === null) return { action, inMs, why }
  return { action: 'paused', inMs: 0, why: `since ${paused.since}; then ${action}: ${why}` }
}

function budgetReason(action: TierAction, { usedBytes, maxBytes }: DiskFacts): string {
  const budget = `maxDiskBytes is ${formatBytes(maxBytes)}, and ${formatBytes(usedBytes)} are used`
  return action === 'flush' ? `waits for room: ${budget}` : budget
}

/** Which key of the policy asks for it. */
function reasonOf(action: TierAction, policy: StoragePolicy): string {
  const after = (key: keyof StoragePolicy): string =>
    `${key} is ${formatDuration(Number(policy[key]))}`
  switch (action) {
    case 'flush':
      if (policy.mode === 'memory') return 'the policy was changed'
      return after(policy.localDisk ? 'diskAfter' : 'archiveAfter')
    case 'upload':
      return policy.ack === 'object' ? `ack is 'object'` : after('archiveAfter')
    case 'drop-memory':
      return after('memoryTtl')
    case 'drop-disk':
      return after('diskTtl')
    case 'recall':
      return policy.mode === 'persistent'
        ? `mode is 'persistent', and the archive has segments that the disk has not`
        : `the directory was restored without its bytes, and ${after('diskTtl')}`
    case 'compact':
      if (policy.keep === 'latest')
        return `keep is 'latest', and half of what is below RAM is new, or neighbours are due to become one`
      return policy.parquetAfter === null
        ? 'eight neighbours are of about one size'
        : `eight neighbours are of about one size, or ${after('parquetAfter')}`
    case 'retire':
      return policy.retention === null
        ? `retentionBytes is ${formatBytes(policy.retentionBytes ?? 0)}`
        : after('retention')
  }
}

function segmentTier(given: Iterable<SegmentEntry>): TierStatus & { segments: number } {
  let [records, bytes, segments] = [0, 0, 0]
  let [startOffset, endOffset] = [0, 0]
  for (const segment of given) {
    if (segments === 0) startOffset = segment.baseOffset
    endOffset = segment.endOffset
    records += recordsIn(segment)
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
