/**
 * Zstandard frames, the compression of Parquet pages. The only file that knows who computes them. A frame is only
 * decoded against the exact length that its holder declares, and what no frame of its size can hold is refused before
 * anything is allocated.
 */
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'

/** A block of a frame holds 128 KiB at most, and takes 4 bytes at least. */
const EXPANSION_MAX = 32_768

const CHUNK_BYTES_MIN = 64

/** Why bytes were refused: `message` says what is wrong with the frame. */
export class ZstdFrameError extends Error {
  override readonly name = 'ZstdFrameError'
}

export function compressZstd(bytes: Uint8Array): Uint8Array {
  return zstdCompressSync(bytes)
}

/** @throws ZstdFrameError when it is no frame, is damaged, or does not hold exactly `length` bytes. */
export function decompressZstd(bytes: Uint8Array, length: number): Uint8Array {
  if (length > bytes.length * EXPANSION_MAX)
    throw new ZstdFrameError(`${bytes.length} bytes cannot hold the declared ${length}`)
  // The output grows by chunks: one that holds all of it is not copied.
  const chunkSize = Math.max(CHUNK_BYTES_MIN, length)
  const decoded = decode(bytes, { chunkSize, maxOutputLength: Math.max(1, length) })
  if (decoded.length !== length)
    throw new ZstdFrameError(`it holds ${decoded.length} bytes, not ${length}`)
  return decoded
}

function decode(
  bytes: Uint8Array,
  options: { readonly chunkSize: number; readonly maxOutputLength: number },
): Uint8Array {
  try {
    return zstdDecompressSync(bytes, options)
  } catch (error) {
    throw new ZstdFrameError(error instanceof Error ? error.message : String(error))
  }
}
