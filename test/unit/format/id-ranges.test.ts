import fc from 'fast-check'
import { expect, test } from 'vitest'
import { IdRanges, areBounds } from '../../../src/format/id-ranges.ts'

test('ids are a set, whatever the order in which they come', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40 })), (ids) => {
      const ranges = ids.reduce((made, id) => made.with(id), IdRanges.empty)
      const set = new Set(ids)
      expect([...ranges]).toEqual([...set].sort((a, b) => a - b))
      expect(ranges.size).toBe(set.size)
      for (let id = 0; id <= 42; id++) expect(ranges.has(id)).toBe(set.has(id))
      expect(areBounds(ranges.bounds)).toBe(true)
    }),
  )
})

test('neighbours are one range, and what is there is not added again', () => {
  const ranges = [7, 5, 6, 9].reduce((made, id) => made.with(id), IdRanges.empty)
  expect(ranges.bounds).toEqual([5, 8, 9, 10])
  expect(ranges.with(8).bounds).toEqual([5, 10])
  expect(ranges.with(6)).toBe(ranges)
})

test('bounds that are not those of ranges are told', () => {
  for (const bounds of [[1], [2, 1], [1, 2, 2, 3], [1, 1]]) expect(areBounds(bounds)).toBe(false)
  expect(areBounds([])).toBe(true)
})
