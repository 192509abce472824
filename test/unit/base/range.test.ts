import fc from 'fast-check'
import { expect, test } from 'vitest'
import { intersectRanges, mergeRanges, rangeLength, splitRanges } from '../../../src/base/range.ts'

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

test('ranges that are merged and split hold exactly the numbers that they held, inside and outside', () => {
  const ranges = fc.array(
    fc.tuple(fc.nat(30), fc.nat(6)).map(([start, length]) => ({ start, end: start + length })),
    { maxLength: 8 },
  )
  const numbersOf = (list: Iterable<{ start: number; end: number }>): Set<number> => {
    const numbers = new Set<number>()
    for (const { start, end } of list) for (let n = start; n < end; n++) numbers.add(n)
    return numbers
  }
  fc.assert(
    fc.property(ranges, ranges, (a, b) => {
      const [whole, by] = [mergeRanges(a), mergeRanges(b)]
      expect(numbersOf(whole)).toEqual(numbersOf(a))
      for (const [index, { start, end }] of whole.entries())
        expect(start > (whole[index - 1]?.end ?? -1) && end > start).toBe(true)
      const { inside, outside } = splitRanges(whole, by)
      const [all, cut] = [numbersOf(whole), numbersOf(by)]
      expect([...numbersOf(inside)]).toEqual([...all].filter((n) => cut.has(n)))
      expect([...numbersOf(outside)]).toEqual([...all].filter((n) => !cut.has(n)))
    }),
  )
})
