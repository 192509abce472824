/**
 * Which windows a time lies in. Windows are half-open, `[start, end)`, in whole ms since 1970, UTC; they are aligned to
 * 1970, before which times are negative. Pure.
 */

export interface WindowSpec {
  readonly kind: 'tumble' | 'hop' | 'session'
  /** How long a window is; of sessions, how long a silence ends one. */
  readonly sizeMs: number
  /** From the start of one window to that of the next; of sessions the same as `sizeMs`. */
  readonly slideMs: number
}

/** The start of the last window that holds a time; of a tumbling one, of its only window. */
export function lastStart({ slideMs }: WindowSpec, time: number): number {
  return Math.floor(time / slideMs) * slideMs
}

/** The end of the first window that holds a time: from there on, the time comes too late for it. */
export function firstEnd(spec: WindowSpec, time: number): number {
  const { kind, sizeMs, slideMs } = spec
  if (kind === 'session') return time + sizeMs
  return (Math.floor((time - sizeMs) / slideMs) + 1) * slideMs + sizeMs
}

/** The end of the last window that holds a time: from there on, nothing needs a record of it. */
export function lastEnd(spec: WindowSpec, time: number): number {
  return spec.kind === 'session' ? time + spec.sizeMs : lastStart(spec, time) + spec.sizeMs
}

/** Starts of the windows that hold a time and end at or before `end`, ascending. Not for sessions. */
export function* startsEndingBy(
  spec: WindowSpec,
  time: number,
  end: number,
): Generator<number, void, undefined> {
  const last = Math.min(lastStart(spec, time), end - spec.sizeMs)
  for (let start = firstEnd(spec, time) - spec.sizeMs; start <= last; start += spec.slideMs)
    yield start
}

/** Whether a window may end in `(from, to]`. A session may end anywhere. */
export function endsWithin(spec: WindowSpec, from: number, to: number): boolean {
  if (!(to > from)) return false
  if (spec.kind === 'session' || from === -Infinity || to === Infinity) return true
  const before = (time: number): number => Math.floor((time - spec.sizeMs) / spec.slideMs)
  return before(to) > before(from)
}

/**
 * Whether a record comes too late for one of its windows, once all that end at or before `horizon` are closed. A
 * session that a record older than the horizon belongs to may have been given already.
 */
export function isLate(spec: WindowSpec, time: number, horizon: number): boolean {
  // The first window ends after its time, so a time from the horizon on never is.
  return time < horizon && (spec.kind === 'session' || firstEnd(spec, time) <= horizon)
}
