/**
 * The manifest: the versioned list of what exists, as a sequence of numbered, immutable, hash-chained commits.
 * A commit carries edits; an edit is a change as data; `applyEdit` in manifest-builder.ts is the only code that changes
 * a state. Every store of manifests (a directory, an archive) holds the same kinds of edits.
 *
 * This file is the values; `manifest-codec.ts` is the files, `log/manifest-store.ts` reads and commits them.
 */
import type { IdRanges } from './id-ranges.ts'
import type { ProducerState } from './producer.ts'
import type { Schema } from './schema.ts'
import type { SegmentEntries } from './segment-entries.ts'
import type { Location, SegmentEntry } from './segment-entry.ts'
import type { SegmentFormat } from './segment.ts'

export type { Location, SegmentEntry } from './segment-entry.ts'

export type StorageMode = 'memory' | 'persistent' | 'hybrid'
export type AckLevel = 'memory' | 'disk' | 'object'
export type EvictionPolicy = 'fifo' | 'lru' | 'ttl' | 'priority' | 'reject'
export type Tier = 'memory' | 'disk' | 'object'

/** A log's policy with every default filled in; durations in ms, null where the key does not apply. */
export interface StoragePolicy {
  readonly mode: StorageMode
  readonly memoryTtl: number
  readonly diskAfter: number
  readonly archiveAfter: number | null
  readonly diskTtl: number | null
  readonly localDisk: boolean
  /** How old a record gets, by its own time, before it is gone from every tier; null: it stays. */
  readonly retention: number | null
  /** Stored bytes of each partition above which its oldest segments are gone from every tier; null: they stay. */
  readonly retentionBytes: number | null
  readonly ack: AckLevel
  readonly wal: boolean
  readonly memoryFirst: boolean
  readonly diskFallback: boolean
  /** Of records of mode `memory`: how long after the append they are gone; null: they stay. */
  readonly ttl: number | null
  /** Of records of mode `memory` that are appended without one. */
  readonly priority: number
  /** The log's own budget in mode `memory`; null: the engine's alone. */
  readonly maxMemoryBytes: number | null
  readonly evictionPolicy: EvictionPolicy
  readonly evictionWatermark: number
  readonly segmentFormat: SegmentFormat
  /** Arrow segments are written again as Parquet once their newest append is this old; null: they stay. */
  readonly parquetAfter: number | null
  readonly keep: 'all' | 'latest'
}

/** A log whose segments a fork shares: of each partition those that end at or below the offset given. */
export interface LogOrigin {
  readonly logId: number
  /** By partition. */
  readonly endOffsets: readonly number[]
}

/** What a log is, apart from its data. Ids count from 1 in an engine and are never used again. */
export interface LogDefinition {
  readonly id: number
  readonly name: string
  readonly partitions: number
  /** Null: the engine stamps `_time`. */
  readonly timeColumn: string | null
  readonly keyColumn: string | null
  readonly policy: StoragePolicy
  /** Engine clock, ms. */
  readonly createdAt: number
  /** Of a fork: the logs that it shares segments with, the first that has one counts. Left out of other logs. */
  readonly origins?: readonly LogOrigin[]
}

/** What a snapshot holds of one partition: `[startOffset, endOffset)`. */
export interface SnapshotPartition {
  readonly partition: number
  readonly startOffset: number
  readonly endOffset: number
}

export interface SnapshotLog {
  readonly logId: number
  readonly name: string
  readonly partitions: readonly SnapshotPartition[]
}

export interface Snapshot {
  readonly id: string
  readonly name: string
  /** Engine clock at the instant the snapshot names, ms. */
  readonly time: number
  readonly logs: readonly SnapshotLog[]
  /** Bytes of all it refers to, and of what was uploaded for it. */
  readonly bytes: number
  readonly newBytes: number
}

export interface Writer {
  readonly id: string
  readonly pid: number
  readonly host: string
  /** Engine clock, ms. */
  readonly since: number
}

/** Where the objects of a data directory lie that was restored without its bytes. Null: by default. */
export interface NotedArchive {
  readonly url: string
  readonly endpoint: string | null
  readonly region: string | null
  readonly forcePathStyle: boolean | null
}

export type ManifestEdit =
  | { readonly kind: 'engine-created'; readonly engineId: string }
  /** What follows is in base 1 and in no commit: a restore took the segments over page by page. */
  | { readonly kind: 'begun-from-base' }
  /** Where an engine that is opened without an archive reads object copies; it writes nothing there. */
  | { readonly kind: 'archive-noted'; readonly archive: NotedArchive }
  /** Ids below `nextLogId` were given elsewhere: in the archive that this place was restored from. */
  | { readonly kind: 'log-ids-reserved'; readonly nextLogId: number }
  | { readonly kind: 'writer-claimed'; readonly epoch: number; readonly writer: Writer }
  | {
      readonly kind: 'log-created'
      readonly log: LogDefinition
      readonly startOffsets: readonly number[]
    }
  | { readonly kind: 'schema-added'; readonly logId: number; readonly schema: Schema }
  | { readonly kind: 'policy-changed'; readonly logId: number; readonly policy: StoragePolicy }
  /**
   * The log is no more, and its id no other log's. Where `deletedAt` (ms) is given, as in archives, all of its segments
   * are retired then, and it is kept in mind for the snapshots that hold it, if it is known at all; where it is null it
   * is forgotten.
   */
  | { readonly kind: 'log-deleted'; readonly logId: number; readonly deletedAt: number | null }
  | {
      readonly kind: 'segment-added'
      readonly logId: number
      readonly partition: number
      readonly segment: SegmentEntry
    }
  | {
      readonly kind: 'segment-copied'
      readonly logId: number
      readonly partition: number
      readonly baseOffset: number
      readonly tier: 'disk' | 'object'
      readonly location: Location
    }
  | {
      readonly kind: 'segment-copy-dropped'
      readonly logId: number
      readonly partition: number
      readonly baseOffset: number
      readonly tier: 'disk' | 'object'
    }
  /**
   * The partition begins at `startOffset` now, where a segment ends: what lies before is retired. Object copies of
   * it are kept in mind until they are collected, where `retiredAt` (ms) says since when; where it is null they are
   * forgotten: by a data directory, whose archive keeps them in mind.
   */
  | {
      readonly kind: 'start-moved'
      readonly logId: number
      readonly partition: number
      readonly startOffset: number
      readonly retiredAt: number | null
    }
  /** `segment` stands in the place of the segments that together have its offsets; `retiredAt` as above. */
  | {
      readonly kind: 'segments-replaced'
      readonly logId: number
      readonly partition: number
      readonly segment: SegmentEntry
      readonly retiredAt: number | null
    }
  /** In bases: a segment that was retired and not collected yet. */
  | {
      readonly kind: 'segment-retired'
      readonly logId: number
      readonly partition: number
      readonly segment: SegmentEntry
      readonly retiredAt: number
    }
  /**
   * Retired segments are forgotten: their objects are gone, or packs that hold others have them still. No segment is
   * given their places again.
   */
  | {
      readonly kind: 'segments-collected'
      readonly logId: number
      readonly partition: number
      readonly locations: readonly Location[]
    }
  /** In an archive lie objects that nothing names; `since` in ms. To name one takes it out again. */
  | {
      readonly kind: 'objects-unnamed'
      readonly objects: readonly string[]
      readonly since: number
    }
  /** Of those: they are about to be removed, and no segment is given their keys any more. */
  | { readonly kind: 'objects-doomed'; readonly objects: readonly string[] }
  /** Of those: there is nothing to keep in mind of them. */
  | { readonly kind: 'objects-forgotten'; readonly objects: readonly string[] }
  /** What a partition remembers of its producers: those that changed, and the ids of those that it forgot. */
  | {
      readonly kind: 'producers-noted'
      readonly logId: number
      readonly partition: number
      readonly producers: readonly ProducerState[]
      readonly forgotten: readonly string[]
    }
  /** The log was without a WAL up to here: offsets below may be held by nothing, from here on none is left out. */
  | {
      readonly kind: 'offsets-dense-from'
      readonly logId: number
      readonly partition: number
      readonly offset: number
    }
  /**
   * The log's records lie in the archive only, under the same id, and it is no log of this place until it is created
   * with that id again. `name` stays taken.
   */
  | { readonly kind: 'log-detached'; readonly logId: number; readonly name: string }
  /** Tier moves of a log, or of all where `logId` is 0, stand still since `since` (ms); null: they go on. */
  | { readonly kind: 'tiering-paused'; readonly logId: number; readonly since: number | null }
  /** WAL frames before `walLsn` are no longer needed by recovery. */
  | { readonly kind: 'checkpoint'; readonly walLsn: number }
  /** The WAL exists, and all below `walLsn` was durable: a WAL that ends before has lost its end. */
  | { readonly kind: 'wal-reached'; readonly walLsn: number }
  | { readonly kind: 'snapshot-created'; readonly snapshot: Snapshot }
  | { readonly kind: 'snapshot-deleted'; readonly id: string }

/** A segment that is no longer part of its log, and whose object snapshots and readers may still want. */
export interface RetiredSegment {
  readonly segment: SegmentEntry
  /** Engine clock, ms. */
  readonly retiredAt: number
}

/** An object of an archive that was found and that nothing named. */
export interface UnnamedObject {
  /** Engine clock, ms. */
  readonly since: number
  readonly isDoomed: boolean
}

export interface PartitionState {
  readonly startOffset: number
  /** In offset order; they never overlap. */
  readonly segments: SegmentEntries
  /** In the order in which they were retired. Left out where there is none. */
  readonly retired?: readonly RetiredSegment[]
  /** By id: as of an offset at or below which all was durable when they were noted. Left out where there is none. */
  readonly producers?: ReadonlyMap<string, ProducerState>
  /** Below it offsets may be held by nothing: evicted, or lost by a log without a WAL. Left out: the start. */
  readonly denseFrom?: number
}

export interface LogState {
  readonly definition: LogDefinition
  /**
   * Engine clock, ms. It was deleted, has retired segments only, and is there for snapshots and until these are
   * collected. Left out of all others.
   */
  readonly deletedAt?: number
  /** By schema id. */
  readonly schemas: readonly Schema[]
  readonly partitions: readonly PartitionState[]
}

/** A state of the manifest: plain data, never changed in place. */
export interface ManifestState {
  readonly engineId: string
  readonly epoch: number
  readonly writer: Writer | null
  /** Above every id that a log ever had here. */
  readonly nextLogId: number
  /** Ids that logs had and no log gets again. */
  readonly deletedLogIds: IdRanges
  /** Names of logs that lie in the archive only and are none of this place, by id. */
  readonly detachedLogs: ReadonlyMap<number, string>
  /** Since when (ms) tier moves of a log stand still, by id; 0: those of all. */
  readonly paused: ReadonlyMap<number, number>
  readonly walLsn: number
  /** How far the WAL is known to have come; null before there was one. */
  readonly walReached: number | null
  /** Left out where a directory was not restored without its bytes. */
  readonly archive?: NotedArchive
  readonly logs: ReadonlyMap<number, LogState>
  readonly snapshots: ReadonlyMap<string, Snapshot>
  /** By key. Left out where there is none. */
  readonly unnamed?: ReadonlyMap<string, UnnamedObject>
}

/** Whether a log was deleted here, as far as the place knows of it. */
export function isDeletedLog({ logs, deletedLogIds }: ManifestState, logId: number): boolean {
  return deletedLogIds.has(logId) || logs.get(logId)?.deletedAt !== undefined
}

/** Logs that the place had and has no more: what speaks of them then, as the WAL may, is no contradiction. */
export function goneLogIds({ deletedLogIds, detachedLogs }: ManifestState): IdRanges {
  return [...detachedLogs.keys()].reduce((ids, id) => ids.with(id), deletedLogIds)
}
