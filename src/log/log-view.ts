/**
 * A fixed, readable view of one log across its tiers. `query`, `snapshot` and `replay` read through this interface
 * only, so live logs, archives, snapshots and test doubles are interchangeable.
 *
 * Invariants: in each partition the sources lie in offset order and never overlap, so every offset is served by exactly
 * one copy however data moves underneath. Offsets of `[startOffset, endOffset)` that no source covers are gaps: evicted
 * or lost records, never silently skipped by a reader.
 *
 * A view pins what it refers to: hot batches stay in memory and local segment files stay on disk until `release`.
 * Every holder calls `release` exactly once.
 */
import type { Range } from '../base/range.ts'
import type { LogDefinition, SegmentEntry } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { Schema } from '../format/schema.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import type { CachedPart } from '../storage/part-cache.ts'
import type { CausedGap } from './gap-history.ts'

export interface LogView {
  readonly definition: LogDefinition
  /** The newest schema. Batches of older schemas are brought to it by the reader. */
  readonly schema: Schema
  /** Every schema the log ever had, by id. */
  readonly schemas: readonly Schema[]
  /** By partition number. */
  readonly partitions: readonly PartitionView[]
  release(): void
}

export interface PartitionView {
  readonly partition: number
  readonly startOffset: number
  readonly endOffset: number
  readonly sources: readonly ViewSource[]
  /** Why offsets are gone that no source covers, those before `startOffset` too; absent where nobody knows. */
  readonly gaps?: GapCauses
}

/** What a view holds until it is released. */
export interface Lease {
  /** Of a batch in RAM: where it ends. */
  readonly endOffset?: number
  release(): void
}

export interface GapCauses {
  /** The cause of each part of `[start, end)`, in order. */
  within(start: number, end: number): readonly CausedGap[]
}

export type ViewSource = MemorySource | SegmentSource

/** A hot batch, already cut to the offsets it serves. */
export interface MemorySource {
  readonly tier: 'memory'
  readonly batch: RecordBatch
  /** Event times of its records lie within these, in whole ms, both inclusive; absent where they are not known. */
  readonly timeMin?: number
  readonly timeMax?: number
  /** The same object comes again with the next view, and its records never change. */
  readonly isSealed?: boolean
}

/** Offsets `[from, to)` of one segment, read from the copy in `tier`. */
export interface SegmentSource {
  readonly tier: 'disk' | 'object'
  readonly segment: SegmentEntry
  readonly from: number
  readonly to: number
  readonly bytes: SegmentBytes
  /** Where its object lies, where that is not the archive of who reads it. */
  readonly store?: ObjectStore
  /** Another copy of the same segment, read from where this one is damaged on. */
  readonly fallback?: SegmentFallback
  /**
   * Where the object is gone: the same records as they lie in the archive by now; null where the archive lacks them.
   * Absent where nobody else changes the archive. @throws StratalogError `object_not_found`, saying why they are gone.
   */
  readonly successor?: () => Promise<SegmentSource | null>
  /**
   * There for records that a damaged WAL has lost, and where nobody can tell whether they have expired: there are no
   * bytes, and who wants them is told so.
   */
  readonly lost?: LostSource
}

export interface LostSource {
  /** What who reads the source is told. */
  error(): Error
  /** Looks again, where that may help: the source as it can be read. @throws what keeps it from being read. */
  readonly again?: () => Promise<SegmentSource>
}

export interface SegmentFallback {
  readonly tier: 'disk' | 'object'
  readonly bytes: SegmentBytes
  /** Is told when it is turned to, with what is wrong with the first copy. */
  readonly onUse: (error: unknown) => void
}

/** The stored bytes of one copy of a segment; positions count from the segment's first byte. */
export interface SegmentBytes {
  readonly length: number
  /**
   * Exactly that range. @throws StratalogError `object_not_found`, `file_not_found`, `object_corrupt`, `file_corrupt`,
   * `store_unavailable`.
   */
  read(range: Range, signal?: AbortSignal): Promise<Uint8Array>
  /**
   * The bytes of parts, which are ascending and apart, from a cache as far as it has sound ones; absent where there is
   * none. What comes from the copy itself is given as it came. @throws as `read`.
   */
  readonly readParts?: (
    parts: readonly CachedPart[],
    signal?: AbortSignal,
  ) => Promise<readonly Uint8Array[]>
  /** The absolute path of a local file that holds these bytes from `position` on, else null: lets a worker read it. */
  readonly path: string | null
  readonly position: number
}
