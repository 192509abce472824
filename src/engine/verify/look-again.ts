/** What another process may be in the middle of is looked at again before it is called a problem. */
import type { Clock } from '../../base/clock.ts'

const LOOKS_MAX = 5
/** Far longer than the time between two steps of a writer on a disk. */
const PAUSE_MS = 100

/** Calls `look` until it sees nothing suspicious any more, at most LOOKS_MAX times with pauses between. */
export async function lookAgain(
  clock: Clock,
  signal: AbortSignal | undefined,
  look: () => Promise<boolean>,
): Promise<void> {
  for (let looks = 1; await look(); looks++) {
    if (looks === LOOKS_MAX) return
    await clock.sleep(PAUSE_MS, signal)
  }
}
