/**
 * What the bridge and the query process say to each other. It is protocol.ts but for records: a process sees no memory
 * of another, so batches in RAM are named, and the scan asks for the columns that it wants of them when it comes to
 * them, over a pipe of its own. Rows of results come as bytes.
 */
import type {
  BatchSource,
  FromWorker,
  RemoteBatchSource,
  ScanSource,
  ToWorker,
  WorkerError,
} from '../protocol.ts'
import type { ColumnPlan, PackedColumns } from './packed-columns.ts'

export type ToChild = ToWorker

type Chunk = Extract<FromWorker, { readonly kind: 'chunk' }>

export type FromChild =
  | Exclude<FromWorker, Chunk>
  | {
      readonly kind: 'packed'
      readonly query: number
      readonly length: number
      readonly plans: readonly ColumnPlan[]
      readonly packed: Uint8Array
      readonly bytes: number
    }
  /** Why the process ends now; whatever it was doing is lost. */
  | { readonly kind: 'ending'; readonly error: WorkerError }

/** What the bridge says to the thread that started it, beside what the process says. */
export type FromBridge =
  | FromWorker
  | { readonly kind: 'exited'; readonly status: number | null; readonly signal: string | null }
  | Extract<FromChild, { readonly kind: 'ending' }>

export type ToBridge = ToWorker | { readonly kind: 'kill' }

/** Asks for columns of a batch, by their positions in its schema. */
export interface ColumnRequest {
  readonly query: number
  readonly reference: number
  readonly positions: readonly number[]
}

/** Answers a request: how each column is packed, by itself; their bytes follow. Null where the query has ended. */
export interface ColumnAnswer {
  readonly columns: readonly Pick<PackedColumns, 'plans' | 'byteLength'>[] | null
}

/** Names a batch instead of carrying it. */
export function remoteSource(source: BatchSource, query: number, reference: number): ScanSource {
  const { id, partition, batch, key, live } = source
  const { schema, baseOffset, length } = batch
  const remote: RemoteBatchSource = {
    kind: 'remote',
    id,
    partition,
    query,
    reference,
    schema,
    baseOffset,
    length,
    ...(key === undefined ? {} : { key }),
    ...(live === undefined ? {} : { live }),
  }
  return remote
}
