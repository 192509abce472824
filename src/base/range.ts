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
