import type { Clock } from '../../base/clock.ts'
import type { Stream } from './stream.ts'

/** Resolves when there is a record at `offset`, when the stream ends, when a signal fires, and in time. */
export async function waitForMore(
  signals: readonly AbortSignal[],
  stream: Stream,
  offset: number,
  clock: Clock,
  timeoutMs: number,
): Promise<void> {
  const over = new AbortController()
  const end = (): void => over.abort()
  const all = [...signals, stream.ended]
  if (all.some((signal) => signal.aborted)) return
  for (const signal of all) signal.addEventListener('abort', end)
  const timer = clock.setTimer(timeoutMs, end)
  try {
    await stream.log.arrival(offset - stream.identity.base, over.signal)
  } finally {
    timer.cancel()
    for (const signal of all) signal.removeEventListener('abort', end)
  }
  // An append that ends the stream is seen with its end.
  await stream.gate.alone
}
