/** What a log has encoded of its batches, and the manifest's entry for it. */
import type { Location, SegmentEntry } from '../format/manifest.ts'
import type { ProducerState } from '../format/producer.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { TermsRun } from '../format/segment-terms.ts'
import type { EncodedSegment, SegmentFormat, SparseRange } from '../format/segment.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { TieringContext } from './context.ts'
import type { PieceSink } from './segment-encoder.ts'

export interface EncodeOptions {
  /** Of a log in RAM. */
  readonly terms?: readonly TermsRun[] | undefined
  /** The log's when absent. */
  readonly format?: SegmentFormat | undefined
  /** Where the batches have an offset column. */
  readonly sparse?: SparseRange | undefined
}

export function encodeBatches(
  { engineId, encoder }: TieringContext,
  log: LiveLog,
  partition: number,
  batches: readonly RecordBatch[],
  producers: readonly ProducerState[] | undefined,
  sink: PieceSink,
  { terms = [], format = log.policy.segmentFormat, sparse }: EncodeOptions = {},
): Promise<EncodedSegment> {
  const { timeColumn, definition } = log
  const { keyColumn } = definition
  const place = { format, engineId, logId: log.id, logName: log.name, partition }
  const roles = { timeColumn, keyColumn, producers, terms }
  const header = { ...place, ...roles, ...(sparse === undefined ? {} : { sparse }) }
  return encoder.encode(header, batches, sink)
}

/** The manifest's entry for an encoded segment with one copy. */
export function segmentEntry(
  encoded: EncodedSegment,
  tier: 'disk' | 'object',
  location: Location,
): SegmentEntry {
  const { facts } = encoded
  return {
    baseOffset: facts.baseOffset,
    endOffset: facts.endOffset,
    schemaId: facts.schema.id,
    timeMin: boundedTime(facts.timeMin),
    timeMax: boundedTime(facts.timeMax),
    appendTimeMin: facts.appendTimeMin,
    appendTimeMax: facts.appendTimeMax,
    rawBytes: facts.rawBytes,
    length: encoded.length,
    sha256: encoded.sha256,
    format: facts.format,
    statistics: facts.statistics,
    disk: tier === 'disk' ? location : null,
    object: tier === 'object' ? location : null,
    ...(facts.sparse === undefined ? {} : { sparse: facts.sparse }),
  }
}

/**
 * A column of seconds reaches farther than whole ms do: what lies beyond counts as the last of them. The infinities,
 * which say that no record has a time, stay.
 */
function boundedTime(ms: number): number {
  if (!Number.isFinite(ms)) return ms
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, ms))
}
