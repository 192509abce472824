import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RowRange } from '../../../src/query/row-range.ts'

/** Whole numbers, so that no order of adding them rounds. */
const rows = fc.array(fc.record({ code: fc.nat(4), value: fc.integer({ min: -1000, max: 1000 }) }))
const ends = fc.tuple(fc.nat(), fc.nat())

test('a range of rows has the counts and sums of its rows, by the group of each code', () => {
  const groups = Uint8Array.of(2, 0, 1, 2, 3)
  fc.assert(
    fc.property(rows, ends, fc.boolean(), (all, [from, size], isWide) => {
      const start = all.length === 0 ? 0 : from % all.length
      const end = start + (size % (all.length - start + 1))
      const given = all.map(({ code }) => code)
      const codes = isWide ? Int32Array.from(given) : Uint8Array.from(given)
      const values = all.map(({ value }) => value)
      const counts = new Float64Array(4)
      const sums = new Float64Array(4)
      for (const { code, value } of all.slice(start, end)) {
        const group = groups[code] ?? -1
        counts[group] = (counts[group] ?? 0) + 1
        sums[group] = (sums[group] ?? 0) + value
      }
      for (const elements of [Float64Array.from(values), Int16Array.from(values)]) {
        const range = new RowRange(start, end, codes, groups)
        const [ownCounts, ownSums] = [new Float64Array(4), new Float64Array(4)]
        range.addCounts(ownCounts)
        range.addSums(elements, ownSums)
        expect([ownCounts, ownSums]).toEqual([counts, sums])
        // The lanes are empty again.
        range.addSums(elements, ownSums)
        expect(ownSums).toEqual(sums.map((sum) => sum * 2))
      }
    }),
  )
})

test('without codes there is one group', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -1000, max: 1000 })), fc.nat(), (values, from) => {
      const start = values.length === 0 ? 0 : from % values.length
      const range = new RowRange(start, values.length)
      const [counts, sums] = [new Float64Array(1), new Float64Array(1)]
      range.addCounts(counts)
      range.addSums(Float64Array.from(values), sums)
      expect(counts[0]).toBe(values.length - start)
      expect(sums[0]).toBe(values.slice(start).reduce((sum, value) => sum + value, 0))
    }),
  )
})
