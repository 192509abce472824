/**
 * Who makes the bytes of segments: this thread, a step at a time so that the event loop keeps turning, or a thread of
 * its own (`threaded-encoder.ts`), so that the loop turns as if nothing were encoded.
 */
import type { Clock } from '../base/clock.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { segmentSteps } from '../format/segment-steps.ts'
import type { EncodedSegment, SegmentHeader } from '../format/segment.ts'

/** Where the bytes go as they come; they hold until the promise settles. */
export type PieceSink = (piece: Uint8Array) => Promise<void>

export interface SegmentEncoder {
  /**
   * Gives the bytes of a segment of `batches` to `sink`, one piece after the other. The batches are leased until the
   * promise settles. @throws what `sink` throws.
   */
  encode(
    header: SegmentHeader,
    batches: readonly RecordBatch[],
    sink: PieceSink,
  ): Promise<EncodedSegment>
  close(): Promise<void>
}

export function inlineEncoder(clock: Clock): SegmentEncoder {
  return {
    async encode(header, batches, sink) {
      const started = segmentSteps(header, batches)
      const encoder = started instanceof Promise ? await started : started
      for (;;) {
        const step = encoder.next()
        if (step.done === true) return step.value
        await sink(step.value)
        await clock.yield()
      }
    },
    close: async () => {},
  }
}
