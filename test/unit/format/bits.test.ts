import fc from 'fast-check'
import { expect, test } from 'vitest'
import { clearBit, clearBitsFrom, copyBits, setBits } from '../../../src/format/bits.ts'
import { bitmapBytes } from '../../../src/format/column.ts'

const bitsOf = (bits: Uint8Array, count: number): boolean[] =>
  Array.from({ length: count }, (_, index) => (((bits[index >> 3] ?? 0) >> (index & 7)) & 1) === 1)

const bitmapOf = (values: readonly boolean[]): Uint8Array => {
  const bits = new Uint8Array(bitmapBytes(values.length))
  values.forEach((isSet, index) => {
    if (isSet) bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7))
  })
  return bits
}

const given = fc.tuple(fc.uint8Array({ minLength: 12, maxLength: 12 }), fc.nat(40), fc.nat(40))

test('a range of bits is set, and none around it', () => {
  fc.assert(
    fc.property(given, ([bits, start, count]) => {
      const expected = bitsOf(bits, 96).fill(true, start, start + count)
      setBits(bits, start, count)
      expect(bitsOf(bits, 96)).toEqual(expected)
    }),
  )
})

test('bits are cleared from a position on, and none before it', () => {
  fc.assert(
    fc.property(given, ([bits, start, count]) => {
      const end = count === 0 ? start : bitmapBytes(start + count) * 8
      const expected = bitsOf(bits, 96).fill(false, start, end)
      clearBitsFrom(bits, start, count)
      expect(bitsOf(bits, 96)).toEqual(expected)
    }),
  )
})

test('one bit is cleared', () => {
  fc.assert(
    fc.property(given, ([bits, index]) => {
      const expected = bitsOf(bits, 96)
      expected[index] = false
      clearBit(bits, index)
      expect(bitsOf(bits, 96)).toEqual(expected)
    }),
  )
})

test('bits are copied to any position, and those before and in later bytes stay', () => {
  fc.assert(
    fc.property(given, fc.array(fc.boolean(), { maxLength: 50 }), ([bits, start], values) => {
      const before = bitsOf(bits, 96)
      copyBits(bits, start, bitmapOf(values), values.length)
      const after = bitsOf(bits, 96)
      const end = start + values.length
      expect(after.slice(0, end)).toEqual([...before.slice(0, start), ...values])
      const next = bitmapBytes(end) * 8
      expect(after.slice(next)).toEqual(before.slice(next))
    }),
  )
})
