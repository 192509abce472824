/**
 * The end of a Parquet segment. What stands before the footer is ours, and no reader of Parquet looks at it:
 *
 * ```
 * "SLT1" | CRC-32C u32 of all that follows | where the facts begin in the footer u32 | their length u32
 * footer (Thrift, with our facts as a key-value pair) | footer length u32 | "PAR1"
 * ```
 *
 * So the facts are read without a look at the rest of the footer, which says the same to others.
 */
import { crc32c } from './checksum.ts'
import type { Fail } from './json-fields.ts'
import { SEGMENT_FOOTER_BYTES_MAX } from './limits.ts'
import { TAIL_MAGIC } from './segment-facts.ts'

export const PARQUET_MAGIC: Uint8Array = Buffer.from('PAR1')

/** Footer length and magic at the very end. */
const END_BYTES = 8
/** What stands before the footer. */
const BEFORE_FOOTER_BYTES = 16

export function encodeParquetTail(footer: Uint8Array, facts: Uint8Array): Uint8Array {
  const tail = new Uint8Array(BEFORE_FOOTER_BYTES + footer.length + END_BYTES)
  const view = new DataView(tail.buffer)
  tail.set(TAIL_MAGIC)
  view.setUint32(8, Buffer.from(footer).lastIndexOf(facts), true)
  view.setUint32(12, facts.length, true)
  tail.set(footer, BEFORE_FOOTER_BYTES)
  view.setUint32(tail.length - END_BYTES, footer.length, true)
  tail.set(PARQUET_MAGIC, tail.length - 4)
  view.setUint32(4, crc32c(tail.subarray(8)), true)
  return tail
}

export function isParquetTail(tail: Uint8Array): boolean {
  return Buffer.compare(tail.subarray(-PARQUET_MAGIC.length), PARQUET_MAGIC) === 0
}

/** How long the tail of a segment of `length` bytes is; `tail` has its last 8 at least. */
export function parquetTailLength(tail: Uint8Array, length: number, fail: Fail): number {
  const footerLength = dataView(tail).getUint32(tail.length - END_BYTES, true)
  const needed = footerLength + END_BYTES + BEFORE_FOOTER_BYTES
  if (footerLength > SEGMENT_FOOTER_BYTES_MAX || needed > length)
    fail(`its footer cannot have ${footerLength} bytes`)
  return needed
}

/** The facts in a tail that is whole. */
export function parquetFacts(tail: Uint8Array, fail: Fail): Uint8Array {
  if (Buffer.compare(tail.subarray(0, 4), TAIL_MAGIC) !== 0) fail('its footer has no checksum')
  const view = dataView(tail)
  if (crc32c(tail.subarray(8)) !== view.getUint32(4, true))
    fail("its footer does not match the footer's checksum")
  const start = BEFORE_FOOTER_BYTES + view.getUint32(8, true)
  const end = start + view.getUint32(12, true)
  if (end > tail.length - END_BYTES) fail('its facts reach beyond its footer')
  // Copied, since text is not decoded from shared memory.
  return tail.slice(start, end)
}

function dataView(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
