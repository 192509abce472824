/** The terms of records by their offsets: taken from RAM for a segment, and given back to RAM from one. */
import type { TermsRun } from '../format/segment-terms.ts'
import type { SegmentFacts } from '../format/segment.ts'
import type { HotBatch } from './hot-batch.ts'

export interface OffsetTerms {
  readonly start: number
  readonly end: number
  /** Engine clock, ms; Infinity: never. */
  readonly expiresAt: number
  readonly priority: number
}

/** In order; where offsets are in none, records never expire and have priority 0. */
export function termsInRam({
  batches,
}: {
  readonly batches: readonly HotBatch[]
}): readonly OffsetTerms[] {
  const terms: OffsetTerms[] = []
  for (const { runList: runs } of batches) {
    for (let run = 0; run < (runs?.count ?? 0); run++) {
      if (runs === null) break
      const start = runs.offsetOf(run)
      const end = start + runs.rowEndOf(run) - runs.rowStart(run)
      terms.push({ start, end, expiresAt: runs.expiresAt(run), priority: runs.priority(run) })
    }
  }
  return terms
}

/** Of all records of a segment that says of them. */
export function termsOfSegment({ baseOffset, terms = [] }: SegmentFacts): readonly OffsetTerms[] {
  let start = baseOffset
  return terms.map(({ rows, expiresAt, priority }) => {
    const run = { start, end: start + rows, expiresAt, priority }
    start = run.end
    return run
  })
}

/** Of offsets `[start, end)`, all of them in order; neighbours that are alike are one. */
export function termsWithin(
  terms: readonly OffsetTerms[],
  start: number,
  end: number,
): readonly OffsetTerms[] {
  const within: OffsetTerms[] = []
  const add = (to: number, expiresAt: number, priority: number): void => {
    const last = within.at(-1)
    const from = last?.end ?? start
    if (to <= from) return
    if (last?.expiresAt === expiresAt && last.priority === priority)
      within[within.length - 1] = { ...last, end: to }
    else within.push({ start: from, end: to, expiresAt, priority })
  }
  for (let index = indexAt(terms, start); index < terms.length; index++) {
    const run = terms[index]
    if (run === undefined || run.start >= end) break
    add(Math.min(run.start, end), Infinity, 0)
    add(Math.min(run.end, end), run.expiresAt, run.priority)
  }
  add(end, Infinity, 0)
  return within
}

/** The same as a segment says them; none where nothing was asked for. */
export function runsWithin(
  terms: readonly OffsetTerms[],
  start: number,
  end: number,
): readonly TermsRun[] {
  const within = termsWithin(terms, start, end)
  const isAsked = within.some(({ expiresAt, priority }) => expiresAt < Infinity || priority !== 0)
  if (!isAsked) return []
  return within.map((run) => ({
    rows: run.end - run.start,
    expiresAt: run.expiresAt,
    priority: run.priority,
  }))
}

/** The first that ends behind `offset`. */
function indexAt(terms: readonly OffsetTerms[], offset: number): number {
  let low = 0
  let high = terms.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((terms[middle]?.end ?? 0) > offset) high = middle
    else low = middle + 1
  }
  return low
}
