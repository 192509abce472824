/** What Parquet pages declare is held to what it can be, before anything is allocated or done for it. */
import fc from 'fast-check'
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js'
import { writeRleBitPackedHybrid } from 'hyparquet-writer/src/encoding.js'
import { describe, expect, test } from 'vitest'
import { bitWidth, decodeRuns } from '../../../src/format/parquet-runs.ts'
import { compressZstd, decompressZstd } from '../../../src/format/zstd.ts'

const fail = (reason: string): never => {
  throw new Error(`refused: ${reason}`)
}

describe('a Zstandard frame', () => {
  const frame = compressZstd(new Uint8Array(1000))

  test('gives its bytes to who declares their length', () => {
    expect(decompressZstd(frame, 1000)).toHaveLength(1000)
  })

  test.each([
    ['fewer bytes than it has', frame, 999],
    ['more bytes than it has', frame, 1001],
    ['more bytes than any frame of its size', frame, 2 ** 40],
    ['bytes of a frame that is cut', frame.subarray(0, frame.length - 1), 1000],
    ['bytes of what is no frame', new Uint8Array(100), 1000],
  ])('is refused to who declares %s', (_, bytes, length) => {
    expect(() => decompressZstd(bytes, length)).toThrow(/bytes|frame|descriptor|end/i)
  })
})

describe('runs', () => {
  test('of the library are read as they were written', () => {
    const levels = fc.array(fc.tuple(fc.nat(40), fc.nat(300)), { maxLength: 20 })
    fc.assert(
      fc.property(levels, (runs) => {
        const values = Int32Array.from(
          runs.flatMap(([count, value]) => Array.from({ length: count }, () => value)),
        )
        const writer = new ByteWriter()
        writeRleBitPackedHybrid(writer, values, bitWidth(300))
        const target = new Int32Array(values.length)
        decodeRuns(writer.getBytes(), bitWidth(300), target, 300, fail)
        expect(target).toEqual(values)
      }),
    )
  })

  test.each<[string, readonly number[]]>([
    ['longer than what is asked for', [18, 1]],
    ['of no value', [0, 1]],
    ['of two billion values', [0xfe, 0xff, 0xff, 0xff, 0x0f, 1]],
    ['of a length that never ends', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]],
    ['of more groups than are asked for', [5, 1, 1]],
    ['cut short', [16]],
    ['of a value that is too great', [16, 2]],
    ['with something behind them', [16, 1, 0]],
  ])('are refused when they are %s', (_, bytes) => {
    expect(() => decodeRuns(Uint8Array.from(bytes), 1, new Uint8Array(8), 1, fail)).toThrow(
      /^refused/,
    )
  })
})
