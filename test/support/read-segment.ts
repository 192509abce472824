/** A whole segment read by our reader. */
import type { Range } from '../../src/base/range.ts'
import type { RecordBatch } from '../../src/format/record-batch.ts'
import {
  decodeBlock,
  decodeDictionaries,
  parseSegmentTail,
} from '../../src/format/segment-reader.ts'
import type { SegmentFacts } from '../../src/format/segment.ts'

export interface ReadSegment {
  readonly facts: SegmentFacts
  readonly batches: readonly RecordBatch[]
}

export function readSegment(bytes: Uint8Array, columns?: readonly number[]): ReadSegment {
  const tail = parseSegmentTail(bytes, bytes.length)
  if (tail.kind === 'more') throw new Error('the whole segment is not enough')
  const { facts } = tail
  const dictionaries = decodeDictionaries(facts, bytes.subarray(0, facts.preambleLength), columns)
  const bytesOf = (range: Range): Uint8Array => bytes.subarray(range.start, range.end)
  const batches = facts.batches.map((_, index) =>
    decodeBlock(facts, index, bytesOf, dictionaries, columns),
  )
  return { facts, batches }
}
