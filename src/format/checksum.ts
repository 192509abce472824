/**
 * The checksums of the formats: CRC-32C finds damage in stored bytes, SHA-256 names contents. The
 * only file that knows which libraries compute them. Both take views over an ArrayBuffer or a
 * SharedArrayBuffer.
 */
import { createHash, hash, type Hash } from 'node:crypto'
import { createRequire } from 'node:module'
import type * as Crc32 from '@node-rs/crc32'

/** Loaded with the first checksum, as what only appends and reads in RAM has none. */
let nativeCrc32c: typeof Crc32.crc32c | null = null

function loadCrc32c(): typeof Crc32.crc32c {
  const library = createRequire(import.meta.url)('@node-rs/crc32') as typeof Crc32
  nativeCrc32c = library.crc32c
  return nativeCrc32c
}

/**
 * CRC-32C (Castagnoli) as an unsigned 32-bit number. `seed` is the checksum of the bytes before
 * these.
 */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  return (nativeCrc32c ?? loadCrc32c())(bytes, seed)
}

/** Lowercase hex of the SHA-256 of `bytes`. */
export function sha256Hex(bytes: Uint8Array): string {
  return hash('sha256', bytes)
}

/**
 * Below this, bytes are gathered before they are hashed: a call into the library costs more than a
 * copy.
 */
const STAGED_BYTES_MAX = 4096
const STAGE_BYTES = 16_384

/** SHA-256 over bytes that come in pieces of any size; small ones are gathered. */
export class Sha256 {
  readonly #hash: Hash = createHash('sha256')
  #stage: Uint8Array | null = null
  #staged = 0

  update(bytes: Uint8Array): void {
    if (bytes.length > STAGED_BYTES_MAX) {
      this.#flush()
      this.#hash.update(bytes)
      return
    }
    this.#stage ??= new Uint8Array(STAGE_BYTES)
    if (this.#staged + bytes.length > STAGE_BYTES) this.#flush()
    this.#stage.set(bytes, this.#staged)
    this.#staged += bytes.length
  }

  /** The digest of what came so far; more may come after it. */
  digest(): Uint8Array {
    this.#flush()
    return this.#hash.copy().digest()
  }

  digestHex(): string {
    return Buffer.from(this.digest()).toString('hex')
  }

  #flush(): void {
    if (this.#stage === null || this.#staged === 0) return
    this.#hash.update(this.#stage.subarray(0, this.#staged))
    this.#staged = 0
  }
}
