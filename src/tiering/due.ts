/** A clock that is set right goes back by this much at most. */
const CLOCK_SLACK_MS = 60_000

/**
 * When what was appended at `appendTime` is due; now, where that lies in the future: it was appended before a clock
 * that went back, nobody knows how long ago.
 */
export function dueAt(appendTime: number, after: number, now: number): number {
  return appendTime > now + CLOCK_SLACK_MS ? now : appendTime + after
}
