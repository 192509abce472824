/** Cuts batches to the records that a function wants. */
import { type RecordBatch, sliceRecordBatch } from '../format/record-batch.ts'
import { type LazyRow, rowShape } from '../format/row-reader.ts'
import { valueCell } from '../format/value-cell.ts'

/** Whether a record is given out. The row reads a value when it is asked for, and is right during the call. */
export type RecordFilter = (log: string, record: LazyRow) => boolean

/** Runs of consecutive records that are wanted, in order; the batch itself when all are. */
export function* wantedRuns(
  log: string,
  batch: RecordBatch,
  filter: RecordFilter,
): Generator<RecordBatch> {
  const names = batch.schema.fields.map((field) => field.name)
  const cells = batch.columns.map(valueCell)
  const { attach, move, row: record } = rowShape(names, cells).cursor()
  attach(cells)
  let start = -1
  for (let row = 0; row <= batch.length; row++) {
    if (row < batch.length) move(row)
    if (row < batch.length && filter(log, record)) {
      if (start === -1) start = row
    } else if (start !== -1) {
      yield sliceRecordBatch(batch, batch.baseOffset + start, batch.baseOffset + row)
      start = -1
    }
  }
}
