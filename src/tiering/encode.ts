/** From leased batches to the bytes of a segment, a block at a time so that the event loop keeps turning. */
import type { Clock } from '../base/clock.ts'
import type { Location, SegmentEntry } from '../format/manifest.ts'
import type { ProducerState } from '../format/producer.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { SegmentFacts } from '../format/segment.ts'
import { encodeSegment } from '../format/segment-writer.ts'
import type { LiveLog } from '../log/live-log.ts'

/** Where the bytes go as they come. */
export type PieceSink = (piece: Uint8Array) => Promise<void>

export interface EncodedSegment {
  readonly facts: SegmentFacts
  readonly length: number
  readonly sha256: string
}

export async function encodeBatches(
  engineId: string,
  log: LiveLog,
  partition: number,
  batches: readonly RecordBatch[],
  producers: readonly ProducerState[],
  clock: Clock,
  sink: PieceSink,
): Promise<EncodedSegment> {
  const encoder = encodeSegment(
    {
      engineId,
      logId: log.id,
      logName: log.name,
      partition,
      timeColumn: log.timeColumn,
      keyColumn: log.definition.keyColumn,
      producers,
    },
    batches,
  )
  for (;;) {
    const step = encoder.next()
    if (step.done === true) return step.value
    await sink(step.value)
    await clock.yield()
  }
}

/** The manifest's entry for an encoded segment with one copy. */
export function segmentEntry(
  encoded: Pick<EncodedSegment, 'facts' | 'length' | 'sha256'>,
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
    format: 'arrow',
    statistics: facts.statistics,
    disk: tier === 'disk' ? location : null,
    object: tier === 'object' ? location : null,
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
