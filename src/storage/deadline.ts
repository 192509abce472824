/** Deadlines through the clock port. */
import { StratalogError } from '../base/errors.ts'
import type { Clock } from '../base/clock.ts'

export interface DeadlineOptions {
  readonly clock: Clock
  readonly delayMs: number
  /** The caller's own wish to stop; answered with `aborted`. */
  readonly signal: AbortSignal | undefined
  /** Made when the time is up; becomes the rejection. */
  readonly onExpired: () => StratalogError
}

/**
 * Runs `section` with a signal that fires when the time is up or the caller aborts, and rejects at
 * once in either case, even when the section does not listen. What a section does after that has no
 * reader: its rejection is dropped.
 */
export async function withDeadline<T>(
  options: DeadlineOptions,
  section: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { clock, delayMs, signal, onExpired } = options
  const controller = new AbortController()
  const stopped = Promise.withResolvers<never>()
  stopped.promise.catch(() => {})
  const stop = (error: StratalogError): void => {
    stopped.reject(error)
    controller.abort(error)
  }
  const onAbort = (): void =>
    stop(new StratalogError('aborted', 'The operation was aborted.', { cause: signal?.reason }))
  if (signal?.aborted === true) onAbort()
  signal?.addEventListener('abort', onAbort, { once: true })
  const timer = clock.setTimer(delayMs, () => stop(onExpired()))
  try {
    if (controller.signal.aborted) return await stopped.promise
    const work = section(controller.signal)
    work.catch(() => {})
    return await Promise.race([work, stopped.promise])
  } finally {
    timer.cancel()
    signal?.removeEventListener('abort', onAbort)
  }
}
