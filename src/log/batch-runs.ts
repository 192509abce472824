/** What is done with some runs of a batch: finding their offsets, and copying those that stay. */
import type { Range } from '../base/range.ts'
import { present } from '../base/assert.ts'
import { HotBatch } from './hot-batch.ts'
import type { BatchMemory } from './memory-account.ts'
import type { Run } from './run-list.ts'
import { BudgetExceeded } from './slab-pool.ts'

/** The offsets of the runs that are meant, as ranges in order. */
export function rangesOf(batch: HotBatch, isMeant: (run: Run) => boolean): readonly Range[] {
  const ranges: { start: number; end: number }[] = []
  for (const run of batch.runs) {
    if (!isMeant(run)) continue
    const last = ranges.at(-1)
    const end = run.offset + run.rowEnd - run.rowStart
    if (last?.end === run.offset) last.end = end
    else ranges.push({ start: run.offset, end })
  }
  return ranges
}

export function rowCount(runs: readonly Run[]): number {
  return runs.reduce((sum, { rowStart, rowEnd }) => sum + rowEnd - rowStart, 0)
}

export function expiredRows(batch: HotBatch, now: number): number {
  let rows = 0
  for (const { rowStart, rowEnd, expiresAt } of batch.runs)
    if (expiresAt <= now) rows += rowEnd - rowStart
  return rows
}

/**
 * A sealed batch of the runs that stay. The copy may pass the budget only when the batch goes right after; undefined
 * when a reader holds it and there is no room for both.
 */
export function copyRuns(
  batch: HotBatch,
  kept: readonly Run[],
  memory: BatchMemory,
  timeColumn: string,
): HotBatch | undefined {
  const make = (): HotBatch => {
    const previous = rowCount(kept) * 2 > batch.length ? batch : null
    const offset = present(kept[0], 'a run that stays').offset
    const copy = new HotBatch(batch.schema, offset, timeColumn, memory, previous)
    try {
      copy.copyRows(batch, kept)
    } catch (error) {
      copy.release()
      throw error
    }
    return copy
  }
  if (!batch.isLeased) return memory.withoutLimit(make)
  try {
    return make()
  } catch (error) {
    if (error instanceof BudgetExceeded) return undefined
    throw error
  }
}
