/** How far a job is. */

export interface JobProgress {
  readonly done: number
  readonly total: number
  readonly unit: 'bytes' | 'records'
  readonly records: number
}

/** As it is shown. */
export interface JobProgressFacts extends JobProgress {
  readonly elapsedMs: number
  /** In its unit, since the job began to run. */
  readonly perSecond: number
  /** At that rate; null while it says nothing. */
  readonly remainingMs: number | null
}

export function progressFacts(progress: JobProgress, elapsedMs: number): JobProgressFacts {
  const { done, total } = progress
  const perMs = elapsedMs > 0 ? done / elapsedMs : 0
  // Before a hundredth is done the rate is that of the beginning.
  const isTelling = perMs > 0 && done >= total / 100
  return {
    ...progress,
    elapsedMs: Math.round(elapsedMs),
    perSecond: Math.round(perMs * 1_000),
    remainingMs: isTelling ? Math.max(0, Math.round((total - done) / perMs)) : null,
  }
}
