/** The writer of a segment's format: that of Parquet is loaded with the first segment that wants it. */
import type { RecordBatch } from './record-batch.ts'
import { encodeSegment } from './segment-writer.ts'
import type { EncodedSegment, SegmentHeader } from './segment.ts'

export type SegmentSteps = Generator<Uint8Array, EncodedSegment, void>

/** As `encodeSegment`, in the header's format. */
export function segmentSteps(
  header: SegmentHeader,
  batches: readonly RecordBatch[],
): SegmentSteps | Promise<SegmentSteps> {
  return header.format === 'parquet'
    ? parquetSteps(header, batches)
    : encodeSegment(header, batches)
}

async function parquetSteps(
  header: SegmentHeader,
  batches: readonly RecordBatch[],
): Promise<SegmentSteps> {
  const { encodeParquet } = await import('./parquet-writer.ts')
  return encodeParquet(header, batches)
}
