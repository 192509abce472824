/**
 * Recovery: what the WAL holds beyond the manifest comes back into RAM.
 *
 * Frames are applied in LSN order. A record below its partition's end is in a segment already and is passed over; the
 * next one must begin exactly at that end, because the WAL has every record since the checkpoint. What a frame says of
 * its producer is noted in both cases: the manifest may have noted less. So recovery applied twice, or killed and begun
 * again, comes to the same state.
 *
 * A frame whose payload is damaged costs nothing where its records are in a segment, whose commit noted its producer
 * too. Else its partition ends before it: what is missing and what lies behind is lost (`lost-records.ts`), and the
 * whole log takes no appends. Where a schema is damaged, what needs it is.
 */
import { StratalogError } from '../base/errors.ts'
import {
  appendPayloadSchemaId,
  decodeAppendPayload,
  decodeSchemaPayload,
} from '../format/wal-payload.ts'
import type { IdRanges } from '../format/id-ranges.ts'
import { decodeProducer } from '../format/producer.ts'
import { type WalFrame, walFrameBytes } from '../format/wal-frame.ts'
import { sliceColumn } from '../format/column.ts'
import type { AckQueue } from './ack-queue.ts'
import type { LiveLog } from './live-log.ts'
import { LostRecords } from './lost-records.ts'
import type { Partition } from './partition.ts'

export interface RecoveryReport {
  frames: number
  records: number
}

/** A frame whose header is sound and whose payload is not. */
export interface DamagedFrame {
  readonly frame: WalFrame
  /** As the WAL's reading says it. */
  readonly error: StratalogError
}

export class Recovery {
  readonly #logs: ReadonlyMap<number, LiveLog>
  readonly #deletedLogIds: Pick<IdRanges, 'has'>
  readonly #acks: AckQueue<Partition> | null
  /** By log: the first that is damaged. */
  readonly #damagedSchemas = new Map<LiveLog, DamagedFrame>()
  readonly report: RecoveryReport = { frames: 0, records: 0 }

  /** Records become durable as `acks` is settled; without it they are at once. */
  constructor(
    logs: ReadonlyMap<number, LiveLog>,
    deletedLogIds: Pick<IdRanges, 'has'>,
    acks: AckQueue<Partition> | null = null,
  ) {
    this.#logs = logs
    this.#deletedLogIds = deletedLogIds
    this.#acks = acks
  }

  /** @throws StratalogError `archive_diverged` when a segment in the archive holds other records than the frame. */
  assertSameHistory(frame: WalFrame): void {
    const log = this.#logs.get(frame.logId)
    const partition = log?.partitions[frame.partition]
    if (frame.kind !== 'append' || log === undefined || partition === undefined) return
    checkSameHistory(log, partition, frame)
  }

  /** @throws StratalogError `wal_corrupt` when frames contradict what the manifest says. */
  apply(frame: WalFrame, payload: Uint8Array): void {
    this.report.frames++
    if (frame.kind === 'seal') return
    const log = this.#logOf(frame)
    if (log === null) return
    if (frame.kind === 'schema') this.#applySchema(log, frame, payload)
    else this.#applyRecords(log, frame, payload)
  }

  /**
   * In the place of `apply`, for a damaged frame. Whether that costs records; of a schema later frames say it.
   * @throws StratalogError as `apply`, and the error itself for a frame that belongs to no log.
   */
  passOver(damaged: DamagedFrame): boolean {
    const { frame, error } = damaged
    this.report.frames++
    if (frame.kind !== 'append' && frame.kind !== 'schema') throw error
    const log = this.#logOf(frame)
    if (log === null) return false
    if (frame.kind === 'schema') {
      if (!this.#damagedSchemas.has(log)) this.#damagedSchemas.set(log, damaged)
      return false
    }
    checkSameHistory(log, partitionOf(log, frame), frame)
    const partition = nextPlace(log, frame)
    if (partition === null) return false
    this.#lose(log, partition, frame, damaged)
    return true
  }

  /** Null for a log that was deleted. */
  #logOf(frame: WalFrame): LiveLog | null {
    const log = this.#logs.get(frame.logId)
    if (log !== undefined) return log
    if (this.#deletedLogIds.has(frame.logId)) return null
    // A log is committed before anything is appended to it.
    throw contradiction(frame, 'the manifest has no such log: the end of the manifest is lost')
  }

  /**
   * After the last frame: logs go on where they ended. What was acknowledged at a level that the log no longer has, or
   * is not read before it is in the archive, goes to its lower tier at once.
   */
  finish(): void {
    for (const { policy, partitions } of this.#logs.values()) {
      const lost = partitions.find((partition) => partition.lost !== null)?.lost ?? null
      for (const partition of partitions) {
        const { denseFrom = 0 } = partition
        partition.refusal = lost?.refusal() ?? null
        if (partition.lost === null && partition.nextOffset < denseFrom)
          partition.continueAt(denseFrom)
        if (policy.mode === 'memory' || policy.ack === 'object') partition.owe()
        // What is appended behind them is in no WAL: a batch is one or the other.
        else if (!policy.wal) partition.sealOpenBatch()
      }
    }
  }

  #applySchema(log: LiveLog, frame: WalFrame, payload: Uint8Array): void {
    const schema = decodeSchemaPayload(payload)
    if (schema.id > log.schemas.length && this.#damagedSchemas.has(log)) return
    if (schema.id > log.schemas.length)
      throw contradiction(
        frame,
        `schema ${log.schemas.length} comes before its schema ${schema.id}`,
      )
    log.restoreSchema(schema)
  }

  #applyRecords(log: LiveLog, frame: WalFrame, payload: Uint8Array): void {
    const partition = partitionOf(log, frame)
    if (partition.lost !== null) {
      partition.lost.growTo(frame.baseOffset + frame.recordCount)
      return
    }
    checkSameHistory(log, partition, frame)
    const rowBytes = payload.length - frame.producerBytes
    if (frame.producerBytes > 0) {
      const append = { offset: frame.baseOffset, count: frame.recordCount }
      partition.producers.restore(
        decodeProducer(payload.subarray(rowBytes)),
        append,
        frame.appendTime,
      )
    }
    if (nextPlace(log, frame) === null) return
    const schema = log.schemas[appendPayloadSchemaId(payload)]
    if (schema === undefined) {
      const damaged = this.#damagedSchemas.get(log)
      if (damaged === undefined)
        throw contradiction(frame, `its schema ${appendPayloadSchemaId(payload)} is unknown`)
      this.#lose(log, partition, frame, damaged)
      return
    }
    const end = frame.baseOffset + frame.recordCount
    const next = partition.nextOffset
    const { columns, rowCount } = decodeAppendPayload(payload.subarray(0, rowBytes), schema)
    const skip = Math.max(0, next - frame.baseOffset)
    log.restoreColumns(
      partition,
      schema,
      {
        fields: schema.fields,
        columns: columns.map((column) => sliceColumn(column, skip, rowCount)),
        length: rowCount - skip,
      },
      { appendTime: frame.appendTime, lsn: frame.lsn, isDurable: this.#acks === null },
    )
    const endLsn = frame.lsn + walFrameBytes(frame.payloadLength)
    this.#acks?.note(endLsn, partition, end)
    this.report.records += rowCount - skip
  }

  /** The partition ends here. `damaged` is this frame, or the schema that it needs. */
  #lose(log: LiveLog, partition: Partition, frame: WalFrame, damaged: DamagedFrame): void {
    const to = frame.baseOffset + frame.recordCount
    if (partition.lost !== null) {
      partition.lost.growTo(to)
      return
    }
    const { lsn } = damaged.frame
    const { appendTime } = frame
    const range = { from: partition.nextOffset, to, lsn, appendTime }
    const where = { log: log.name, partition: partition.partition, ...range }
    partition.lost = new LostRecords(where, damaged.error)
  }
}

function partitionOf(log: LiveLog, frame: WalFrame): Partition {
  const partition = log.partitions[frame.partition]
  if (partition === undefined) throw contradiction(frame, 'the log has no such partition')
  return partition
}

/**
 * The partition of a frame, brought to where the records of the frame come next; null where it has them.
 * @throws StratalogError `wal_corrupt`.
 */
function nextPlace(log: LiveLog, frame: WalFrame): Partition | null {
  const partition = partitionOf(log, frame)
  const next = partition.nextOffset
  if (frame.baseOffset + frame.recordCount <= next) return null
  log.usesWal = true
  if (partition.lost === null && frame.baseOffset > next) {
    if (frame.baseOffset > (partition.denseFrom ?? 0))
      throw contradiction(frame, `offset ${next} comes next`)
    partition.continueAt(frame.baseOffset)
  }
  return partition
}

/**
 * A segment that only the archive has was flushed here and its commit lost, or comes from another life of this
 * directory: an old copy of it, or a second machine. Then it holds other records than the WAL, which were acknowledged
 * as well. Segments end where an append ends, and say when their first and last records were appended.
 */
function checkSameHistory(log: LiveLog, partition: Partition, frame: WalFrame): void {
  const { segments } = partition
  const { baseOffset, appendTime } = frame
  const segment = segments.at(segments.indexAt(baseOffset))
  if (segment === undefined || segment.disk !== null || segment.baseOffset > baseOffset) return
  const isWithin = baseOffset + frame.recordCount <= segment.endOffset
  // Of versions that went for newer ones the segment does not say the times.
  const isAfter = segment.sparse !== undefined || segment.appendTimeMin <= appendTime
  if (isWithin && isAfter && appendTime <= segment.appendTimeMax) return
  throw new StratalogError(
    'archive_diverged',
    `The WAL and the archive hold different records of log '${log.name}', partition ${frame.partition}, from offset ${baseOffset} on. Another machine went on with the archive, or this directory is an old copy. 'stratalog reconcile' keeps what only the directory has as a fork, and takes the rest from the archive; or restore the archive into a new directory.`,
    {
      details: {
        logId: log.id,
        partition: frame.partition,
        from: baseOffset,
        remedy: 'reconcile',
      },
    },
  )
}

function contradiction(frame: WalFrame, reason: string): StratalogError {
  return new StratalogError(
    'wal_corrupt',
    `WAL frame at LSN ${frame.lsn} holds offsets from ${frame.baseOffset} of log ${frame.logId}, partition ${frame.partition}, but ${reason}.`,
    {
      details: {
        lsn: frame.lsn,
        logId: frame.logId,
        partition: frame.partition,
        from: frame.baseOffset,
      },
    },
  )
}
