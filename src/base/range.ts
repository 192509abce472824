/** A half-open range `[start, end)` of whole numbers: offsets, positions, rows. */
export interface Range {
  readonly start: number
  readonly end: number
}

export function rangeLength(range: Range): number {
  return range.end - range.start
}

export function intersectRanges(a: Range, b: Range): Range | null {
  const start = Math.max(a.start, b.start)
  const end = Math.min(a.end, b.end)
  return start < end ? { start, end } : null
}

/** What of `a` lies outside of `b`: at most one range before it and one behind. */
export function subtractRanges(a: Range, b: Range): readonly Range[] {
  const before = { start: a.start, end: Math.min(a.end, b.start) }
  const behind = { start: Math.max(a.start, b.end), end: a.end }
  if (b.start >= b.end) return rangeLength(a) > 0 ? [a] : []
  return [before, behind].filter(({ start, end }) => start < end)
}
