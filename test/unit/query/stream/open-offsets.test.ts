import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OpenOffsets } from '../../../../src/query/stream/open-offsets.ts'

test('no record that is needed lies before the first open offset, however many runs there were', () => {
  const steps = fc.array(
    fc.record({
      records: fc.integer({ min: 1, max: 5 }),
      time: fc.integer({ min: 0, max: 1_000 }),
      prune: fc.oneof(
        { weight: 300, arbitrary: fc.constant(null) },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 1_000 }) },
      ),
    }),
    { minLength: 600, maxLength: 1_000 },
  )
  fc.assert(
    fc.property(steps, (all) => {
      const open = new OpenOffsets()
      const times: number[] = []
      let needed = -Infinity
      for (const { records, time, prune } of all) {
        open.add(times.length, time)
        for (let record = 0; record < records; record++) times.push(time)
        if (prune === null) continue
        needed = Math.max(needed, prune)
        open.prune((timeMax) => timeMax >= needed)
      }
      const first = times.findIndex((time) => time >= needed)
      expect(open.first(times.length)).toBeLessThanOrEqual(first === -1 ? times.length : first)
      expect(open.bytes).toBeLessThanOrEqual(256 * 16)
    }),
    { numRuns: 50 },
  )
})

test('what nothing needs any more is let go of', () => {
  const open = new OpenOffsets()
  open.add(0, 10)
  open.add(5, 30)
  open.add(9, 20)
  open.prune((timeMax) => timeMax >= 15)
  expect(open.first(12)).toBe(5)
  open.prune((timeMax) => timeMax >= 31)
  expect(open.first(12)).toBe(12)
})
