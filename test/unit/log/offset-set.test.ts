import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OffsetSet } from '../../../src/log/offset-set.ts'

/** The rows of ranges, one by one. */
function rowsOf(ranges: Int32Array): readonly number[] {
  const rows: number[] = []
  for (let index = 0; index < ranges.length; index += 2)
    for (let row = ranges[index] ?? 0; row < (ranges[index + 1] ?? 0); row++) rows.push(row)
  return rows
}

const bitsOf = (bits: Uint8Array, length: number): readonly number[] =>
  [...Array(length).keys()].filter((row) => (((bits[row >> 3] ?? 0) >> (row & 7)) & 1) === 1)

test('a set of offsets is what a set of numbers is, in every cut', () => {
  const start = 2 ** 33 + 5
  const offset = fc.integer({ min: 0, max: 2_000 }).map((more) => start + more)
  const step = fc.record({ offset, isIn: fc.boolean() })
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 300 }),
      fc.integer({ min: -20, max: 2_100 }),
      fc.integer({ min: 0, max: 2_100 }),
      fc.integer({ min: 0, max: 300 }),
      (steps, first, length, forgotten) => {
        const set = new OffsetSet(start)
        const model = new Set<number>()
        for (const { offset: at, isIn } of steps) {
          if (isIn) set.add(at)
          else set.delete(at)
          if (isIn) model.add(at)
          else model.delete(at)
        }
        const from = start + first
        const to = from + length
        const rows = [...model]
          .filter((at) => at >= from && at < to)
          .map((at) => at - from)
          .sort((a, b) => a - b)
        const copy = set.copy(from, to)
        for (const held of [set, copy]) {
          expect(held.count(from, to)).toBe(rows.length)
          expect(rowsOf(held.ranges(from, to))).toEqual(rows)
          expect(bitsOf(held.bitmap(from, to), length)).toEqual(rows)
        }
        expect(copy.count(start, start + 3_000)).toBe(rows.length)
        for (const at of model) if (at < start + forgotten) set.delete(at)
        set.forget(start + forgotten)
        const left = [...model].filter((at) => at >= start + forgotten)
        expect(set.count(start + forgotten, start + 3_000)).toBe(left.length)
        set.add(start + 5_000)
        expect(set.count(start + forgotten, start + 6_000)).toBe(left.length + 1)
      },
    ),
    { numRuns: 300 },
  )
})
