import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Range, rangeLength } from '../../../src/base/range.ts'
import { coalesce } from '../../../src/storage/coalesce.ts'

function fetchesOf(ranges: readonly Range[]): readonly (readonly [number, number])[] {
  return coalesce(ranges).map(({ start, end }) => [start, end])
}

test('ranges that touch are one fetch, and nothing is no fetch', () => {
  const touching = [
    { start: 5, end: 10 },
    { start: 10, end: 20 },
  ]
  expect(coalesce(touching)).toEqual([{ start: 5, end: 20, members: [0, 1] }])
  expect(coalesce([])).toEqual([])
})

test('a small read bridges gaps of up to 16 KiB together, the smallest first', () => {
  const gap = 12 * 1024
  expect(
    fetchesOf([
      { start: 0, end: 100 },
      { start: 100 + gap, end: 200 + gap },
      { start: 200 + gap + gap / 2, end: 300 + gap * 2 },
    ]),
  ).toEqual([
    [0, 100],
    [100 + gap, 300 + gap * 2],
  ])
})

test('every range lies in one fetch, and what is fetched along stays within a sixteenth', () => {
  const lengths = fc.tuple(
    fc.integer({ min: 0, max: 300_000 }),
    fc.integer({ min: 1, max: 100_000 }),
  )
  fc.assert(
    fc.property(fc.array(lengths, { minLength: 1, maxLength: 40 }), (pieces) => {
      let end = 0
      const ranges = pieces.map(([gap, length]) => {
        const start = end + gap
        end = start + length
        return { start, end }
      })
      const fetches = coalesce(ranges)
      expect(fetches.flatMap(({ members }) => members)).toEqual([...ranges.keys()])
      for (const { start, end: fetchEnd, members } of fetches) {
        expect(start).toBe(ranges[members[0] ?? -1]?.start)
        expect(fetchEnd).toBe(ranges[members.at(-1) ?? -1]?.end)
      }
      const sum = (all: readonly Range[]): number =>
        all.reduce((total, range) => total + rangeLength(range), 0)
      const wanted = sum(ranges)
      expect(sum(fetches) - wanted).toBeLessThanOrEqual(Math.max(16 * 1024, wanted / 16))
    }),
  )
})
