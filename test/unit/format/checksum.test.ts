import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Sha256, crc32c, sha256Hex } from '../../../src/format/checksum.ts'

test('CRC-32C is that of RFC 3720, and goes on from a seed', () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
  expect(crc32c(Buffer.from('6789'), crc32c(Buffer.from('12345')))).toBe(0xe3069283)
})

test('SHA-256 does not depend on how the bytes are cut, and may be asked for in between', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9000), { maxLength: 12 }), (lengths) => {
      const hash = new Sha256()
      const all: Uint8Array[] = []
      for (const [index, length] of lengths.entries()) {
        const bytes = new Uint8Array(length).fill(index + 1)
        hash.update(bytes)
        all.push(bytes)
        expect(hash.digestHex()).toBe(createHash('sha256').update(Buffer.concat(all)).digest('hex'))
      }
    }),
  )
})

test('checksums take views over shared memory', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(10_000), 8)
  shared.fill(7)
  const plain = new Uint8Array(shared)
  expect(crc32c(shared)).toBe(crc32c(plain))
  expect(sha256Hex(shared)).toBe(sha256Hex(plain))
  const hash = new Sha256()
  hash.update(shared)
  expect(hash.digestHex()).toBe(sha256Hex(plain))
})
