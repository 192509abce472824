/** What is done with some runs of a batch: finding their offsets, and copying those that stay. */
import { HotBatch } from './hot-batch.ts'
import type { BatchMemory } from './memory-account.ts'
import { BudgetExceeded } from './slab-pool.ts'

/** Whether records with these terms are meant. A batch may have a run a row, so none is made an object for it. */
export type TermsTest = (expiresAt: number, priority: number) => boolean

/** Runs of a batch by their numbers, and how many rows they have. */
export interface KeptRuns {
  readonly runs: Int32Array
  readonly rows: number
}

/** Calls back with the offsets `[start, end)` of the runs that are meant, in order; what touches is one. */
export function eachRange(
  batch: HotBatch,
  isMeant: TermsTest,
  visit: (start: number, end: number) => void,
): void {
  const { runList: runs } = batch
  if (runs === null) {
    if (isMeant(Infinity, 0)) visit(batch.baseOffset, batch.endOffset)
    return
  }
  let start = 0
  let end = 0
  for (let run = 0; run < runs.count; run++) {
    if (!isMeant(runs.expiresAt(run), runs.priority(run))) continue
    const offset = runs.offsetOf(run)
    if (offset !== end) {
      if (end > start) visit(start, end)
      start = offset
    }
    end = offset + runs.rowEndOf(run) - runs.rowStart(run)
  }
  if (end > start) visit(start, end)
}

/** What stays without those that are meant. */
export function runsBut(batch: HotBatch, isMeant: TermsTest): KeptRuns {
  const { runList } = batch
  if (runList === null)
    return { runs: new Int32Array(0), rows: isMeant(Infinity, 0) ? 0 : batch.length }
  const runs = new Int32Array(runList.count)
  let count = 0
  let rows = 0
  for (let run = 0; run < runList.count; run++) {
    if (isMeant(runList.expiresAt(run), runList.priority(run))) continue
    runs[count++] = run
    rows += runList.rowEndOf(run) - runList.rowStart(run)
  }
  return { runs: runs.subarray(0, count), rows }
}

export function expiredRows(batch: HotBatch, now: number): number {
  return batch.length - runsBut(batch, (expiresAt) => expiresAt <= now).rows
}

/**
 * A sealed batch of the runs that stay. The copy may pass the budget only when the batch goes right after; undefined
 * when a reader or another log holds it and there is no room for both.
 */
export function copyRuns(
  batch: HotBatch,
  { runs, rows }: KeptRuns,
  memory: BatchMemory,
  timeColumn: string,
): HotBatch | undefined {
  const make = (): HotBatch => {
    const previous = rows * 2 > batch.length ? batch : null
    const offset = batch.runList?.offsetOf(runs[0] ?? 0) ?? batch.baseOffset
    const copy = new HotBatch(batch.schema, offset, timeColumn, memory, previous)
    try {
      copy.copyRuns(batch, runs)
    } catch (error) {
      copy.drop()
      throw error
    }
    return copy
  }
  if (!batch.isLeased && !batch.isShared) return memory.withoutLimit(make)
  try {
    return make()
  } catch (error) {
    if (error instanceof BudgetExceeded) return undefined
    throw error
  }
}

/** Rows whose time is not over by `now`, and will be. */
export function expiringRows(batch: HotBatch, now: number): number {
  const runs = batch.runList
  if (runs === null || batch.expiresMin === Infinity) return 0
  let rows = 0
  for (let run = 0; run < runs.count; run++) {
    const expiresAt = runs.expiresAt(run)
    if (expiresAt > now && expiresAt < Infinity) rows += runs.rowEndOf(run) - runs.rowStart(run)
  }
  return rows
}
