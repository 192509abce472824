import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crc32c } from '../../../src/format/checksum.ts'
import {
  WAL_FILE_HEADER_BYTES,
  type WalFileHeader,
  decodeWalFileHeader,
  encodeWalFileHeader,
  walFileSalt,
} from '../../../src/format/wal-file.ts'

const HEADER: WalFileHeader = {
  engineId: 'engine-1',
  startLsn: 4096,
  capacity: 65_536,
  epoch: 3,
  previousLink: 99,
}

describe('the header of a WAL file', () => {
  test('comes back as it was written', () => {
    const safe = fc.maxSafeNat()
    const anyHeader = fc.record({
      engineId: fc.string({ minLength: 1, maxLength: 64 }),
      startLsn: safe,
      capacity: fc.integer({ min: WAL_FILE_HEADER_BYTES, max: 2 ** 40 }),
      epoch: safe,
      previousLink: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    })
    fc.assert(
      fc.property(anyHeader, (header) => {
        const bytes = encodeWalFileHeader(header)
        const { engineId: _, ...facts } = header
        expect(bytes.length).toBe(WAL_FILE_HEADER_BYTES)
        expect(decodeWalFileHeader(bytes, header, 'a.wal')).toEqual({
          ...facts,
          salt: walFileSalt(bytes),
        })
      }),
    )
  })

  test('is refused with any bit flipped', () => {
    for (let bit = 0; bit < WAL_FILE_HEADER_BYTES * 8; bit++) {
      const bytes = encodeWalFileHeader(HEADER)
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(() => decodeWalFileHeader(bytes, HEADER, 'a.wal'), `bit ${bit}`).toThrow(
        expect.objectContaining({ code: 'wal_corrupt' }),
      )
    }
  })

  test('is refused at every shorter length', () => {
    const bytes = encodeWalFileHeader(HEADER)
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeWalFileHeader(bytes.subarray(0, length), HEADER, 'a.wal')).toThrow(
        /a\.wal: the header is damaged/,
      )
    }
  })

  test('is refused in a file of another engine and under the name of another start', () => {
    const bytes = encodeWalFileHeader(HEADER)
    expect(() => decodeWalFileHeader(bytes, { ...HEADER, engineId: 'engine-2' }, 'a.wal')).toThrow(
      /another engine/,
    )
    expect(() => decodeWalFileHeader(bytes, { ...HEADER, startLsn: 0 }, 'a.wal')).toThrow(
      /starts at LSN 4096/,
    )
  })

  test('of a version that is not known is refused as such', () => {
    const bytes = encodeWalFileHeader(HEADER)
    const view = new DataView(bytes.buffer)
    view.setUint32(12, 2, true)
    view.setUint32(8, crc32c(bytes.subarray(12)), true)
    expect(() => decodeWalFileHeader(bytes, HEADER, 'a.wal')).toThrow(
      expect.objectContaining({ code: 'format_unsupported' }),
    )
  })

  test('gives files of different engines, epochs and starts different salts', () => {
    const variants = [
      HEADER,
      { ...HEADER, engineId: 'b' },
      { ...HEADER, epoch: 4 },
      { ...HEADER, startLsn: 8 },
    ]
    expect(new Set(variants.map((header) => walFileSalt(encodeWalFileHeader(header)))).size).toBe(4)
  })
})
