/** SHA-256 of stored bytes, as lowercase hex. */
import { createHash } from 'node:crypto'

/** Below this, hashing in place is quicker than a round trip through the thread pool. */
const IN_PLACE_BYTES_MAX = 256 * 1024

/** Big buffers are hashed off the calling thread, so that an upload does not hold up appends. */
export async function sha256Hex(bytes: Uint8Array): Promise<string> {
  if (bytes.length <= IN_PLACE_BYTES_MAX) return createHash('sha256').update(bytes).digest('hex')
  // The platform's digest refuses shared memory; a view over it is copied first.
  const own =
    bytes.buffer instanceof ArrayBuffer
      ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
      : bytes.slice()
  return Buffer.from(await globalThis.crypto.subtle.digest('SHA-256', own)).toString('hex')
}
