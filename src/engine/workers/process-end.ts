/**
 * When a child process has said all that it will. Its exit may be seen before what it wrote last was read, so the end
 * is that of its pipes. The wait for them is bounded, as something else could hold one open.
 */
import type { EventEmitter } from 'node:events'
import type { Clock } from '../../base/clock.ts'

const PIPES_TIMEOUT_MS = 2_000

type Ended = (status: number | null, signal: string | null) => void

/** Calls `ended` once, with a reason in place of a signal where the process could not be started. */
export function onProcessEnd(child: EventEmitter, clock: Clock, ended: Ended): void {
  let hasEnded = false
  const end: Ended = (status, signal) => {
    if (hasEnded) return
    hasEnded = true
    ended(status, signal)
  }
  child.on('exit', (status: number | null, signal: string | null) => {
    const backstop = clock.setTimer(PIPES_TIMEOUT_MS, () => end(status, signal))
    child.once('close', () => {
      backstop.cancel()
      end(status, signal)
    })
  })
  child.on('error', (error: Error) => end(null, error.message))
}
