/**
 * One frame of the WAL: a fixed header, a payload, zeros up to a multiple of 8. Little-endian.
 *
 *      0  u32  magic 'WALF'
 *      4  u32  header checksum: CRC-32C of bytes [8, 80), seeded with the salt of the file
 *      8  u32  kind: 1 append, 2 schema, 3 seal, 4 roll
 *     12  u32  payload length in bytes, without the padding
 *     16  u32  payload checksum: CRC-32C of the payload with its padding
 *     20  u32  previous link: header checksum of the frame before this one, in whichever file it lies
 *     24  u64  LSN of the frame's first byte
 *     32  u64  durable watermark: everything below this LSN was durable when the frame was written
 *     40  u64  epoch of the writer
 *     48  u64  base offset
 *     56  i64  append time, engine clock, ms since 1970
 *     64  u32  log id
 *     68  u32  partition
 *     72  u32  record count
 *     76  u32  bytes of the producer's stamp at the end of the payload (`producer.ts`); 0: an append without one
 *     80       payload
 *
 * - The length is trusted only after the header checksum held. The salt (`wal-file.ts`) differs in
 *   every file, so a frame that an earlier file left in recycled bytes, or that hides in somebody's
 *   payload, is not a frame here.
 * - The producer fills in what it knows (`writeFrameFields`); the writer of the file adds the rest
 *   just before the write (`finishFrameHeader`), because only it knows the watermark and the frame before.
 */
import { crc32c } from './checksum.ts'
import { APPEND_BYTES_MAX } from './limits.ts'

export const WAL_FRAME_HEADER_BYTES: number = 80

/** Frames start at multiples of this, in files and in memory, so that column buffers can be viewed in place. */
export const WAL_FRAME_ALIGNMENT: number = 8

/** First four bytes of a frame, 'WALF'. */
export const WAL_FRAME_MAGIC: number = 0x464c4157

const POSITION = {
  magic: 0,
  headerChecksum: 4,
  kind: 8,
  payloadLength: 12,
  payloadChecksum: 16,
  previousLink: 20,
  lsn: 24,
  durableLsn: 32,
  epoch: 40,
  baseOffset: 48,
  appendTime: 56,
  logId: 64,
  partition: 68,
  recordCount: 72,
  producerBytes: 76,
} as const

const CHECKED_FROM = POSITION.kind

/**
 * `append` carries records, `schema` a schema before its first use, `seal` says that a writer closed with all durable.
 * `roll` stands behind the last frame of a file, takes no LSN space, and says that the file that continues it exists.
 */
export type WalFrameKind = 'append' | 'schema' | 'seal' | 'roll'

const KIND_CODES: Readonly<Record<WalFrameKind, number>> = {
  append: 1,
  schema: 2,
  seal: 3,
  roll: 4,
}
const KINDS: readonly (WalFrameKind | undefined)[] = [undefined, 'append', 'schema', 'seal', 'roll']

/**
 * What an append says of itself. For a schema, `baseOffset` and `recordCount` are 0; for a seal and
 * a roll, all numbers are.
 */
export interface WalFrameFields {
  readonly kind: WalFrameKind
  readonly logId: number
  readonly partition: number
  readonly baseOffset: number
  readonly recordCount: number
  /** Engine clock, whole ms. */
  readonly appendTime: number
  /** Of an append, the last bytes of its payload: whose it is; 0 or left out where nobody says. A multiple of 8. */
  readonly producerBytes?: number
}

export interface WalFrame extends WalFrameFields {
  readonly producerBytes: number
  readonly lsn: number
  readonly epoch: number
  readonly durableLsn: number
  readonly payloadLength: number
  readonly payloadChecksum: number
  readonly headerChecksum: number
  readonly previousLink: number
}

/** What the writer of the file adds to a frame. */
export interface WalFrameSeal {
  readonly epoch: number
  readonly durableLsn: number
  readonly previousLink: number
  readonly payloadChecksum: number
}

/** Bytes of a payload with its padding. */
export function paddedPayloadBytes(payloadLength: number): number {
  return payloadLength + (-payloadLength & (WAL_FRAME_ALIGNMENT - 1))
}

/** Bytes that a frame takes in a file and in LSN space. */
export function walFrameBytes(payloadLength: number): number {
  return WAL_FRAME_HEADER_BYTES + paddedPayloadBytes(payloadLength)
}

/** The producer's half of a header; the rest is zeros until `finishFrameHeader`. */
export function writeFrameFields(
  into: DataView,
  position: number,
  fields: WalFrameFields,
  lsn: number,
  payloadLength: number,
): void {
  into.setUint32(position + POSITION.magic, WAL_FRAME_MAGIC, true)
  into.setUint32(position + POSITION.headerChecksum, 0, true)
  into.setUint32(position + POSITION.kind, KIND_CODES[fields.kind], true)
  into.setUint32(position + POSITION.payloadLength, payloadLength, true)
  into.setUint32(position + POSITION.payloadChecksum, 0, true)
  into.setUint32(position + POSITION.previousLink, 0, true)
  setInteger(into, position + POSITION.lsn, lsn)
  setInteger(into, position + POSITION.durableLsn, 0)
  setInteger(into, position + POSITION.epoch, 0)
  setInteger(into, position + POSITION.baseOffset, fields.baseOffset)
  setInteger(into, position + POSITION.appendTime, fields.appendTime)
  into.setUint32(position + POSITION.logId, fields.logId, true)
  into.setUint32(position + POSITION.partition, fields.partition, true)
  into.setUint32(position + POSITION.recordCount, fields.recordCount, true)
  into.setUint32(position + POSITION.producerBytes, fields.producerBytes ?? 0, true)
}

/** The writer's half. `bytes` and `view` cover the same memory. Returns the header checksum: the next frame's link. */
export function finishFrameHeader(
  bytes: Uint8Array,
  view: DataView,
  position: number,
  seal: WalFrameSeal,
  salt: number,
): number {
  view.setUint32(position + POSITION.payloadChecksum, seal.payloadChecksum, true)
  view.setUint32(position + POSITION.previousLink, seal.previousLink, true)
  setInteger(view, position + POSITION.durableLsn, seal.durableLsn)
  setInteger(view, position + POSITION.epoch, seal.epoch)
  const checksum = checksumOf(bytes, position, salt)
  view.setUint32(position + POSITION.headerChecksum, checksum, true)
  return checksum
}

/** Whether a frame may begin here, and which: what can be asked of unfinished or unchecked bytes. */
export function peekFrame(
  view: DataView,
  position: number,
): { readonly lsn: number; readonly payloadLength: number } | null {
  if (view.getUint32(position + POSITION.magic, true) !== WAL_FRAME_MAGIC) return null
  const payloadLength = view.getUint32(position + POSITION.payloadLength, true)
  return { lsn: getUnsigned(view, position + POSITION.lsn), payloadLength }
}

/**
 * The header at `position`, or null unless every check holds: magic, checksum under this salt, known kind, numbers in
 * range, length within the limit. Nothing is known about the payload yet: see `isPayloadIntact`.
 */
export function readFrameHeader(
  bytes: Uint8Array,
  view: DataView,
  position: number,
  salt: number,
): WalFrame | null {
  if (position + WAL_FRAME_HEADER_BYTES > bytes.length) return null
  if (view.getUint32(position + POSITION.magic, true) !== WAL_FRAME_MAGIC) return null
  const headerChecksum = view.getUint32(position + POSITION.headerChecksum, true)
  if (checksumOf(bytes, position, salt) !== headerChecksum) return null
  const kind = KINDS[view.getUint32(position + POSITION.kind, true)]
  if (kind === undefined) return null
  const frame: WalFrame = {
    kind,
    payloadLength: view.getUint32(position + POSITION.payloadLength, true),
    payloadChecksum: view.getUint32(position + POSITION.payloadChecksum, true),
    previousLink: view.getUint32(position + POSITION.previousLink, true),
    lsn: getUnsigned(view, position + POSITION.lsn),
    durableLsn: getUnsigned(view, position + POSITION.durableLsn),
    epoch: getUnsigned(view, position + POSITION.epoch),
    baseOffset: getUnsigned(view, position + POSITION.baseOffset),
    appendTime: getSigned(view, position + POSITION.appendTime),
    logId: view.getUint32(position + POSITION.logId, true),
    partition: view.getUint32(position + POSITION.partition, true),
    recordCount: view.getUint32(position + POSITION.recordCount, true),
    producerBytes: view.getUint32(position + POSITION.producerBytes, true),
    headerChecksum,
  }
  return isInRange(frame) ? frame : null
}

/** `payload` with its padding. */
export function isPayloadIntact(frame: WalFrame, payload: Uint8Array): boolean {
  return (
    payload.length === paddedPayloadBytes(frame.payloadLength) &&
    crc32c(payload) === frame.payloadChecksum
  )
}

function isInRange(frame: WalFrame): boolean {
  const { lsn, durableLsn, epoch, baseOffset, appendTime } = frame
  return (
    [lsn, durableLsn, epoch, baseOffset, appendTime].every(Number.isSafeInteger) &&
    durableLsn <= lsn &&
    frame.payloadLength <= APPEND_BYTES_MAX &&
    hasPlaceForProducer(frame)
  )
}

function hasPlaceForProducer({ kind, producerBytes, payloadLength }: WalFrame): boolean {
  if (producerBytes === 0) return true
  return kind === 'append' && (producerBytes & 7) === 0 && producerBytes < payloadLength
}

function checksumOf(bytes: Uint8Array, position: number, salt: number): number {
  return crc32c(bytes.subarray(position + CHECKED_FROM, position + WAL_FRAME_HEADER_BYTES), salt)
}

/** A safe integer as 64 bits, two's complement. */
function setInteger(view: DataView, position: number, value: number): void {
  view.setUint32(position, value >>> 0, true)
  view.setInt32(position + 4, Math.floor(value / 2 ** 32), true)
}

function getUnsigned(view: DataView, position: number): number {
  return view.getUint32(position + 4, true) * 2 ** 32 + view.getUint32(position, true)
}

function getSigned(view: DataView, position: number): number {
  return view.getInt32(position + 4, true) * 2 ** 32 + view.getUint32(position, true)
}
