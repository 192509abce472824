import { APPEND_BYTES_MAX, APPEND_ROWS_MAX } from '../format/limits.ts'
import { type RecordBatch, sliceRecordBatch } from '../format/record-batch.ts'
import { plainBytes } from '../log/row-appender.ts'

/**
 * A batch may be what was gathered before an append and the greatest append: more than one append takes.
 * @param bytesMax of a piece with more than one record.
 */
export function* appendable(
  batch: RecordBatch,
  bytesMax: number = APPEND_BYTES_MAX / 2,
): Generator<RecordBatch, void, undefined> {
  const isSmall =
    batch.length <= APPEND_ROWS_MAX / 2 &&
    plainBytes(batch.columns) <= Math.min(bytesMax, APPEND_BYTES_MAX / 2)
  if (isSmall || batch.length === 1) {
    yield batch
    return
  }
  const middle = batch.baseOffset + (batch.length >> 1)
  yield* appendable(sliceRecordBatch(batch, batch.baseOffset, middle), bytesMax)
  yield* appendable(sliceRecordBatch(batch, middle, batch.baseOffset + batch.length), bytesMax)
}
