/**
 * What the main thread and the query worker say to each other. Every value can be cloned; hot batches are views over
 * shared memory, so they are not copied.
 *
 * One query, in order: main `bind` → worker `planned` → main `run` → worker `header`, `chunk`… → `done`. To prepare
 * one: main `check` → worker `checked` → `done`. Instead of any of these the worker may say `failed`. `done` and
 * `failed` are the last message of a query: DuckDB no longer touches what it was lent. Main may say `cancel` at any
 * time, also after the end.
 */
import type { ErrorCode } from '../base/errors.ts'
import type { CheckedStatement } from '../base/prepared-query.ts'
import type { QueryParameters } from '../base/query-parameters.ts'
import { type ColumnData, columnBytes } from '../format/column.ts'
import type { Tier } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { ColumnType, Schema } from '../format/schema.ts'
import type { OffsetBits } from '../log/offset-set.ts'
import type { PartFile } from '../storage/part-files.ts'
import type { PlannedScans, ScanBounds } from './scan-bounds.ts'
import type { TableColumn } from './table-columns.ts'

/** Limits of the DuckDB instance in a worker. */
export interface DatabaseOptions {
  readonly threads: number
  readonly memoryBytesMax: number
}

/** A table of a statement as DuckDB sees it; its place in the list of `bind` is its number. */
export interface BoundTable {
  readonly name: string
  readonly columns: readonly TableColumn[]
  /** Named in a statement, or called without arguments. */
  readonly form: 'table' | 'function'
  /** Records in the pinned view, for DuckDB's planner. */
  readonly recordCount: number
  /** Of one with groups of records in place of them, which of the records count; only in a query worker. */
  readonly grouping?: ScanGrouping
}

export interface ScanGrouping {
  /** Those inside all of these do. */
  readonly filter: ScanBounds
}

export interface BatchSource {
  readonly kind: 'batch'
  /** The same for the same records in every table of the query. */
  readonly id: string
  readonly partition: number
  readonly batch: RecordBatch
  /** Of records that never change: equal keys, equal records, in every query. */
  readonly key?: number
  /** Which of them are the newest of their keys; absent where all records are read. */
  readonly live?: OffsetBits
}

/** A batch that is named and not sent; see child/child-protocol.ts. */
export interface RemoteBatchSource {
  readonly kind: 'remote'
  readonly id: string
  readonly partition: number
  readonly query: number
  /** Among the batches of the query. */
  readonly reference: number
  readonly key?: number
  readonly schema: Schema
  readonly baseOffset: number
  readonly length: number
  readonly live?: OffsetBits
}

export interface SegmentFileSource {
  readonly kind: 'segment'
  readonly id: string
  readonly tier: 'disk' | 'object'
  readonly partition: number
  /** SHA-256 of the segment, hex. */
  readonly content: string
  /** A local file that holds the segment from `position` on. */
  readonly path: string
  readonly position: number
  readonly length: number
  /** Files that hold what the query needs of it, in place of that one. */
  readonly files?: readonly PartFile[]
  readonly from: number
  readonly to: number
  readonly live?: OffsetBits
}

export type ScanSource = BatchSource | RemoteBatchSource | SegmentFileSource

export type ToWorker =
  | { readonly kind: 'open'; readonly options: DatabaseOptions }
  | {
      readonly kind: 'bind'
      readonly query: number
      readonly sql: string
      readonly parameters: QueryParameters
      readonly tables: readonly BoundTable[]
    }
  | {
      readonly kind: 'check'
      readonly query: number
      readonly sql: string
      readonly tables: readonly BoundTable[]
    }
  | {
      readonly kind: 'run'
      readonly query: number
      /** By table number. */
      readonly sources: readonly (readonly ScanSource[])[]
      readonly rowsMax: number
      readonly bytesMax: number
      readonly windowBytes: number
    }
  | { readonly kind: 'consumed'; readonly query: number; readonly bytes: number }
  | { readonly kind: 'cancel'; readonly query: number }
  | { readonly kind: 'close' }

export interface ResultColumn {
  readonly name: string
  /** DuckDB's name of the type, such as `BIGINT` or `DECIMAL(18,3)`. */
  readonly type: string
}

export interface ResultChunk {
  readonly length: number
  readonly columns: readonly ColumnData[]
}

/** What a limit on a result's bytes counts. */
export function chunkBytes({ columns }: ResultChunk): number {
  return columns.reduce((sum, column) => sum + columnBytes(column), 0)
}

/** What was read of one tier; a record that several scans of the query read counts once. */
export interface TierReads {
  readonly records: number
  readonly bytes: number
}

export interface WorkerError {
  readonly code: ErrorCode
  readonly message: string
  readonly details: Readonly<Record<string, unknown>>
}

export type FromWorker =
  | {
      readonly kind: 'planned'
      readonly query: number
      readonly scans: PlannedScans
    }
  | { readonly kind: 'checked'; readonly query: number; readonly statement: CheckedStatement }
  | {
      readonly kind: 'header'
      readonly query: number
      readonly columns: readonly ResultColumn[]
      /** How the values of each column are carried. */
      readonly types: readonly ColumnType[]
    }
  | {
      readonly kind: 'chunk'
      readonly query: number
      readonly chunk: ResultChunk
      readonly bytes: number
    }
  | {
      readonly kind: 'done'
      readonly query: number
      readonly reads: Readonly<Record<Tier, TierReads>>
    }
  | { readonly kind: 'failed'; readonly query: number; readonly error: WorkerError }
  | { readonly kind: 'closed' }

/** One end of the connection between the main thread and a worker. */
export interface Channel<In, Out> {
  post(message: Out, transfer?: readonly ArrayBuffer[]): void
  /** Sets the one receiver. */
  onMessage(receive: (message: In) => void): void
}

/** The main thread's end, with the worker's life in its hands. */
export interface WorkerChannel extends Channel<FromWorker, ToWorker> {
  /** Called once when the worker ends by itself; `error` says why when it is known. */
  onExit(exited: (error: Error | null) => void): void
  /** Whether the worker keeps the process alive. */
  setActive(isActive: boolean): void
  /** Resolves when a worker that said `closed` has ended, or ends one that runs in a process. */
  terminate(): Promise<void>
  /** Ends it at once, whatever DuckDB does; null where that would take this process with it. */
  readonly kill: (() => void) | null
}
