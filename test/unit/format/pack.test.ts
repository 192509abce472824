import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isStratalogError } from '../../../src/base/errors.ts'
import { sha256Hex } from '../../../src/format/checksum.ts'
import {
  PACK_HEADER_BYTES,
  type PackedBytes,
  decodePackIndex,
  encodePack,
  packIndexBytes,
} from '../../../src/format/pack.ts'
import { goldenPath } from '../../support/manifests.ts'

function packed(logId: number, baseOffset: number, bytes: Uint8Array, partition = 0): PackedBytes {
  const sha256 = sha256Hex(bytes)
  return { name: { logId, partition, baseOffset, sha256, format: 'arrow' }, bytes }
}

const SEGMENTS = [
  packed(1, 0, Buffer.from('the first segment')),
  packed(300, 2 ** 40, Buffer.alloc(200, 7), 9),
  packed(2, 5, Buffer.from('x')),
]

function codeOf(bytes: Uint8Array): string {
  try {
    decodePackIndex(bytes, 'f')
    return 'none'
  } catch (error) {
    if (!isStratalogError(error)) throw error
    return error.code
  }
}

describe('a pack', () => {
  test('says what it holds, from its index alone, and holds it there', () => {
    const { bytes, sha256, positions } = encodePack(SEGMENTS)
    expect(sha256).toBe(sha256Hex(bytes))
    const index = bytes.subarray(0, packIndexBytes(bytes.subarray(0, PACK_HEADER_BYTES), 'f'))
    const entries = decodePackIndex(index, 'f')
    expect(entries).toEqual(decodePackIndex(bytes, 'f'))
    expect(entries.map(({ position }) => position)).toEqual(positions)
    for (const [number, { position, length, ...name }] of entries.entries()) {
      expect(position % 64).toBe(0)
      expect(name).toEqual(SEGMENTS[number]?.name)
      expect(Buffer.from(bytes.subarray(position, position + length))).toEqual(
        Buffer.from(SEGMENTS[number]?.bytes ?? []),
      )
    }
  })

  test('comes back whatever is packed', () => {
    const segment = fc.record({
      logId: fc.nat(),
      baseOffset: fc.maxSafeNat(),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    })
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 20 }), (given) => {
        const segments = given.map(({ logId, baseOffset, bytes }) =>
          packed(logId, baseOffset, bytes),
        )
        const { bytes } = encodePack(segments)
        const names = decodePackIndex(bytes, 'f').map(({ position, length, ...name }) => [
          name,
          sha256Hex(bytes.subarray(position, position + length)),
        ])
        expect(names).toEqual(segments.map(({ name }) => [name, name.sha256]))
      }),
    )
  })

  test('is refused with any bit of its index flipped, and cut anywhere in it', () => {
    const { bytes } = encodePack(SEGMENTS)
    const indexBytes = packIndexBytes(bytes, 'f')
    for (let bit = 0; bit < indexBytes * 8; bit++) {
      const damaged = Buffer.from(bytes)
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const isPadding = bit >= 24 * 8 && bit < PACK_HEADER_BYTES * 8
      const expected = isPadding ? /^none$/ : /^(segment_corrupt|format_unsupported)$/
      expect(codeOf(damaged), `bit ${bit}`).toMatch(expected)
    }
    for (let length = 0; length < indexBytes; length++)
      expect(codeOf(bytes.subarray(0, length)), `${length} bytes`).toBe('segment_corrupt')
  })

  test('of version 1 is read as ever; run with UPDATE_GOLDEN=1 to write a file that is not there', () => {
    const path = goldenPath('pack-v1/three-segments.pack')
    const { bytes } = encodePack(SEGMENTS)
    if (process.env['UPDATE_GOLDEN'] === '1' && !existsSync(path)) writeFileSync(path, bytes)
    const golden = readFileSync(path)
    expect(Buffer.from(bytes).equals(golden)).toBe(true)
    expect(decodePackIndex(golden, 'f').map(({ logId }) => logId)).toEqual([1, 300, 2])
  })
})
