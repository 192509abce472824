/** What the information tables of SQL show of logs: of a running engine and of an archive, now and as of a moment. */
import { intersectRanges } from '../base/range.ts'
import type { Archive } from '../log/archive-view.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { LogFacts, PartitionFacts } from '../query/information-tables.ts'
import type { RangesAsOf } from './as-of.ts'

export function liveLogFacts(logs: Iterable<LiveLog>): readonly LogFacts[] {
  return Array.from(logs, ({ definition, partitions }) => ({
    definition,
    partitions: partitions.map((held): PartitionFacts => {
      const { partition, startOffset, readableEnd: endOffset, segments } = held
      return { partition, startOffset, endOffset, segments, gaps: held.gaps() }
    }),
  }))
}

export function archivedLogFacts({ logs }: Archive): readonly LogFacts[] {
  return logs.map(({ definition, partitions }) => ({
    definition,
    partitions: partitions.map(({ startOffset, segments }, partition): PartitionFacts => {
      const gaps: { start: number; end: number }[] = []
      let endOffset = startOffset
      for (const segment of segments) {
        if (segment.baseOffset > endOffset) gaps.push({ start: endOffset, end: segment.baseOffset })
        endOffset = Math.max(endOffset, segment.endOffset)
      }
      return { partition, startOffset, endOffset, segments, gaps }
    }),
  }))
}

/** Cut to the offsets that there were. */
export function logFactsAsOf({ definition, partitions }: LogFacts, ranges: RangesAsOf): LogFacts {
  return {
    definition,
    partitions: partitions.map((held) => {
      const { start, end } = ranges.get(held.partition) ?? { start: 0, end: 0 }
      const segments = Array.from(held.segments).filter(
        ({ baseOffset, endOffset }) =>
          intersectRanges({ start: baseOffset, end: endOffset }, { start, end }) !== null,
      )
      return { ...held, startOffset: start, endOffset: end, segments }
    }),
  }
}
