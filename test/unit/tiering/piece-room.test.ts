import { expect, test } from 'vitest'
import { freeBytes } from '../../../src/base/free-bytes.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { PieceRoom } from '../../../src/tiering/piece-room.ts'

const MIB = 1024 * 1024
const clock = new VirtualClock()

/** Joins pieces that are gone as soon as they were taken. */
async function joined(
  room: PieceRoom,
  rawBytes: number,
  lengths: readonly number[],
  value: number,
): Promise<Uint8Array> {
  const pieces = room.joined(rawBytes, clock)
  for (const [index, length] of lengths.entries()) {
    const piece = new Uint8Array(length).fill(value + index)
    await pieces.add(piece)
    freeBytes(piece)
    expect(piece).toHaveLength(0)
  }
  return pieces.bytes()
}

function expected(lengths: readonly number[], value: number): Buffer {
  return Buffer.concat(lengths.map((length, index) => Buffer.alloc(length, value + index)))
}

test.each([
  ['small ones', 1000, [10, 0, 300]],
  ['one small one', 1000, [10]],
  ['big ones', 2 * MIB, [7, MIB, 300_000]],
  ['more than was thought', MIB, [MIB, MIB, 5, 2 * MIB]],
])('the pieces come out as they went in: %s', async (_, rawBytes, lengths) => {
  const bytes = await joined(new PieceRoom(), rawBytes, lengths, 1)
  expect(Buffer.compare(bytes, expected(lengths, 1))).toBe(0)
})

test('the next big segment is joined in the same memory, a small one in its own', async () => {
  const room = new PieceRoom()
  const first = await joined(room, 2 * MIB, [MIB, 5], 1)
  const small = await joined(room, 100, [100], 2)
  const second = await joined(room, MIB, [MIB], 3)
  expect(second.buffer === first.buffer).toBe(true)
  expect(small.buffer === first.buffer).toBe(false)
  expect(Buffer.compare(second, expected([MIB], 3))).toBe(0)
})

test('what is a part of a bigger buffer is not given back', () => {
  const whole = new Uint8Array(8)
  freeBytes(whole.subarray(2))
  expect(whole).toHaveLength(8)
})
