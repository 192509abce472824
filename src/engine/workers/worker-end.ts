/**
 * The end of a worker that was told to close. It ends by itself, so that what it holds of native libraries goes in its
 * own order; terminating it would tear that down wherever it is.
 */
import type { Clock } from '../../base/clock.ts'

/** Far more than the end of a thread takes. */
const END_TIMEOUT_MS = 5_000

/** Resolves when the worker has ended; one that hangs is terminated. */
export async function endOfWorker(
  worker: { terminate(): Promise<unknown> },
  exited: Promise<unknown>,
  clock: Clock,
): Promise<void> {
  const hangs = Promise.withResolvers<'hangs'>()
  const timer = clock.setTimer(END_TIMEOUT_MS, () => hangs.resolve('hangs'))
  const outcome = await Promise.race([exited, hangs.promise])
  timer.cancel()
  if (outcome === 'hangs') await worker.terminate()
}
