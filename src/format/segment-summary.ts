/** What the facts of a segment say alike in every format. */
import { present } from '../base/assert.ts'
import { type ColumnRange, rangeToMs } from './column-range.ts'
import type { RecordBatch } from './record-batch.ts'
import type { ColumnType } from './schema.ts'
import type { BlockPlan } from './segment-blocks.ts'
import { SEGMENT_FORMAT_VERSION } from './segment-facts.ts'
import { type BatchFacts, type SegmentFacts, type SegmentHeader, blockEnd } from './segment.ts'
import { withoutOffsetColumn } from './sparse-rows.ts'

type TimeBounds = Pick<BatchFacts, 'timeMin' | 'timeMax' | 'appendTimeMin' | 'appendTimeMax'>

/** @param type of the time column, and its range in the block. */
export function blockTimes(
  plan: BlockPlan,
  type: ColumnType,
  range: ColumnRange | null,
): TimeBounds {
  const appendTimeMin = plan.parts.reduce(
    (min, { batch }) => Math.min(min, batch.appendTimeMin),
    Infinity,
  )
  const appendTimeMax = plan.parts.reduce(
    (max, { batch }) => Math.max(max, batch.appendTimeMax),
    -Infinity,
  )
  const times = rangeToMs(type, range) ?? { min: appendTimeMin, max: appendTimeMax }
  return { timeMin: times.min, timeMax: times.max, appendTimeMin, appendTimeMax }
}

/** Exactly the facts, whatever else the objects that are passed in carry. */
export function summaryFacts(
  header: SegmentHeader,
  { baseOffset, schema }: RecordBatch,
  batches: readonly BatchFacts[],
  own: Pick<
    SegmentFacts,
    'format' | 'rawBytes' | 'dictionaries' | 'statistics' | 'preambleChecksum' | 'preambleLength'
  >,
): SegmentFacts {
  const { engineId, logId, logName, partition, timeColumn, keyColumn } = header
  const { producers, terms = [], sparse } = header
  const { id, fields } = withoutOffsetColumn(schema)
  const end = blockEnd(present(batches.at(-1), 'a block'))
  const records = batches.reduce((sum, { length }) => sum + length, 0)
  return {
    format: own.format,
    formatVersion: SEGMENT_FORMAT_VERSION,
    engineId,
    logId,
    logName,
    partition,
    timeColumn,
    keyColumn,
    baseOffset: sparse?.baseOffset ?? baseOffset,
    endOffset: sparse?.endOffset ?? end,
    ...(sparse === undefined ? {} : { sparse: { records, latestTo: sparse.latestTo } }),
    schema: {
      id,
      fields: fields.map(({ name, type, nullable }) => ({ name, type, nullable })),
    },
    ...boundsOver(batches),
    rawBytes: own.rawBytes,
    dictionaries: own.dictionaries,
    batches,
    statistics: own.statistics.slice(0, fields.length),
    preambleChecksum: own.preambleChecksum,
    preambleLength: own.preambleLength,
    ...(producers === undefined ? {} : { producers }),
    ...(terms.length === 0 ? {} : { terms }),
  }
}

function boundsOver(blocks: readonly TimeBounds[]): TimeBounds {
  return {
    timeMin: Math.min(...blocks.map((block) => block.timeMin)),
    timeMax: Math.max(...blocks.map((block) => block.timeMax)),
    appendTimeMin: Math.min(...blocks.map((block) => block.appendTimeMin)),
    appendTimeMax: Math.max(...blocks.map((block) => block.appendTimeMax)),
  }
}
