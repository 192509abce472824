import fc from 'fast-check'
import { expect, test } from 'vitest'
import { intersectRanges, rangeLength } from '../../../src/base/range.ts'

test('an intersection holds exactly the numbers that both ranges hold', () => {
  const range = fc
    .tuple(fc.nat(12), fc.nat(6))
    .map(([start, length]) => ({ start, end: start + length }))
  const numbers = ({ start, end }: { start: number; end: number }): number[] =>
    Array.from({ length: end - start }, (_, index) => start + index)
  fc.assert(
    fc.property(range, range, (a, b) => {
      const both = numbers(a).filter((number) => numbers(b).includes(number))
      const met = intersectRanges(a, b)
      expect(met === null ? [] : numbers(met)).toEqual(both)
      if (met !== null) expect(rangeLength(met)).toBe(both.length)
    }),
  )
})
