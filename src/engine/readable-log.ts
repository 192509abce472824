import type { Range } from '../base/range.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { LogView } from '../log/log-view.ts'
import { readWindow } from '../log/read-window.ts'

/** Where a stream takes its views from: a live log or an archive. */
export interface ReadableLog {
  readonly name: string
  readonly partitionCount: number
  /** Offsets of a partition that are readable now. */
  rangeOf(partition: number): Range
  /** Where the newest `count` readable records of a partition begin; Infinity: all of them. */
  newestStart(partition: number, count: number): number
  /**
   * A pinned view of `[from, to)` of one partition, or of a first part of it that pins less; the caller releases it.
   * It ends behind `from` where there are offsets behind `from`.
   */
  viewOf(partition: number, from: number, to: number): LogView
  /** Resolves when the offset is visible, or on abort. @throws StratalogError `engine_closed`, as what views throw. */
  waitFor(partition: number, offset: number, signal: AbortSignal): Promise<void>
  /** Called once when the stream has ended, with every view released. */
  close?(): Promise<void>
}

/** A log of a running engine as streams read it. @param assertOpen throws `engine_closed` once the engine is closed. */
export function readableLog(log: LiveLog, assertOpen: () => void): ReadableLog {
  return {
    name: log.name,
    partitionCount: log.partitions.length,
    rangeOf: (number) => {
      const partition = log.partition(number)
      return { start: partition.startOffset, end: partition.readableEnd }
    },
    newestStart: (partition, count) => log.partition(partition).newestStart(count),
    viewOf: (partition, from, to) => {
      assertOpen()
      return log.view(new Map([[partition, readWindow(log.partition(partition), from, to)]]))
    },
    waitFor: async (partition, offset, signal) => {
      await log.partition(partition).waitFor(offset, signal)
      // Closing ends every wait, and nothing would ever come.
      if (!signal.aborted) assertOpen()
    },
  }
}
