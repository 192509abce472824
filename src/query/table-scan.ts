/**
 * The one table function through which DuckDB reads logs: `stratalog_scan('<query>/<table>')`. Registering a name again
 * is silently ignored and unique names leak, so there is one function, and its parameter says which pinned table.
 *
 * DuckDB calls from its own threads, one call after the other on this thread's event loop, each for at most 2,048 rows
 * of the projected columns. Nothing is copied before it is asked for.
 */
import {
  type DuckDBConnection,
  type DuckDBDataChunk,
  DuckDBTableFunction,
  type DuckDBType,
  ENUM,
  VARCHAR,
} from '@duckdb/node-api'
import duckdb from '@duckdb/node-bindings'
import { present } from '../base/assert.ts'
import type { Field } from '../format/schema.ts'
import { toDuckDBType } from './duckdb-types.ts'
import { GroupPass } from './group-pass.ts'
import { type ScanBlock, scanBlocks } from './scan-blocks.ts'
import type { ScanStores, ScanTable } from './scan-table.ts'
import { type TableColumn, sqlColumnType } from './table-columns.ts'
import type { TextArena, TextArenaPool } from './text-arena.ts'
import { TextReferences } from './text-references.ts'
import { VECTOR_ROWS, type VectorWriter } from './vector-rows.ts'
import {
  bitsWriter,
  codeWriter,
  columnWriter,
  constantInt32Writer,
  constantTextWriter,
  microsWriter,
  nullWriter,
  offsetWriter,
  textWriter,
} from './vector-writer.ts'

export const SCAN_FUNCTION = 'stratalog_scan'

/** One pass over a table: what one scan node of one execution reads. */
interface TablePass {
  /** Fills DuckDB's next chunk; an empty one says that there is no more. */
  fill(output: DuckDBDataChunk, hold: ThreadHold): void
  close(): void
}

/** The tables of the queries under way, by the parameter of the table function. */
export class ScanTables {
  readonly #tables = new Map<string, ScanTable>()
  readonly #scans = new Map<string, Set<TablePass>>()
  readonly #stores: ScanStores
  readonly #arenas: TextArenaPool
  readonly #threads: number

  constructor(stores: ScanStores, arenas: TextArenaPool, threads: number) {
    this.#stores = stores
    this.#arenas = arenas
    this.#threads = threads
  }

  set(id: string, table: ScanTable): void {
    this.#tables.set(id, table)
  }

  /** Ends every scan of a table. DuckDB must be done with the query. */
  remove(id: string): void {
    for (const scan of this.#scans.get(id) ?? []) scan.close()
    this.#scans.delete(id)
    this.#tables.delete(id)
  }

  register(connection: DuckDBConnection): void {
    const tableFunction = DuckDBTableFunction.create({
      name: SCAN_FUNCTION,
      parameterTypes: [VARCHAR],
      supportsProjectionPushdown: true,
      bindFunction: (info) => {
        const id = String(info.getParameter(0))
        const table = this.#tables.get(id)
        if (table === undefined) {
          info.setError('there is no such pinned table')
          return
        }
        for (const [index, column] of table.columns.entries()) {
          info.addResultColumn(present(table.columnNames[index], 'a name'), duckdbTypeOf(column))
        }
        info.setCardinality(table.recordCount, true)
        info.setBindData({ id })
      },
      initFunction: (info) => {
        const { id } = info.bindData as { id: string }
        const table = present(this.#tables.get(id), 'a bound table')
        const scan = this.#scan(table, info.getColumnIndexes())
        const scans = this.#scans.get(id) ?? new Set()
        this.#scans.set(id, scans.add(scan))
        info.setMaxThreads(table.grouping === null ? this.#threads : 1)
        info.setInitData(scan)
      },
      localInitFunction: (info) => info.setInitData(new ThreadHold()),
      mainFunction: (info, output) => {
        const scan = info.initData as TablePass
        scan.fill(output, info.localInitData as ThreadHold)
      },
    })
    connection.registerTableFunction(tableFunction)
    // The database has its own: this one would keep the callbacks beyond its end.
    tableFunction.destroySync()
  }

  #scan(table: ScanTable, columnIndexes: readonly number[]): TablePass {
    const { grouping } = table
    return grouping === null
      ? new Scan(table, columnIndexes, this.#stores, this.#arenas)
      : new GroupPass(table, grouping, columnIndexes, this.#stores, this.#arenas)
  }
}

/** The arenas that one DuckDB thread's chunk points into. They are free when that thread asks for its next chunk. */
class ThreadHold {
  #arenas: TextArena[] = []

  /** Takes over the arenas of the new chunk and lets go of the last one's. */
  replace(arenas: TextArena[]): void {
    for (const arena of arenas) arena.retain()
    for (const arena of this.#arenas) arena.release()
    this.#arenas = arenas
  }
}

/** The records of a table. All of DuckDB's threads share it. */
class Scan implements TablePass {
  readonly #table: ScanTable
  /** By position in the output chunk; undefined for a column that is none of the table's. */
  readonly #projected: readonly (TableColumn | undefined)[]
  readonly #fields: readonly Field[]
  readonly #references: TextReferences
  readonly #blocks: Generator<ScanBlock, void, undefined>
  readonly #holds = new Set<ThreadHold>()
  #block: ScanBlock | null = null
  #row = 0
  #writers: readonly VectorWriter[] = []

  constructor(
    table: ScanTable,
    columnIndexes: readonly number[],
    stores: ScanStores,
    arenas: TextArenaPool,
  ) {
    this.#table = table
    this.#projected = columnIndexes.map((index) => table.columns[index])
    this.#fields = distinctFields(this.#projected)
    this.#references = new TextReferences(arenas)
    const { query, sources, columns, bounds } = table
    this.#blocks = scanBlocks({ ...stores, query, sources, fields: this.#fields, columns, bounds })
  }

  fill(output: DuckDBDataChunk, hold: ThreadHold): void {
    this.#holds.add(hold)
    try {
      hold.replace(this.#write(output))
    } catch (error) {
      this.#table.report.error ??= error
      throw error
    }
  }

  #write(output: DuckDBDataChunk): TextArena[] {
    const block = this.#currentBlock()
    const count = block === null ? 0 : Math.min(VECTOR_ROWS, block.end - this.#row)
    output.rowCount = count
    const arenas: TextArena[] = []
    if (block === null) return arenas
    for (const [position, write] of this.#writers.entries()) {
      write(duckdb.data_chunk_get_vector(output.chunk, position), this.#row, count, arenas)
    }
    this.#row += count
    this.#table.report.add(block, this.#row - block.start)
    return arenas
  }

  close(): void {
    this.#blocks.return()
    this.#block = null
    for (const hold of this.#holds) hold.replace([])
    this.#references.releaseAll()
  }

  #currentBlock(): ScanBlock | null {
    for (;;) {
      const block = this.#blockOfRow()
      if (block === null) return null
      this.#row = nextLiveRow(block, this.#row)
      if (this.#row < block.end) return block
    }
  }

  /** The block of the next row, whether that is wanted or not. */
  #blockOfRow(): ScanBlock | null {
    if (this.#block !== null && this.#row < this.#block.end) return this.#block
    this.#references.releaseColumns()
    const next = this.#blocks.next()
    this.#block = next.done === true ? null : next.value
    if (this.#block === null) return null
    const block = this.#block
    this.#row = block.start
    this.#writers = this.#projected.map((column) => this.#writerOf(block, column))
    return block
  }

  #writerOf(block: ScanBlock, column: TableColumn | undefined): VectorWriter {
    // Of a column that is none of ours only DuckDB knows how wide it is: null fits every type.
    if (column === undefined) return nullWriter
    const { origin } = column
    if (origin.kind === 'partition') return constantInt32Writer(block.partition)
    if (origin.kind === 'offset') return offsetWriter(block.baseOffset, block.offsets)
    if (origin.kind === 'tier') return constantTextWriter(block.tier)
    if (origin.kind === 'latest') return liveWriter(block.live)
    if (origin.kind === 'partial') return nullWriter
    const data = origin.field === null ? null : block.columns[this.#fields.indexOf(origin.field)]
    if (data === null || data === undefined) return nullWriter
    if (origin.kind === 'time') return microsWriter(data, this.#references)
    if (origin.kind === 'code') return codeWriter(data, origin.codes)
    return origin.kind === 'key'
      ? textWriter(data, this.#references)
      : columnWriter(data, this.#references)
  }
}

function duckdbTypeOf({ origin }: TableColumn): DuckDBType {
  return origin.kind === 'code' ? ENUM(origin.codes.texts) : toDuckDBType(sqlColumnType(origin))
}

/** The first row from `row` on that is the newest of its key; the block's end where there is none. */
function nextLiveRow({ live, end }: ScanBlock, row: number): number {
  if (live === null) return row
  for (let next = row; next < end; next++) {
    const byte = live[next >> 3] ?? 0
    if (byte === 0) next |= 7
    else if (((byte >> (next & 7)) & 1) === 1) return next
  }
  return end
}

function liveWriter(live: Uint8Array | null): VectorWriter {
  const write = bitsWriter(present(live, 'the newest rows of a block'))
  return (vector, start, count, arenas) => write(vector, start, count, 0, arenas)
}

function distinctFields(columns: readonly (TableColumn | undefined)[]): readonly Field[] {
  const fields = new Set<Field>()
  for (const column of columns) {
    if (column !== undefined && 'field' in column.origin && column.origin.field !== null)
      fields.add(column.origin.field)
  }
  return [...fields]
}
