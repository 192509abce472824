import type { Logger } from '../base/logger.ts'

/** What is open so far, to be closed in reverse. */
export type Closers = (() => Promise<void>)[]

/** Closes everything, whatever fails on the way; safe to call again. */
export async function closeAll(closers: Closers, logger: Logger): Promise<void> {
  for (const close of closers.splice(0).reverse()) {
    try {
      await close()
    } catch (error) {
      logger.warn('Closing a part of the engine failed.', { reason: String(error) })
    }
  }
}
