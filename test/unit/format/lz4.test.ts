import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  Lz4FrameError,
  compressFrame,
  decompressFrame,
  decompressFrameBelow,
} from '../../../src/format/lz4.ts'

function bytesOf(length: number, period: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index % period) ^ (index >> 9))
}

/** Two linked blocks of 64 KiB and some bytes, as other writers make them: the second refers to the first. */
function linked(frame: Uint8Array): Uint8Array {
  const copy = new Uint8Array(frame)
  copy[4] = (copy[4] ?? 0) & ~0x20
  return copy
}

describe('LZ4 frames', () => {
  test('give back what went in, of any length and over shared memory', () => {
    fc.assert(
      fc.property(
        fc.nat(300_000),
        fc.integer({ min: 1, max: 300 }),
        fc.boolean(),
        (length, period, isShared) => {
          const bytes = bytesOf(length, period)
          const frame = compressFrame(isShared ? shared(bytes) : bytes)
          const decoded = decompressFrame(isShared ? shared(frame) : frame, length)
          expect(Buffer.compare(decoded, bytes)).toBe(0)
        },
      ),
      { numRuns: 50 },
    )
  })

  test('of several blocks and of blocks that do not compress are decoded', () => {
    for (const period of [3, 100_003]) {
      const bytes = Uint8Array.from(
        { length: 9_000_000 },
        (_, index) => Math.imul(index % period, 2_654_435_761) >>> 24,
      )
      expect(Buffer.compare(decompressFrame(compressFrame(bytes), bytes.length), bytes)).toBe(0)
    }
  })

  test('are refused for any other declared length, before anything of that size is allocated', () => {
    const frame = compressFrame(new Uint8Array(1_000_000))
    expect(frame.length).toBeLessThan(5_000)
    for (const length of [0, 1, 999_999, 1_000_001, 2 ** 31, Number.MAX_SAFE_INTEGER]) {
      expect(() => decompressFrame(frame, length), `${length}`).toThrow(Lz4FrameError)
    }
  })

  test('of full blocks only are refused for a declared length above', () => {
    const bytes = new Uint8Array(4 * 1024 * 1024)
    const frame = compressFrame(bytes)
    expect(decompressFrame(frame, bytes.length).length).toBe(bytes.length)
    expect(() => decompressFrame(frame, bytes.length + 1)).toThrow(Lz4FrameError)
  })

  test('of many blocks of a byte each cannot declare gigabytes', () => {
    const blockCount = 500
    const header = compressFrame(new Uint8Array(8_000_000)).subarray(0, 7)
    const block = Uint8Array.of(1, 0, 0, 0, 0)
    const end = new Uint8Array(8)
    const frame = Buffer.concat([header, ...Array.from({ length: blockCount }, () => block), end])
    expect(() => decompressFrame(frame, blockCount * 4 * 1024 * 1024)).toThrow('cannot hold')
  })

  test('are refused when they hold more than is allowed', () => {
    const frame = compressFrame(new Uint8Array(20_000_000))
    expect(() => decompressFrameBelow(frame, 1_000_000)).toThrow('may hold more')
    expect(decompressFrameBelow(frame, 100_000_000).length).toBe(20_000_000)
  })

  test('cut short or lengthened are refused at any length', () => {
    const bytes = bytesOf(3000, 50)
    const frame = compressFrame(bytes)
    for (let length = 0; length < frame.length; length++) {
      expect(
        () => decompressFrame(frame.slice(0, length), bytes.length),
        `cut to ${length}`,
      ).toThrow(Lz4FrameError)
    }
    expect(() => decompressFrame(Buffer.concat([frame, new Uint8Array(1)]), bytes.length)).toThrow(
      Lz4FrameError,
    )
  })

  test('with any byte changed give an error or as many bytes as declared', () => {
    const bytes = bytesOf(3000, 50)
    const frame = compressFrame(bytes)
    for (let position = 0; position < frame.length; position++) {
      for (const mask of [1, 0x80, 0xff]) {
        const damaged = new Uint8Array(frame)
        damaged[position] = (damaged[position] ?? 0) ^ mask
        try {
          expect(decompressFrame(damaged, bytes.length).length).toBe(bytes.length)
        } catch (error) {
          expect(error).toBeInstanceOf(Lz4FrameError)
        }
      }
    }
  })

  test('whose blocks are linked go through the library as a whole', () => {
    const bytes = bytesOf(3000, 50)
    // The header's own checksum covers the flag, so the library refuses; that it was asked is what is seen here.
    expect(() => decompressFrame(linked(compressFrame(bytes)), bytes.length)).toThrow(/checksum/i)
  })
})

function shared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length + 3), 3)
  copy.set(bytes)
  return copy
}
