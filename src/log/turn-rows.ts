/**
 * Records that are appended one by one in a turn of the event loop, and go to the WAL as one frame. A thousand callers
 * that were told together append their next records together, and a frame takes more than a record.
 *
 * Of one partition and one batch, with one append time, in order. So what recovery makes of the frame is what it would
 * have made of one for each. It is durable as a whole, and before it nobody is told of any of its records.
 */
import { present } from '../base/assert.ts'
import { APPEND_BYTES_MAX } from '../format/limits.ts'
import { appendPayloadBytes } from '../format/wal-payload.ts'
import type { HotBatch } from './hot-batch.ts'
import { NO_STAMP, logRows } from './log-rows.ts'
import type { Partition } from './partition.ts'
import type { OpenFrame, Wal } from './wal.ts'

/** Few enough that the writer begins while the rest of a turn is appended, and far below what an append may take. */
const FRAME_ROWS_MAX = 256

/**
 * Bytes that a batch may have with a record that goes this way. In a frame the words of dictionaries may be written
 * out, so FRAME_ROWS_MAX rows of as many columns as there may be take up to a quarter of an append besides.
 */
export const TURN_BYTES_MAX: number = APPEND_BYTES_MAX / 2

interface Rows {
  readonly wal: Wal
  readonly partition: Partition
  readonly batch: HotBatch
  readonly appendTime: number
  readonly lsn: number
  readonly baseOffset: number
  count: number
}

export class TurnRows implements OpenFrame {
  /** Of the frame that is open; null when none is. */
  #rows: Rows | null = null

  /**
   * Counts in the next record of a partition, which is staged and is committed in this very stretch. Returns an LSN
   * that lies in its frame. @throws StratalogError the failure of the WAL; then nothing was counted.
   */
  add(wal: Wal, partition: Partition, batch: HotBatch, appendTime: number): number {
    const open = this.#rows
    const isNext =
      open !== null &&
      open.batch === batch &&
      open.appendTime === appendTime &&
      open.count < FRAME_ROWS_MAX
    if (isNext) {
      open.count++
      return open.lsn
    }
    const baseOffset = partition.nextOffset
    const lsn = wal.open(this)
    this.#rows = { wal, partition, batch, appendTime, lsn, baseOffset, count: 1 }
    return lsn
  }

  write(): void {
    const { wal, partition, batch, appendTime, baseOffset, count } = present(this.#rows, 'rows')
    this.#rows = null
    const { columns } = batch.view(baseOffset, baseOffset + count)
    logRows(wal, {
      logId: partition.logId,
      partition: partition.partition,
      baseOffset,
      appendTime,
      batch,
      columns,
      start: 0,
      end: count,
      payloadBytes: appendPayloadBytes(columns, 0, count),
      stamp: NO_STAMP,
    })
  }

  drop(): void {
    this.#rows = null
  }
}
