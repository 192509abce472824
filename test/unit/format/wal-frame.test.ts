import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { crc32c } from '../../../src/format/checksum.ts'
import { APPEND_BYTES_MAX } from '../../../src/format/limits.ts'
import {
  WAL_FRAME_HEADER_BYTES,
  type WalFrameFields,
  type WalFrameSeal,
  finishFrameHeader,
  isPayloadIntact,
  paddedPayloadBytes,
  peekFrame,
  readFrameHeader,
  walFrameBytes,
  writeFrameFields,
} from '../../../src/format/wal-frame.ts'

const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const safe = fc.maxSafeNat()

const anyFields: fc.Arbitrary<WalFrameFields> = fc.record({
  kind: fc.constantFrom('append', 'schema', 'seal', 'roll'),
  logId: uint32,
  partition: uint32,
  baseOffset: safe,
  recordCount: uint32,
  appendTime: fc.maxSafeInteger(),
  producerBytes: fc.constant(0),
})
const anySeal: fc.Arbitrary<WalFrameSeal> = fc.record({
  epoch: safe,
  durableLsn: fc.constant(0),
  previousLink: uint32,
  payloadChecksum: uint32,
})

const FIELDS: WalFrameFields = {
  kind: 'append',
  logId: 1,
  partition: 2,
  baseOffset: 3,
  recordCount: 4,
  appendTime: 5,
}

function encode(
  fields: WalFrameFields,
  lsn: number,
  payloadLength: number,
  seal: WalFrameSeal,
  salt: number,
): Uint8Array {
  const bytes = new Uint8Array(WAL_FRAME_HEADER_BYTES)
  const view = new DataView(bytes.buffer)
  writeFrameFields(view, 0, fields, lsn, payloadLength)
  finishFrameHeader(bytes, view, 0, seal, salt)
  return bytes
}

function decode(bytes: Uint8Array, salt: number): ReturnType<typeof readFrameHeader> {
  return readFrameHeader(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, salt)
}

function goodHeader(): Uint8Array {
  return encode(
    FIELDS,
    1000,
    24,
    { epoch: 9, durableLsn: 800, previousLink: 77, payloadChecksum: 88 },
    5,
  )
}

describe('a WAL frame header', () => {
  test('comes back as it was written, whatever its numbers', () => {
    const lengths = fc.integer({ min: 0, max: APPEND_BYTES_MAX })
    fc.assert(
      fc.property(
        anyFields,
        safe,
        lengths,
        anySeal,
        uint32,
        (fields, lsn, payloadLength, seal, salt) => {
          const bytes = encode(fields, lsn, payloadLength, seal, salt)
          const headerChecksum = new DataView(bytes.buffer).getUint32(4, true)
          expect(decode(bytes, salt)).toEqual({
            ...fields,
            ...seal,
            lsn,
            payloadLength,
            headerChecksum,
          })
          expect(peekFrame(new DataView(bytes.buffer), 0)).toEqual({ lsn, payloadLength })
        },
      ),
    )
  })

  test('says how much of the payload of an append is about its producer, and refuses what cannot be', () => {
    const seal = { epoch: 1, durableLsn: 0, previousLink: 0, payloadChecksum: 0 }
    const read = (kind: WalFrameFields['kind'], producerBytes: number): number | undefined =>
      decode(encode({ ...FIELDS, kind, producerBytes }, 0, 64, seal, 5), 5)?.producerBytes
    expect([0, 8, 32, 56].map((bytes) => read('append', bytes))).toEqual([0, 8, 32, 56])
    expect([4, 33, 64, 72].map((bytes) => read('append', bytes))).toEqual(Array(4).fill(undefined))
    expect(read('schema', 32)).toBeUndefined()
  })

  test('is refused with any bit flipped', () => {
    for (let bit = 0; bit < WAL_FRAME_HEADER_BYTES * 8; bit++) {
      const bytes = goodHeader()
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(decode(bytes, 5), `bit ${bit}`).toBeNull()
    }
  })

  test('is refused at every shorter length, and under the salt of another file', () => {
    const bytes = goodHeader()
    expect(decode(bytes, 5)).not.toBeNull()
    expect(decode(bytes, 6)).toBeNull()
    for (let length = 4; length < bytes.length; length++)
      expect(decode(bytes.slice(0, length), 5)).toBeNull()
  })

  test('is refused when it says what no writer says, though its checksum holds', () => {
    const seal: WalFrameSeal = { epoch: 1, durableLsn: 0, previousLink: 0, payloadChecksum: 0 }
    expect(decode(encode(FIELDS, 8, 0, { ...seal, durableLsn: 16 }, 5), 5)).toBeNull()
    expect(decode(encode(FIELDS, 8, APPEND_BYTES_MAX + 1, seal, 5), 5)).toBeNull()
    expect(decode(encode(FIELDS, 2 ** 60, 0, seal, 5), 5)).toBeNull()
    const unknownKind = encode(FIELDS, 8, 0, seal, 5)
    const view = new DataView(unknownKind.buffer)
    view.setUint32(8, 99, true)
    finishFrameHeader(unknownKind, view, 0, seal, 5)
    expect(decode(unknownKind, 5)).toBeNull()
  })
})

test('a frame takes its header and its payload, padded to 8 bytes', () => {
  expect([0, 1, 8, 9].map(walFrameBytes)).toEqual([80, 88, 88, 96])
  expect([0, 1, 8, 9].map(paddedPayloadBytes)).toEqual([0, 8, 8, 16])
})

test('a payload with any bit flipped, or cut, does not match its frame', () => {
  const payload = Uint8Array.from({ length: 24 }, (_, index) => index)
  const frame = decode(
    encode(
      FIELDS,
      0,
      21,
      { epoch: 1, durableLsn: 0, previousLink: 0, payloadChecksum: crc32c(payload) },
      5,
    ),
    5,
  )
  if (frame === null) throw new Error('the header is good')
  expect(isPayloadIntact(frame, payload)).toBe(true)
  expect(isPayloadIntact(frame, payload.subarray(0, 16))).toBe(false)
  for (let bit = 0; bit < payload.length * 8; bit++) {
    const flipped = payload.slice()
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(isPayloadIntact(frame, flipped), `bit ${bit}`).toBe(false)
  }
})
