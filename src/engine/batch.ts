import { columnReader } from '../format/column-values.ts'
import type { ColumnData } from '../format/column.ts'
import { encodeIpcStream, toArrowTable } from '../format/arrow-output.ts'
import type { Tier } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { type Field, SYSTEM_COLUMNS, type SystemColumn } from '../format/schema.ts'
import { type BatchContext, systemColumn } from './system-columns.ts'

/** A record as a plain object: the user's columns, then the system columns that were asked for. */
export type RecordRow = Record<string, unknown>

/** Shown when no columns are named: the user's, and where and when each record is. */
const DEFAULT_SYSTEM_COLUMNS: readonly SystemColumn[] = ['_offset', '_partition', '_time']

/**
 * Records with consecutive offsets of one partition, as columns. Its buffers are leased: they are right until the
 * iterator that gave it moves on; copy what is kept longer (`toRows` does).
 *
 * @example
 * for await (const batch of clicks.read({ from: 100 })) console.log(batch.baseOffset, batch.length, batch.tier)
 */
export class Batch {
  readonly partition: number
  /** Offset of the first record. */
  readonly baseOffset: number
  /** How many records. */
  readonly length: number
  /** Which copy served these records. */
  readonly tier: Tier
  readonly fields: readonly Field[]
  /** `columns[i]` belongs to `fields[i]`, in Arrow's physical layout. */
  readonly columns: readonly ColumnData[]

  constructor(batch: RecordBatch, context: BatchContext) {
    this.partition = context.partition
    this.baseOffset = batch.baseOffset
    this.length = batch.length
    this.tier = context.tier
    const names = context.columns ?? [...userColumnNames(batch), ...DEFAULT_SYSTEM_COLUMNS]
    const picked = names.map((name) => pickColumn(name, batch, context))
    this.fields = picked.map(({ field }) => field)
    this.columns = picked.map(({ column }) => column)
  }

  /** Every record as an object of its own; nothing of the batch is kept. */
  toRows(): RecordRow[] {
    const readers = this.columns.map((column) => columnReader(column))
    const names = this.fields.map((field) => field.name)
    const rows: RecordRow[] = []
    for (let row = 0; row < this.length; row++) {
      const record: RecordRow = {}
      for (let index = 0; index < readers.length; index++) {
        record[names[index] ?? ''] = readers[index]?.(row)
      }
      rows.push(record)
    }
    return rows
  }

  /** An `apache-arrow` Table of the same columns, copied. */
  toArrow(): ReturnType<typeof toArrowTable> {
    return toArrowTable(this.fields, [this])
  }

  /** The batch as an Arrow IPC stream. */
  toArrowStream(): Uint8Array {
    return Buffer.concat([...encodeIpcStream(this.fields, [this])])
  }
}

function userColumnNames(batch: RecordBatch): readonly string[] {
  return batch.schema.fields.map((field) => field.name).filter((name) => !isSystemColumn(name))
}

function pickColumn(
  name: string,
  batch: RecordBatch,
  context: BatchContext,
): { field: Field; column: ColumnData } {
  if (isSystemColumn(name)) return systemColumn(name, batch, context)
  const index = batch.schema.fields.findIndex((field) => field.name === name)
  const field = batch.schema.fields[index]
  const column = batch.columns[index]
  if (field === undefined || column === undefined) throw new RangeError(`no column ${name}`)
  return { field, column }
}

function isSystemColumn(name: string): name is SystemColumn {
  return (SYSTEM_COLUMNS as readonly string[]).includes(name)
}
