/** From staged rows to their frames in the WAL. */
import { APPEND_BYTES_MAX } from '../format/limits.ts'
import { type Producer, encodeProducer } from '../format/producer.ts'
import {
  appendPayloadBytes,
  encodeSchemaPayload,
  writeAppendPayload,
} from '../format/wal-payload.ts'
import type { Partition } from './partition.ts'
import { appendTooLarge } from './row-appender.ts'
import { type Staged, discardStaged, stagedColumns } from './staged.ts'
import type { Wal } from './wal.ts'

const NO_STAMP = new Uint8Array(0)

/**
 * Writes the staged rows to the WAL, after their schema where it is new, and returns the LSN they end at; on failure
 * nothing is staged any more.
 */
export function logFrames(
  wal: Wal,
  partition: Partition,
  staged: Staged,
  appendTime: number,
  producer: Producer | undefined,
): number {
  const { batch, schema } = staged
  const { start, end, columns } = stagedColumns(staged)
  const stamp = producer === undefined ? NO_STAMP : encodeProducer(producer)
  const rowBytes = appendPayloadBytes(columns, start, end)
  const length = rowBytes + stamp.length
  const fields = { logId: partition.logId, partition: partition.partition, appendTime }
  let isLeased = false
  try {
    if (length > APPEND_BYTES_MAX) throw appendTooLarge(length)
    if (staged.isNew) {
      const payload = encodeSchemaPayload(schema)
      wal.append(
        { ...fields, kind: 'schema', baseOffset: 0, recordCount: 0 },
        payload.length,
        (into, position) => {
          into.set(payload, position)
        },
      )
    }
    const frame = {
      ...fields,
      kind: 'append',
      baseOffset: partition.nextOffset,
      recordCount: end - start,
      producerBytes: stamp.length,
    } as const
    // A frame that does not fit the ring at once is filled later; until then its buffers must not be recycled.
    batch.retain()
    isLeased = true
    return wal.append(frame, length, (into, position) => {
      writeAppendPayload(into, position, schema.id, columns, start, end)
      into.set(stamp, position + rowBytes)
      batch.release()
    })
  } catch (error) {
    if (isLeased) batch.release()
    discardStaged(partition, staged)
    throw error
  }
}
