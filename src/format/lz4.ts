/**
 * LZ4 frames (lz4_Frame_format.md, magic 0x184D2204), the body compression of Arrow IPC. The only
 * file that knows the library. Takes views over an ArrayBuffer or a SharedArrayBuffer.
 *
 * LZ4 has no output cap of its own: 4 MB of input may ask for 1 GiB. So a frame is only decoded
 * against the exact length that its holder declares: the frame's header and block sizes are walked
 * first, a frame that cannot have that length is refused before anything is allocated, and every
 * block is decoded into a buffer of its exact size.
 *
 * ```
 * magic u32 | flags u8 | block size code u8 | [content length u64] | [dictionary id u32] | header checksum u8
 * blocks:  size u32, top bit = stored as is | bytes | [block checksum u32]
 * end u32 = 0 | [content checksum u32]
 * ```
 */
import { createRequire } from 'node:module'
import type * as Lz4 from 'lz4-napi'

/** Loaded with the first frame, as what only appends and reads in RAM has none. */
let loaded: typeof Lz4 | null = null

function library(): typeof Lz4 {
  loaded ??= createRequire(import.meta.url)('lz4-napi') as typeof Lz4
  return loaded
}

const MAGIC = 0x184d2204
const VERSION_MASK = 0xc0
const VERSION_1 = 0x40
const INDEPENDENT_BLOCKS = 0x20
const BLOCK_CHECKSUMS = 0x10
const CONTENT_LENGTH = 0x08
const CONTENT_CHECKSUM = 0x04
const DICTIONARY_ID = 0x01
const STORED_BLOCK = 0x8000_0000

/** One input byte asks for at most this many output bytes. */
const EXPANSION_MAX = 255

/**
 * Why bytes were refused: `message` says what is wrong with the frame. The caller knows which file
 * it came from.
 */
export class Lz4FrameError extends Error {
  override readonly name = 'Lz4FrameError'
}

/** One frame of independent blocks with a content checksum. */
export function compressFrame(bytes: Uint8Array): Uint8Array {
  return library().compressFrameSync(bufferOver(bytes), { contentChecksum: true })
}

interface FrameBlock {
  readonly start: number
  readonly end: number
  readonly isStored: boolean
  /** Decoded length; for stored blocks the length itself. */
  readonly length: number
}

interface Frame {
  readonly blocks: readonly FrameBlock[]
  readonly isIndependent: boolean
}

/**
 * The `length` bytes that a frame holds. Its own content checksum is not looked at when its blocks
 * are independent: the caller has verified one over the stored bytes.
 *
 * @throws Lz4FrameError when it is no frame, is damaged, or does not hold exactly `length` bytes.
 */
export function decompressFrame(bytes: Uint8Array, length: number): Uint8Array {
  const frame = parseFrame(bytes, length)
  if (frame.isIndependent) return decodeBlocks(bytes, frame.blocks, length)
  const decoded = decodeWhole(bytes)
  if (decoded.length !== length)
    throw new Lz4FrameError(`it holds ${decoded.length} bytes, not ${length}`)
  return decoded
}

/**
 * What a frame holds whose length nobody declares; refused when it may hold more than `lengthMax`.
 * @throws Lz4FrameError.
 */
export function decompressFrameBelow(bytes: Uint8Array, lengthMax: number): Uint8Array {
  const { view, blockLengthMax, position, flags } = parseHeader(bytes)
  let blockCount = 0
  walkBlocks(view, position, flags, () => blockCount++)
  if (Math.min(blockCount * blockLengthMax, bytes.length * EXPANSION_MAX) > lengthMax) {
    throw new Lz4FrameError(`it may hold more than ${lengthMax} bytes`)
  }
  return decodeWhole(bytes)
}

function decodeWhole(bytes: Uint8Array): Uint8Array {
  try {
    return library().decompressFrameSync(bufferOver(bytes))
  } catch (error) {
    throw new Lz4FrameError(messageOf(error))
  }
}

function decodeBlocks(
  bytes: Uint8Array,
  blocks: readonly FrameBlock[],
  length: number,
): Uint8Array {
  const only = blocks[0]
  if (only !== undefined && blocks.length === 1) {
    return only.isStored
      ? new Uint8Array(bytes.subarray(only.start, only.end))
      : decodeBlock(bytes, only)
  }
  const decoded = new Uint8Array(length)
  let position = 0
  for (const block of blocks) {
    decoded.set(
      block.isStored ? bytes.subarray(block.start, block.end) : decodeBlock(bytes, block),
      position,
    )
    position += block.length
  }
  return decoded
}

/** The library takes a block behind its decoded length, which it allocates and never exceeds. */
function decodeBlock(bytes: Uint8Array, block: FrameBlock): Uint8Array {
  const sized = Buffer.allocUnsafe(4 + block.end - block.start)
  sized.writeUInt32LE(block.length, 0)
  sized.set(bytes.subarray(block.start, block.end), 4)
  let decoded: Uint8Array
  try {
    decoded = library().uncompressSync(sized)
  } catch (error) {
    throw new Lz4FrameError(messageOf(error))
  }
  if (decoded.length !== block.length)
    throw new Lz4FrameError(`a block holds ${decoded.length} bytes, not ${block.length}`)
  return decoded
}

/** Every block but the last is full, so the declared length says how long each is. */
function parseFrame(bytes: Uint8Array, length: number): Frame {
  if (length > bytes.length * EXPANSION_MAX) {
    throw new Lz4FrameError(`${bytes.length} bytes cannot hold the declared ${length}`)
  }
  const { view, flags, blockLengthMax, position, contentLength } = parseHeader(bytes)
  if (contentLength !== null && contentLength !== length) {
    throw new Lz4FrameError(`its header says ${contentLength} bytes, not ${length}`)
  }
  const blocks: FrameBlock[] = []
  let left = length
  walkBlocks(view, position, flags, (start, end, isStored) => {
    const blockLength = Math.min(left, blockLengthMax)
    if (blockLength === 0 || (isStored && end - start !== blockLength)) {
      throw new Lz4FrameError(`its blocks do not make up the declared ${length} bytes`)
    }
    blocks.push({ start, end, isStored, length: blockLength })
    left -= blockLength
  })
  if (left !== 0) throw new Lz4FrameError(`its blocks do not make up the declared ${length} bytes`)
  return { blocks, isIndependent: (flags & INDEPENDENT_BLOCKS) !== 0 }
}

interface FrameHeader {
  readonly view: DataView
  readonly flags: number
  readonly blockLengthMax: number
  readonly contentLength: number | null
  /** Where the first block begins. */
  readonly position: number
}

function parseHeader(bytes: Uint8Array): FrameHeader {
  if (bytes.length < 11) throw new Lz4FrameError('it is too short for a frame')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0, true) !== MAGIC) throw new Lz4FrameError('it does not begin as a frame')
  const flags = view.getUint8(4)
  if ((flags & VERSION_MASK) !== VERSION_1) throw new Lz4FrameError('its version is unknown')
  if ((flags & DICTIONARY_ID) !== 0) throw new Lz4FrameError('it needs a dictionary')
  const sizeCode = (view.getUint8(5) >> 4) & 7
  if (sizeCode < 4) throw new Lz4FrameError('its block size is unknown')
  const hasContentLength = (flags & CONTENT_LENGTH) !== 0
  const position = hasContentLength ? 15 : 7
  if (bytes.length < position + 4) throw new Lz4FrameError('it is too short for a frame')
  const contentLength = hasContentLength ? Number(view.getBigUint64(6, true)) : null
  return { view, flags, blockLengthMax: 1 << (8 + 2 * sizeCode), contentLength, position }
}

/**
 * Visits every block's bytes; each lies inside the frame, and the frame ends where it should.
 * Returns their count.
 */
function walkBlocks(
  view: DataView,
  first: number,
  flags: number,
  visit: (start: number, end: number, isStored: boolean) => void,
): number {
  const checksumBytes = (flags & BLOCK_CHECKSUMS) === 0 ? 0 : 4
  let position = first
  for (let count = 0; ; count++) {
    if (position + 4 > view.byteLength) throw new Lz4FrameError('it ends inside a block')
    const word = view.getUint32(position, true)
    position += 4
    if (word === 0) {
      const end = position + ((flags & CONTENT_CHECKSUM) === 0 ? 0 : 4)
      if (end !== view.byteLength) throw new Lz4FrameError('it does not end with its last block')
      return count
    }
    const end = position + (word & ~STORED_BLOCK)
    if (end + checksumBytes > view.byteLength) throw new Lz4FrameError('it ends inside a block')
    visit(position, end, word >= STORED_BLOCK)
    position = end + checksumBytes
  }
}

function bufferOver(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
