/** What recovery would make of the WAL's frames, without making it: which offsets come next, and what does not fit. */
import { type StratalogError, isStratalogError } from '../../base/errors.ts'
import type { IdRanges } from '../../format/id-ranges.ts'
import { type ManifestState, goneLogIds } from '../../format/manifest.ts'
import { decodeProducer } from '../../format/producer.ts'
import type { Schema } from '../../format/schema.ts'
import type { WalFrame } from '../../format/wal-frame.ts'
import {
  appendPayloadSchemaId,
  decodeAppendPayload,
  decodeSchemaPayload,
} from '../../format/wal-payload.ts'
import { wholePartition } from '../../log/archive-view.ts'

interface LogContents {
  readonly schemas: Schema[]
  /** By partition: the offset that comes next. */
  readonly next: number[]
  /** The first of its schemas whose frame is damaged. */
  damagedSchema: StratalogError | null
}

/** Records of a partition that recovery would not have, because of one damaged frame. */
export interface LostInWal {
  readonly error: StratalogError
  readonly logId: number
  readonly partition: number
  readonly from: number
  to: number
}

export class WalContents {
  readonly #logs = new Map<number, LogContents>()
  readonly #gone: IdRanges
  readonly #lost = new Map<string, LostInWal>()

  constructor(state: ManifestState) {
    this.#gone = goneLogIds(state)
    for (const [id, { schemas, partitions }] of state.logs) {
      const next = partitions.map(
        (partition, number) => wholePartition(partition, number).endOffset,
      )
      this.#logs.set(id, { schemas: [...schemas], next, damagedSchema: null })
    }
  }

  /** The offset behind all that is known of a partition; null when the manifest does not name it. */
  nextOffset(logId: number, partition: number): number | null {
    return this.#logs.get(logId)?.next[partition] ?? null
  }

  get lost(): Iterable<LostInWal> {
    return this.#lost.values()
  }

  /**
   * In the place of `apply`, for a frame whose payload is damaged. False where recovery would not miss it, or would
   * only with a later one.
   */
  passOver(frame: WalFrame, error: StratalogError): boolean {
    const log = this.#logs.get(frame.logId)
    if (log === undefined) return false
    if (frame.kind === 'schema') {
      log.damagedSchema ??= error
      return false
    }
    if (frame.baseOffset + frame.recordCount <= (log.next[frame.partition] ?? 0)) return false
    this.#lose(log, frame, error)
    return true
  }

  /** Why a frame does not fit what lies before it; null when it does. */
  apply(frame: WalFrame, payload: Uint8Array): string | null {
    if (frame.kind === 'seal' || frame.kind === 'roll') return null
    const log = this.#logs.get(frame.logId)
    if (log === undefined) {
      if (this.#gone.has(frame.logId)) return null
      return `The WAL has records of log ${frame.logId}, which the manifest does not name: the end of the manifest is missing.`
    }
    try {
      if (frame.kind === 'schema') return applySchema(log, payload)
      const lost = this.#lost.get(keyOf(frame))
      if (lost === undefined && !this.#lacksSchema(log, frame, payload))
        return applyRecords(log, frame, payload)
      this.#lose(log, frame, lost?.error ?? log.damagedSchema)
      return null
    } catch (error) {
      if (isStratalogError(error)) return error.message
      throw error
    }
  }

  #lacksSchema(
    { damagedSchema, schemas, next }: LogContents,
    frame: WalFrame,
    payload: Uint8Array,
  ): boolean {
    if (damagedSchema === null) return false
    const isNew = frame.baseOffset + frame.recordCount > (next[frame.partition] ?? 0)
    return isNew && schemas[appendPayloadSchemaId(payload)] === undefined
  }

  #lose({ next }: LogContents, frame: WalFrame, error: StratalogError | null): void {
    const { logId, partition, baseOffset, recordCount } = frame
    const to = baseOffset + recordCount
    const lost = this.#lost.get(keyOf(frame))
    if (lost !== undefined) lost.to = Math.max(lost.to, to)
    else if (error !== null)
      this.#lost.set(keyOf(frame), { error, logId, partition, from: next[partition] ?? 0, to })
  }
}

function keyOf({ logId, partition }: WalFrame): string {
  return `${logId}/${partition}`
}

function applySchema(log: LogContents, payload: Uint8Array): string | null {
  const schema = decodeSchemaPayload(payload)
  if (schema.id > log.schemas.length && log.damagedSchema !== null) return null
  if (schema.id > log.schemas.length)
    return `Schema ${log.schemas.length} comes before schema ${schema.id}.`
  log.schemas[schema.id] ??= schema
  return null
}

function applyRecords(log: LogContents, frame: WalFrame, payload: Uint8Array): string | null {
  const next = log.next[frame.partition]
  const end = frame.baseOffset + frame.recordCount
  if (next === undefined) return `The log has no partition ${frame.partition}.`
  if (end <= next) return null
  if (frame.baseOffset > next)
    return `Offset ${next} comes next, and the WAL goes on at ${frame.baseOffset}.`
  const schema = log.schemas[appendPayloadSchemaId(payload)]
  if (schema === undefined) return `Schema ${appendPayloadSchemaId(payload)} is not known.`
  const rowBytes = payload.length - frame.producerBytes
  decodeAppendPayload(payload.subarray(0, rowBytes), schema)
  if (frame.producerBytes > 0) decodeProducer(payload.subarray(rowBytes))
  log.next[frame.partition] = end
  return null
}
