/** What a query process may take; it learns it from its environment. */
import type { DatabaseOptions } from '../../query/protocol.ts'

export interface ProcessMemory {
  /** Columns of batches in RAM and of segments that stay for later queries. */
  readonly keptBytesMax: number
  /** It ends itself above. */
  readonly usedBytesMax: number
  /** The system gives it no more: above that by what is reserved and not used, such as the stacks of threads. */
  readonly dataBytesMax: number
}

export const MEMORY_VARIABLE = 'STRATALOG_QUERY_MEMORY'

/** In a process, and in a thread of the engine's own. */
export const KEPT_BYTES_MAX: number = 256 * 1024 ** 2
/** What DuckDB does not count, and Node. */
const BESIDE_DUCKDB_BYTES = 512 * 1024 ** 2
const RESERVED_BYTES = 512 * 1024 ** 2

export function processMemory({ memoryBytesMax }: DatabaseOptions): ProcessMemory {
  const usedBytesMax = memoryBytesMax + KEPT_BYTES_MAX + BESIDE_DUCKDB_BYTES
  return {
    keptBytesMax: KEPT_BYTES_MAX,
    usedBytesMax,
    dataBytesMax: usedBytesMax + RESERVED_BYTES,
  }
}
