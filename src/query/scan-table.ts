/** What scans read, and what they tell of it. */
import type { Tier } from '../format/manifest.ts'
import type { SyncFileSystem } from '../storage/file-system.ts'
import type { ColumnCache } from './column-cache.ts'
import type { ScanGrouping, ScanSource, TierReads } from './protocol.ts'
import type { RemoteColumns } from './remote-columns.ts'
import type { ScanBlock } from './scan-blocks.ts'
import type { ScanBounds } from './scan-bounds.ts'
import type { TableColumn } from './table-columns.ts'

/** Where records come from that were not sent with their query. */
export interface ScanStores {
  readonly files: SyncFileSystem
  readonly remote: RemoteColumns | null
  /** Columns of segments that stay for later queries. */
  readonly kept: ColumnCache
}

/** A table while its statement is planned and runs. */
export interface ScanTable {
  /** Of all tables of the query. */
  readonly query: number
  readonly columns: readonly TableColumn[]
  /** By column: the names that DuckDB's plan shows. */
  readonly columnNames: readonly string[]
  readonly recordCount: number
  readonly sources: readonly ScanSource[]
  readonly bounds: readonly ScanBounds[] | null
  /** Of one that gives groups of records. */
  readonly grouping: ScanGrouping | null
  readonly report: ScanReport
}

/** What the scans of one query tell beside their rows: what they read of each tier, and why one failed. */
export class ScanReport {
  /** DuckDB passes on only the message of what a scan throws; this is the whole error. */
  error: unknown = null
  // Records that several scans read count once.
  readonly #recordsOfBlock = new Map<string, number>()
  readonly #reads: Record<Tier, { records: number; bytes: number }> = {
    memory: { records: 0, bytes: 0 },
    disk: { records: 0, bytes: 0 },
    object: { records: 0, bytes: 0 },
  }

  /** Says that a scan has now read `records` of a block, counted from its first. */
  add(block: ScanBlock, records: number): void {
    const known = this.#recordsOfBlock.get(block.id)
    if (known === undefined) this.#reads[block.tier].bytes += block.bytes
    if (known !== undefined && known >= records) return
    this.#reads[block.tier].records += records - (known ?? 0)
    this.#recordsOfBlock.set(block.id, records)
  }

  get reads(): Readonly<Record<Tier, TierReads>> {
    return this.#reads
  }
}
