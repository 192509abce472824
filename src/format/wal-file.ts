/**
 * The header of a WAL file. Little-endian, 64 bytes; frames follow without a gap (`wal-frame.ts`).
 *
 *      0  8B   magic 'STRATWAL'
 *      8  u32  checksum: CRC-32C of bytes [12, 64)
 *     12  u32  format version, 1
 *     16  16B  engine: the start of SHA-256 of the engine id
 *     32  u64  start LSN
 *     40  u64  capacity: the file holds frames below this position, with room for a roll frame behind the last
 *     48  u64  epoch of the writer; every frame of the file has it
 *     56  u32  previous link: header checksum of the last frame before the file, 0 when there is none
 *     60  u32  zero
 *
 * The header takes no LSN space: the byte at position p of the file has LSN `startLsn + p − 64`. So
 * an LSN does not depend on where files were cut, and file N ends exactly where file N+1 starts,
 * whatever bytes lie behind that in file N.
 *
 * A file gets its name (`walFileName`) only after its header is durable, so a file under that name with a bad header is
 * damaged, never unfinished.
 */
import { createHash } from 'node:crypto'
import { StratalogError } from '../base/errors.ts'
import { crc32c } from './checksum.ts'

export const WAL_FILE_HEADER_BYTES: number = 64
export const WAL_FORMAT_VERSION: number = 1

const MAGIC = Buffer.from('STRATWAL', 'latin1')
const ENGINE_BYTES = 16

const POSITION = {
  checksum: 8,
  version: 12,
  engine: 16,
  startLsn: 32,
  capacity: 40,
  epoch: 48,
  previousLink: 56,
  reserved: 60,
} as const

export interface WalFileHeader {
  readonly engineId: string
  readonly startLsn: number
  readonly capacity: number
  readonly epoch: number
  readonly previousLink: number
}

/**
 * What a `wal_corrupt` is, as `details.damage`: bytes that are gone, that differ from what was written, that are sound
 * and belong elsewhere, that do not follow what lies before them, or that end before the manifest says.
 */
export type WalDamageKind = 'missing' | 'truncated' | 'checksum' | 'swapped' | 'chain' | 'stale'

/** A header that was read, with the seed of the checksums of the file's frames. */
export interface WalFileFacts extends Omit<WalFileHeader, 'engineId'> {
  readonly salt: number
}

export function encodeWalFileHeader(header: WalFileHeader): Uint8Array {
  const bytes = new Uint8Array(WAL_FILE_HEADER_BYTES)
  const view = new DataView(bytes.buffer)
  bytes.set(MAGIC, 0)
  view.setUint32(POSITION.version, WAL_FORMAT_VERSION, true)
  bytes.set(engineBytes(header.engineId), POSITION.engine)
  view.setBigUint64(POSITION.startLsn, BigInt(header.startLsn), true)
  view.setBigUint64(POSITION.capacity, BigInt(header.capacity), true)
  view.setBigUint64(POSITION.epoch, BigInt(header.epoch), true)
  view.setUint32(POSITION.previousLink, header.previousLink, true)
  view.setUint32(POSITION.checksum, crc32c(bytes.subarray(POSITION.version)), true)
  return bytes
}

/** The salt of a file: the checksum in its header, which covers engine, epoch and start LSN. */
export function walFileSalt(header: Uint8Array): number {
  return new DataView(header.buffer, header.byteOffset, header.length).getUint32(
    POSITION.checksum,
    true,
  )
}

/**
 * @param expected what is known of the file; null where that is nothing.
 * @param where the file, for messages.
 * @throws StratalogError `wal_corrupt` when the bytes are no header of a file of this engine that starts at `startLsn`;
 * `format_unsupported` for a version that this program does not know.
 */
export function decodeWalFileHeader(
  bytes: Uint8Array,
  expected: { readonly engineId: string | null; readonly startLsn: number | null },
  where: string,
): WalFileFacts {
  const fail = (reason: string, damage: WalDamageKind = 'checksum'): never => {
    throw new StratalogError('wal_corrupt', `${where}: the header is damaged: ${reason}.`, {
      details: { file: where, position: 0, lsn: expected.startLsn, reason, damage },
    })
  }
  if (bytes.length < WAL_FILE_HEADER_BYTES) fail(`the file has ${bytes.length} bytes`, 'truncated')
  const view = new DataView(bytes.buffer, bytes.byteOffset, WAL_FILE_HEADER_BYTES)
  if (MAGIC.compare(bytes, 0, MAGIC.length) !== 0) fail('it does not begin as a WAL file does')
  const salt = view.getUint32(POSITION.checksum, true)
  if (crc32c(bytes.subarray(POSITION.version, WAL_FILE_HEADER_BYTES)) !== salt)
    fail('its checksum does not hold')
  const version = view.getUint32(POSITION.version, true)
  if (version !== WAL_FORMAT_VERSION) {
    throw new StratalogError(
      'format_unsupported',
      `${where} has WAL format ${version}; this program knows 1.`,
      {
        details: { file: where, given: version, known: [WAL_FORMAT_VERSION] },
      },
    )
  }
  const engine = bytes.subarray(POSITION.engine, POSITION.engine + ENGINE_BYTES)
  if (expected.engineId !== null && engineBytes(expected.engineId).compare(engine) !== 0)
    fail('it belongs to another engine', 'swapped')
  const integer = (position: number): number => {
    const value = Number(view.getBigUint64(position, true))
    return Number.isSafeInteger(value) ? value : fail('a number is out of range')
  }
  const startLsn = integer(POSITION.startLsn)
  if (expected.startLsn !== null && startLsn !== expected.startLsn)
    fail(`it starts at LSN ${startLsn}, not where its name says`, 'swapped')
  const capacity = integer(POSITION.capacity)
  if (capacity < WAL_FILE_HEADER_BYTES || view.getUint32(POSITION.reserved, true) !== 0)
    fail('a number is out of range')
  const previousLink = view.getUint32(POSITION.previousLink, true)
  return { startLsn, capacity, epoch: integer(POSITION.epoch), previousLink, salt }
}

function engineBytes(engineId: string): Buffer {
  return createHash('sha256').update(engineId, 'utf8').digest().subarray(0, ENGINE_BYTES)
}
