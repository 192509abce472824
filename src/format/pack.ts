/**
 * A pack: segments of many logs and partitions in one file or object, one after the other. A manifest says where each
 * lies, so readers of segments never look at the index: it is for whoever has nothing but the pack. Little endian.
 *
 *      0    8  'STLGPACK'
 *      8    4  u32  format version, 1
 *     12    4  u32  segments N
 *     16    4  u32  bytes of the pack
 *     20    4  u32  CRC-32C of the bytes before and of the index
 *     24    4  u32  turn: 0, or more where the same segments need another name
 *     28    4       zeros
 *     32  64N       index:  0  8  f64  log id
 *                           8  8  f64  base offset
 *                          16  4  u32  partition
 *                          20  4  u32  position of the segment in the pack, a multiple of 64
 *                          24  4  u32  length of the segment
 *                          28  4  u32  format: 0 arrow, 1 parquet
 *                          32 32       SHA-256 of the segment
 *                   the segments in the order of the index, with zeros between them
 *
 * A pack is named by the SHA-256 of all its bytes.
 */
import { StratalogError } from '../base/errors.ts'
import { partsInTurns } from '../base/in-turns.ts'
import { Sha256, crc32c } from './checksum.ts'
import { PACK_SEGMENTS_MAX } from './limits.ts'
import type { SegmentName } from './paths.ts'

export const PACK_FORMAT_VERSION: number = 1

/** The header of a pack: it says how long the index is. */
export const PACK_HEADER_BYTES = 32

const MAGIC = 'STLGPACK'
const ENTRY_BYTES = 64
const ALIGNMENT = 64

/** Where the first segment lies of a pack that holds one segment, and how much further on for each one more. */
export const PACK_FIRST_POSITION: number = aligned(PACK_HEADER_BYTES + ENTRY_BYTES)
export const PACK_INDEX_STEP: number = ENTRY_BYTES

/** A segment to pack. */
export interface PackedBytes {
  readonly name: SegmentName
  readonly bytes: Uint8Array
}

/** A segment in a pack. */
export interface PackEntry extends SegmentName {
  readonly position: number
  readonly length: number
}

export interface EncodedPack {
  readonly bytes: Uint8Array
  readonly sha256: string
  /** Of the segments, in the order in which they were given. */
  readonly positions: readonly number[]
}

/** As `packSteps`, at once. */
export function encodePack(segments: readonly PackedBytes[], turn = 0): EncodedPack {
  const steps = packSteps(segments, turn)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/**
 * Makes a pack in steps that take well below a millisecond each.
 * @param turn gives the same segments other bytes, and so another name.
 */
export function* packSteps(
  segments: readonly PackedBytes[],
  turn = 0,
): Generator<void, EncodedPack, void> {
  const positions: number[] = []
  let end = PACK_HEADER_BYTES + ENTRY_BYTES * segments.length
  for (const { bytes } of segments) {
    positions.push(aligned(end))
    end = aligned(end) + bytes.length
  }
  const pack = new Uint8Array(end)
  const view = new DataView(pack.buffer)
  pack.set(Buffer.from(MAGIC, 'latin1'))
  view.setUint32(8, PACK_FORMAT_VERSION, true)
  view.setUint32(12, segments.length, true)
  view.setUint32(16, end, true)
  view.setUint32(24, turn, true)
  for (const [index, { name, bytes }] of segments.entries()) {
    const at = PACK_HEADER_BYTES + ENTRY_BYTES * index
    const position = positions[index] ?? 0
    view.setFloat64(at, name.logId, true)
    view.setFloat64(at + 8, name.baseOffset, true)
    view.setUint32(at + 16, name.partition, true)
    view.setUint32(at + 20, position, true)
    view.setUint32(at + 24, bytes.length, true)
    view.setUint32(at + 28, name.format === 'parquet' ? 1 : 0, true)
    pack.set(Buffer.from(name.sha256, 'hex'), at + 32)
    yield* partsInTurns(bytes, (part, start) => pack.set(part, position + start))
  }
  view.setUint32(20, indexChecksum(pack, segments.length), true)
  const hash = new Sha256()
  yield* partsInTurns(pack, (part) => hash.update(part))
  return { bytes: pack, sha256: hash.digestHex(), positions }
}

/** How many bytes from the start of a pack its index takes. @throws StratalogError as `decodePackIndex`. */
export function packIndexBytes(header: Uint8Array, file: string): number {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength)
  if (
    header.length < PACK_HEADER_BYTES ||
    Buffer.from(header.subarray(0, 8)).toString('latin1') !== MAGIC
  )
    throw damaged(file, 'it is no pack')
  const version = view.getUint32(8, true)
  if (version !== PACK_FORMAT_VERSION) {
    throw new StratalogError(
      'format_unsupported',
      `${file} has pack format ${version}; this program knows ${PACK_FORMAT_VERSION}.`,
      { details: { file, given: version, known: [PACK_FORMAT_VERSION] } },
    )
  }
  const count = view.getUint32(12, true)
  if (count > PACK_SEGMENTS_MAX) throw damaged(file, 'it holds too much')
  return PACK_HEADER_BYTES + ENTRY_BYTES * count
}

/**
 * What a pack holds, from its index alone, or from more of it.
 * @param file the name, for messages.
 * @throws StratalogError `segment_corrupt`, `format_unsupported`.
 */
export function decodePackIndex(bytes: Uint8Array, file: string): readonly PackEntry[] {
  const indexBytes = packIndexBytes(bytes, file)
  const count = (indexBytes - PACK_HEADER_BYTES) / ENTRY_BYTES
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < indexBytes || indexChecksum(bytes, count) !== view.getUint32(20, true))
    throw damaged(file, 'the checksum of its index is wrong')
  const total = view.getUint32(16, true)
  const entries: PackEntry[] = []
  let end = indexBytes
  for (let index = 0; index < count; index++) {
    const at = PACK_HEADER_BYTES + ENTRY_BYTES * index
    const logId = view.getFloat64(at, true)
    const baseOffset = view.getFloat64(at + 8, true)
    const position = view.getUint32(at + 20, true)
    const length = view.getUint32(at + 24, true)
    const isWhole = Number.isSafeInteger(logId) && Number.isSafeInteger(baseOffset)
    if (!isWhole || position !== aligned(end)) throw damaged(file, 'its index is wrong')
    end = position + length
    const sha256 = Buffer.from(bytes.subarray(at + 32, at + 64)).toString('hex')
    const format = view.getUint32(at + 28, true) === 1 ? 'parquet' : 'arrow'
    const partition = view.getUint32(at + 16, true)
    entries.push({ logId, partition, baseOffset, sha256, format, position, length })
  }
  if (end !== total) throw damaged(file, 'its index is not of its length')
  return entries
}

function indexChecksum(pack: Uint8Array, count: number): number {
  const index = pack.subarray(PACK_HEADER_BYTES, PACK_HEADER_BYTES + ENTRY_BYTES * count)
  return crc32c(index, crc32c(pack.subarray(0, 20)))
}

function aligned(position: number): number {
  return Math.ceil(position / ALIGNMENT) * ALIGNMENT
}

function damaged(file: string, reason: string): StratalogError {
  return new StratalogError('segment_corrupt', `${file} is damaged: ${reason}.`, {
    details: { file, reason },
  })
}
