/** DuckDB's side of a scan that gives groups of records; the same group may come again. */
import type { DuckDBDataChunk } from '@duckdb/node-api'
import duckdb from '@duckdb/node-bindings'
import { type GroupChunk, GroupScan } from './group-scan.ts'
import type { ScanGrouping } from './protocol.ts'
import type { ScanStores, ScanTable } from './scan-table.ts'
import type { TableColumn } from './table-columns.ts'
import type { TextArenaPool } from './text-arena.ts'
import { TextReferences } from './text-references.ts'
import { VECTOR_ROWS, type VectorWriter } from './vector-rows.ts'
import { columnWriter, microsWriter, nullWriter } from './vector-writer.ts'

export class GroupPass {
  readonly #table: ScanTable
  /** By position in the output chunk; undefined for a column that is none of the table's. */
  readonly #projected: readonly (TableColumn | undefined)[]
  readonly #groups: GroupScan
  readonly #references: TextReferences
  #chunk: GroupChunk | null = null
  #writers: readonly VectorWriter[] = []
  #row = 0

  constructor(
    table: ScanTable,
    { filter }: ScanGrouping,
    columnIndexes: readonly number[],
    stores: ScanStores,
    arenas: TextArenaPool,
  ) {
    this.#table = table
    this.#projected = columnIndexes.map((index) => table.columns[index])
    this.#references = new TextReferences(arenas)
    this.#groups = new GroupScan(table, this.#projected, filter, stores)
  }

  fill(output: DuckDBDataChunk): void {
    try {
      this.#write(output)
    } catch (error) {
      this.#table.report.error ??= error
      throw error
    }
  }

  close(): void {
    this.#groups.close()
  }

  #write(output: DuckDBDataChunk): void {
    if (this.#chunk === null || this.#row === this.#chunk.length) this.#take(this.#groups.next())
    const count = Math.min(VECTOR_ROWS, (this.#chunk?.length ?? 0) - this.#row)
    output.rowCount = count
    if (count === 0) return
    for (const [position, write] of this.#writers.entries())
      write(duckdb.data_chunk_get_vector(output.chunk, position), this.#row, count, [])
    this.#row += count
  }

  #take(chunk: GroupChunk | null): void {
    this.#chunk = chunk
    this.#row = 0
    this.#writers = this.#projected.map((column) => {
      const data = column === undefined ? undefined : chunk?.columns.get(column)
      if (data === undefined) return nullWriter
      const isTime = column?.origin.kind === 'partial' && column.origin.type === 'timestamp[us]'
      return isTime ? microsWriter(data, this.#references) : columnWriter(data, this.#references)
    })
  }
}
