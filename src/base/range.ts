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

/** The same numbers as ranges that neither overlap nor touch, ascending. */
export function mergeRanges(ranges: Iterable<Range>): readonly Range[] {
  const merged: { start: number; end: number }[] = []
  for (const { start, end } of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1)
    if (start >= end) continue
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end)
    else merged.push({ start, end })
  }
  return merged
}

/** What of `ranges` lies within `by`, and what outside of it. Both are as `mergeRanges` makes them. */
export function splitRanges(
  ranges: readonly Range[],
  by: readonly Range[],
): { readonly inside: readonly Range[]; readonly outside: readonly Range[] } {
  const inside: Range[] = []
  const outside: Range[] = []
  let first = 0
  for (const { start, end } of ranges) {
    let next = start
    while ((by[first]?.end ?? Infinity) <= start) first++
    for (let index = first; (by[index]?.start ?? Infinity) < end; index++) {
      const part = {
        start: Math.max(next, by[index]?.start ?? end),
        end: Math.min(end, by[index]?.end ?? end),
      }
      if (part.start > next) outside.push({ start: next, end: part.start })
      inside.push(part)
      next = part.end
    }
    if (next < end) outside.push({ start: next, end })
  }
  return { inside, outside }
}
