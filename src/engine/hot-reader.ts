/**
 * Reads single records that lie in RAM, at once: no view is pinned, because nothing else runs meanwhile.
 *
 * What all records of a batch share is kept per batch, for as long as the batch lives and its buffers stay where they
 * are: a growing batch moves them, and then it counts on in `bufferChanges`.
 */
import { present } from '../base/assert.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { type RowReader, rowShape } from '../format/row-reader.ts'
import type { Schema } from '../format/schema.ts'
import { type ValueCell, cellReader, readerCell } from '../format/value-cell.ts'
import type { HotBatch } from '../log/hot-batch.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { RecordRow } from './batch.ts'
import { BatchLayout } from './batch-layout.ts'

/** Batches whose readers are kept: a few KiB each. When there are more all are made anew. */
const READERS_MAX = 4096

let readers = new WeakMap<HotBatch, HotBatchReader>()
let readerCount = 0

/** One value of the record at an offset; undefined when the record is not in RAM. @throws `argument_invalid` */
export function readHotValue(
  log: LiveLog,
  partition: Partition,
  offset: number,
  column: string,
): unknown {
  const found = Number.isInteger(offset) ? partition.find(offset) : null
  if (found === null) return undefined
  return readerOf(log, partition, found.batch, found.row).value(offset, found.row, column)
}

/** The record at an offset; undefined when it is not in RAM. @throws `argument_invalid` */
export function readHotRow(
  log: LiveLog,
  partition: Partition,
  offset: number,
  columns: readonly string[] | null,
): RecordRow | undefined {
  const found = Number.isInteger(offset) ? partition.find(offset) : null
  if (found === null) return undefined
  return readerOf(log, partition, found.batch, found.row).record(offset, found.row, columns)
}

function readerOf(
  log: LiveLog,
  partition: Partition,
  batch: HotBatch,
  row: number,
): HotBatchReader {
  const schema = log.schema ?? batch.schema
  const known = readers.get(batch)
  if (known?.isRight(batch, schema, row) === true) return known
  if (known === undefined && ++readerCount > READERS_MAX) {
    readers = new WeakMap()
    readerCount = 1
  }
  const reader = new HotBatchReader(log, partition.partition, batch, schema)
  readers.set(batch, reader)
  return reader
}

/** The rows that a batch had when this was made. */
class HotBatchReader {
  readonly #log: LiveLog
  readonly #partition: number
  readonly #schema: Schema
  readonly #batch: RecordBatch
  readonly #bufferChanges: number
  readonly #values = new Map<string, (row: number) => unknown>()
  readonly #records = new Map<string, RowReader>()
  #wholeRecord: RowReader | null = null
  /** Of the record that is being read: a batch may have holes between its offsets. */
  #offset = 0

  constructor(log: LiveLog, partition: number, batch: HotBatch, schema: Schema) {
    this.#log = log
    this.#partition = partition
    this.#schema = schema
    this.#batch = {
      schema: batch.schema,
      baseOffset: batch.baseOffset,
      length: batch.length,
      columns: batch.rows(),
      appendTimeMin: batch.appendTimeMin,
      appendTimeMax: batch.appendTimeMax,
    }
    this.#bufferChanges = batch.bufferChanges
  }

  isRight(batch: HotBatch, schema: Schema, row: number): boolean {
    return (
      this.#bufferChanges === batch.bufferChanges &&
      row < this.#batch.length &&
      this.#schema === schema
    )
  }

  value(offset: number, row: number, column: string): unknown {
    this.#offset = offset
    const read = this.#values.get(column) ?? this.#readerOfColumn(column)
    return read(row)
  }

  record(offset: number, row: number, columns: readonly string[] | null): RecordRow {
    this.#offset = offset
    if (columns !== null) return this.#readerOfSome(columns).single(row)
    this.#wholeRecord ??= this.#readerOfRecord(null)
    return this.#wholeRecord.single(row)
  }

  #readerOfColumn(column: string): (row: number) => unknown {
    const [cell] = this.#cells(this.#layout([column]))
    const read = cellReader(present(cell, 'a column asked for has a cell'))
    this.#values.set(column, read)
    return read
  }

  #readerOfSome(columns: readonly string[]): RowReader {
    const key = JSON.stringify(columns)
    const known = this.#records.get(key)
    if (known !== undefined) return known
    const reader = this.#readerOfRecord(columns)
    this.#records.set(key, reader)
    return reader
  }

  #readerOfRecord(columns: readonly string[] | null): RowReader {
    const layout = this.#layout(columns)
    const cells = this.#cells(layout)
    return rowShape(layout.names, cells).reader(cells)
  }

  #layout(columns: readonly string[] | null): BatchLayout {
    const { name, timeColumn, definition } = this.#log
    const { keyColumn } = definition
    return new BatchLayout({ log: name, schema: this.#schema, timeColumn, keyColumn, columns })
  }

  #cells(layout: BatchLayout): readonly ValueCell[] {
    const { baseOffset, length } = this.#batch
    const place = { partition: this.#partition, tier: 'memory', baseOffset, length } as const
    return layout.cells(
      this.#batch,
      place,
      readerCell(() => this.#offset),
    )
  }
}
