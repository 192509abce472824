import { systemClock } from '../../src/base/clock.ts'

let isStopped = false

/** Lets every harness of this process end with the case that it is at, and report what it did. */
export function stopSoaks(): void {
  isStopped = true
}

/** From now on: whether the time is over, or somebody asked to stop. */
export function timeLimit(timeMs: number): () => boolean {
  const endAt = systemClock.monotonic() + timeMs
  return () => isStopped || systemClock.monotonic() >= endAt
}
