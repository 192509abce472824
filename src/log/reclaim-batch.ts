import { type TermsTest, copyRuns, runsBut } from './batch-runs.ts'
import type { Eviction } from './eviction.ts'
import type { GapCause, GapHistory } from './gap-history.ts'
import type { HotBatch } from './hot-batch.ts'
import type { HotBatches } from './hot-batches.ts'
import { noteGone } from './hot-sources.ts'
import type { MemoryAccount } from './memory-account.ts'

/**
 * Takes the victims out of a batch: all of it goes, or the rest is copied to a batch in its place. Null when there are
 * none, or no room for the copy.
 */
export function reclaimBatch(
  held: { readonly hot: HotBatches; readonly gaps: GapHistory; readonly memory: MemoryAccount },
  batch: HotBatch,
  isVictim: TermsTest,
  { cause, timeColumn }: { readonly cause: GapCause; readonly timeColumn: string },
): Eviction | null {
  if (batch.length === 0) return null
  const kept = runsBut(batch, isVictim)
  if (kept.rows === batch.length) return null
  // What goes at once needs no shrinking first.
  if (kept.rows > 0 || batch.isLeased) batch.seal()
  const { bytes } = batch
  const copy = kept.rows === 0 ? null : copyRuns(batch, kept, held.memory, timeColumn)
  if (copy === undefined) return null
  noteGone(held.gaps, batch, isVictim, cause)
  if (copy === null) held.hot.remove(batch)
  else held.hot.replace(batch, copy)
  batch.drop()
  const records = batch.length - kept.rows
  return { records, bytes: bytes - (copy?.bytes ?? 0), batch, isWhole: copy === null }
}
