/** What recovery would make of the WAL's frames, without making it: which offsets come next, and what does not fit. */
import { isStratalogError } from '../../base/errors.ts'
import type { IdRanges } from '../../format/id-ranges.ts'
import { type ManifestState, goneLogIds } from '../../format/manifest.ts'
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
}

export class WalContents {
  readonly #logs = new Map<number, LogContents>()
  readonly #gone: IdRanges

  constructor(state: ManifestState) {
    this.#gone = goneLogIds(state)
    for (const [id, { schemas, partitions }] of state.logs) {
      const next = partitions.map(
        (partition, number) => wholePartition(partition, number).endOffset,
      )
      this.#logs.set(id, { schemas: [...schemas], next })
    }
  }

  /** The offset behind all that is known of a partition; null when the manifest does not name it. */
  nextOffset(logId: number, partition: number): number | null {
    return this.#logs.get(logId)?.next[partition] ?? null
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
      return frame.kind === 'schema' ? applySchema(log, payload) : applyRecords(log, frame, payload)
    } catch (error) {
      if (isStratalogError(error)) return error.message
      throw error
    }
  }
}

function applySchema(log: LogContents, payload: Uint8Array): string | null {
  const schema = decodeSchemaPayload(payload)
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
  decodeAppendPayload(payload, schema)
  log.next[frame.partition] = end
  return null
}
