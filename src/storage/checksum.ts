/** SHA-256 of stored bytes, as lowercase hex. */
import { createHash } from 'node:crypto'
import { systemClock } from '../base/clock.ts'

/** Hashing this much takes a few tenths of a millisecond. */
const STEP_BYTES = 256 * 1024

/**
 * A step at a time, so that an upload does not hold up appends. The platform's digest off this thread would copy all of
 * the bytes first, at once, which holds them up as well.
 */
export async function sha256Hex(bytes: Uint8Array): Promise<string> {
  const hash = createHash('sha256')
  for (let start = 0; start < bytes.length; start += STEP_BYTES) {
    if (start > 0) await systemClock.yield()
    hash.update(bytes.subarray(start, start + STEP_BYTES))
  }
  return hash.digest('hex')
}
