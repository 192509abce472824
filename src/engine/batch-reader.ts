import type { Batch } from './batch.ts'

/** A batch, the end, or that the next one needs waiting. */
export type Step = Batch | 'end' | 'wait'

/** What a cursor reads by; its calls do not overlap, but for `end`. */
export interface BatchReader {
  /** The next batch where that needs no waiting; it keeps `holder` from being collected. */
  step(holder: object): Step
  /** The next batch, or null at the end. */
  advance(holder: object): Promise<Batch | null>
  /** Ends the reading by what a step threw. */
  fail(error: unknown): Promise<null>
  /** Gives back what is pinned; safe to call twice. */
  end(): Promise<void>
}
