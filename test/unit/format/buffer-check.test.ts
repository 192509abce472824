import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { areCodes, areOffsets, areTexts } from '../../../src/format/buffer-check.ts'

const INT32 = fc.oneof(
  fc.integer({ min: -3, max: 40 }),
  fc.constantFrom(-(2 ** 31), 2 ** 31 - 1, -1, 16, 17),
)

test('offsets pass only when they ascend, step by step, to the end of what they divide', () => {
  const end = fc.nat(50)
  fc.assert(
    fc.property(fc.array(INT32, { minLength: 1, maxLength: 6 }), end, (numbers, last) => {
      for (const given of [numbers, numbers.toSorted((a, b) => a - b)]) {
        const steps = given.slice(1).map((offset, row) => offset - (given[row] ?? 0))
        const isRight = (given[0] ?? 0) >= 0 && steps.every((step) => step >= 0 && step < 16)
        const isWithin = (given.at(-1) ?? 0) <= last
        expect(areOffsets(Int32Array.from(given), given.length - 1, last, 16)).toBe(
          isRight && isWithin,
        )
      }
    }),
  )
  expect(areOffsets(Int32Array.of(0, 1), 2, 1, 16)).toBe(false)
  // Differences of int32 that come round to a positive number are no steps.
  expect(areOffsets(Int32Array.of(0, 2 ** 31 - 1, -(2 ** 31), 5), 3, 9, Infinity)).toBe(false)
})

test('codes pass only when there are as many as rows, and each has a word', () => {
  fc.assert(
    fc.property(fc.array(INT32, { maxLength: 6 }), fc.nat(20), (codes, words) => {
      const isRight = codes.every((code) => code >= 0 && code < words)
      expect(areCodes(Int32Array.from(codes), codes.length, words)).toBe(isRight)
      expect(areCodes(Int32Array.from(codes), codes.length + 1, words)).toBe(false)
    }),
  )
  expect(areCodes(Uint8Array.of(0, 255), 2, 256)).toBe(true)
  expect(areCodes(Uint8Array.of(0, 255), 2, 255)).toBe(false)
})

test('texts pass only when each is UTF-8 by itself', () => {
  const pieces = fc.array(
    fc.constantFrom('a', 'bcd', 'é', '€', '😀', '').map((text) => Buffer.from(text)),
    { minLength: 1, maxLength: 5 },
  )
  const parts = fc.oneof(pieces, fc.array(fc.uint8Array({ maxLength: 3 }), { maxLength: 5 }))
  fc.assert(
    fc.property(parts, fc.array(fc.nat(12), { maxLength: 5 }), fc.nat(3), (bytes, cuts, lead) => {
      const values = Buffer.concat([new Uint8Array(lead).fill(0xff), ...bytes, Buffer.of(0xff)])
      const end = values.length - 1
      const inner = cuts.map((cut) => lead + (end === lead ? 0 : cut % (end - lead)))
      const offsets = Int32Array.from([lead, ...inner.toSorted((a, b) => a - b), end])
      const isRight = [...offsets.subarray(1)].every((to, row) =>
        isUtf8(values.subarray(offsets[row], to)),
      )
      expect(areTexts(offsets, offsets.length - 1, values)).toBe(isRight)
    }),
    { numRuns: 500 },
  )
})
