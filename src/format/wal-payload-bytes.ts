/** How the parts of a WAL payload are put down (`wal-payload.ts`): little-endian, zeros up to a multiple of 8. */
import { copyBytes } from './copy-bytes.ts'

/** Below this many bytes a loop is quicker than making a view and copying it. */
const LOOP_BYTES_MAX = 48

export function padded(bytes: number): number {
  return bytes + (-bytes & 7)
}

/** Zeros up to the next multiple of 8, counted from where the payload starts, which is one. */
export function writePadding(into: Uint8Array, position: number): number {
  const end = padded(position)
  for (let at = position; at < end; at++) into[at] = 0
  return end
}

/** Bytes `[start, start + length)` of `from`. */
export function writeBytes(
  into: Uint8Array,
  position: number,
  from: Uint8Array,
  start: number,
  length: number,
): void {
  if (length > LOOP_BYTES_MAX) {
    copyBytes(into, position, from.subarray(start, start + length))
    return
  }
  for (let index = 0; index < length; index++) into[position + index] = from[start + index] ?? 0
}

/** Offsets of rows `[start, end)`, from 0 on. */
export function writeOffsets(
  into: Uint8Array,
  position: number,
  offsets: Int32Array,
  start: number,
  end: number,
): number {
  const count = end - start + 1
  const base = offsets[start] ?? 0
  if (count * 4 <= LOOP_BYTES_MAX) {
    for (let row = 0; row < count; row++)
      setUint32(into, position + row * 4, (offsets[start + row] ?? 0) - base)
  } else {
    const rebased = new Int32Array(into.buffer, into.byteOffset + position, count)
    for (let row = 0; row < count; row++) rebased[row] = (offsets[start + row] ?? 0) - base
  }
  return writePadding(into, position + count * 4)
}

export function setUint32(into: Uint8Array, position: number, value: number): void {
  into[position] = value
  into[position + 1] = value >>> 8
  into[position + 2] = value >>> 16
  into[position + 3] = value >>> 24
}
