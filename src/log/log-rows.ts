/** How rows and schemas of a log become frames of the WAL: with their batch leased until the bytes are in the ring. */
import type { ColumnData } from '../format/column.ts'
import { encodeProducer } from '../format/producer.ts'
import type { Schema } from '../format/schema.ts'
import {
  appendPayloadBytes,
  encodeSchemaPayload,
  writeAppendPayload,
} from '../format/wal-payload.ts'
import type { HotBatch } from './hot-batch.ts'
import type { Partition } from './partition.ts'
import type { Wal } from './wal.ts'

/** Rows `[start, end)` of the columns of a batch, which are or become the records from `baseOffset` on. */
export interface LoggedRows {
  readonly logId: number
  readonly partition: number
  readonly baseOffset: number
  readonly appendTime: number
  readonly batch: HotBatch
  readonly columns: readonly ColumnData[]
  readonly start: number
  readonly end: number
  /** Of the rows: `appendPayloadBytes(columns, start, end)`. */
  readonly payloadBytes: number
  /** What the frame says of the producer of these rows; empty where there is none. */
  readonly stamp: Uint8Array
}

export const NO_STAMP: Uint8Array = new Uint8Array(0)

/** Returns the LSN that the rows end at. @throws what `Wal.append` throws; nothing is leased then. */
export function logRows(wal: Wal, rows: LoggedRows): number {
  const { logId, partition, baseOffset, appendTime, batch, columns, start, end, stamp } = rows
  const fields = { kind: 'append', logId, partition, baseOffset, appendTime } as const
  // A frame that does not fit the ring at once is filled later; until then its buffers must not be recycled.
  batch.retain()
  const release = (): void => batch.release()
  const fill = (into: Uint8Array, position: number): void => {
    writeAppendPayload(into, position, batch.schema.id, columns, start, end)
    into.set(stamp, position + rows.payloadBytes)
    batch.release()
  }
  const frame = { ...fields, recordCount: end - start, producerBytes: stamp.length }
  try {
    return wal.append(frame, rows.payloadBytes + stamp.length, fill, release)
  } catch (error) {
    batch.release()
    throw error
  }
}

/** Returns the LSN that the schema ends at: before the first frame that uses it. @throws what `Wal.append` throws. */
export function logSchema(wal: Wal, logId: number, schema: Schema, appendTime: number): number {
  const payload = encodeSchemaPayload(schema)
  return wal.append(
    { kind: 'schema', logId, partition: 0, baseOffset: 0, recordCount: 0, appendTime },
    payload.length,
    (into, position) => {
      into.set(payload, position)
    },
  )
}

/** The records of one append that are in RAM and in no WAL any more. */
export function rowsOf(
  partition: Partition,
  batch: HotBatch,
  from: number,
  to: number,
): LoggedRows {
  const { columns, length } = batch.view(from, to)
  const producer = partition.producers.producerAt(from)
  return {
    logId: partition.logId,
    partition: partition.partition,
    baseOffset: from,
    // Of an append in the batch; recovery takes it for the age of the records.
    appendTime: batch.appendTimeMin,
    batch,
    columns,
    start: 0,
    end: length,
    payloadBytes: appendPayloadBytes(columns, 0, length),
    stamp: producer === null ? NO_STAMP : encodeProducer(producer),
  }
}
