/** How far up the keys eviction goes, against all records sorted. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { HotBatch } from '../../../src/log/hot-batch.ts'
import { BY_PRIORITY, threshold } from '../../../src/tiering/victims.ts'

interface Held {
  readonly bytes: number
  readonly runs: readonly { readonly key: number; readonly rows: number }[]
}

const held: fc.Arbitrary<Held> = fc.record({
  bytes: fc.integer({ min: 1, max: 300 }).map((granules) => granules * 64),
  runs: fc.array(
    fc.record({
      key: fc.integer({ min: -1_000, max: 1_000 }),
      rows: fc.integer({ min: 1, max: 50 }),
    }),
    { minLength: 1, maxLength: 6 },
  ),
})

const rowsOf = ({ runs }: Held): number => runs.reduce((sum, { rows }) => sum + rows, 0)

function batchOf(given: Held): HotBatch {
  const ends = given.runs.map((_, index) =>
    rowsOf({ bytes: 0, runs: given.runs.slice(0, index + 1) }),
  )
  return {
    bytes: given.bytes,
    length: rowsOf(given),
    priorityMin: Math.min(...given.runs.map(({ key }) => key)),
    runList: {
      count: ends.length,
      priority: (run: number) => given.runs[run]?.key ?? 0,
      rowStart: (run: number) => ends[run - 1] ?? 0,
      rowEndOf: (run: number) => ends[run] ?? 0,
    },
  } as unknown as HotBatch
}

test('the key up to which records go is the least that is enough, to the last bit of their bytes', () => {
  fc.assert(
    fc.property(fc.array(held, { minLength: 1, maxLength: 6 }), (batches) => {
      const bytesByKey = new Map<number, number>()
      for (const given of batches) {
        for (const { key, rows } of given.runs) {
          const bytes = (rows * given.bytes) / rowsOf(given)
          bytesByKey.set(key, (bytesByKey.get(key) ?? 0) + bytes)
        }
      }
      const given = batches.map((batch) => ({ batch: batchOf(batch) }))
      const keys = [...bytesByKey.keys()].toSorted((a, b) => a - b)
      let sum = 0
      for (const [index, key] of keys.slice(0, -1).entries()) {
        sum += bytesByKey.get(key) ?? 0
        // Just what is there: it is found there, or, by rounding, at the next one; never at the end.
        const found = threshold(given, BY_PRIORITY, sum).key
        expect(found).toBeGreaterThanOrEqual(key)
        expect(found).toBeLessThanOrEqual(keys[index + 1] ?? key)
        expect(threshold(given, BY_PRIORITY, sum - 1e-6).key).toBe(key)
      }
    }),
    { numRuns: 3_000 },
  )
})
