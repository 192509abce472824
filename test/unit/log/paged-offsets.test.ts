import { expect, test } from 'vitest'
import { PagedOffsets } from '../../../src/log/paged-offsets.ts'

test('offsets far apart are found, counted and taken out', () => {
  const set = new PagedOffsets()
  const all = [0, 7, 8, 65_535, 65_536, 2 ** 40, 2 ** 52 + 1]
  for (const offset of all) set.add(offset)
  expect(all.every((offset) => set.has(offset))).toBe(true)
  expect([1, 9, 65_537, 2 ** 40 - 1].some((offset) => set.has(offset))).toBe(false)
  expect(set.count(0, 65_537)).toBe(5)
  expect([set.count(7, 8), set.count(8, 65_535), set.count(2 ** 40, 2 ** 40 + 1)]).toEqual([
    1, 1, 1,
  ])
  set.clear(7, 65_536)
  expect(all.filter((offset) => set.has(offset))).toEqual([0, 65_536, 2 ** 40, 2 ** 52 + 1])
})
