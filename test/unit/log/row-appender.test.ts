import fc from 'fast-check'
import { expect, test } from 'vitest'
import { APPEND_BYTES_MAX } from '../../../src/format/limits.ts'
import { storedSchema } from '../../../src/format/schema-evolution.ts'
import type { Row } from '../../../src/format/schema-inference.ts'
import type { Field } from '../../../src/format/schema.ts'
import { HotBatch } from '../../../src/log/hot-batch.ts'
import { pushColumns, pushRows } from '../../../src/log/row-appender.ts'
import { BudgetExceeded, SlabPool } from '../../../src/log/slab-pool.ts'
import { batchRows } from '../../support/live-logs.ts'
import { sampleColumn } from '../../support/sample-batches.ts'

const FIELDS: readonly Field[] = [
  { name: 'n', type: 'int32', nullable: true },
  { name: 't', type: 'utf8', nullable: true },
  { name: 'j', type: 'json', nullable: true },
]
const FACTS = { appendTime: 7, lsn: 1, expiresAt: Infinity, priority: 0 }

function newBatch(maxBytes = Infinity, fields = FIELDS): HotBatch {
  const pool = new SlabPool({ freeBytesMax: 1 << 24, poison: true, maxBytes })
  return new HotBatch(storedSchema(0, fields, null), 0, '_time', pool, null)
}

const rowsOf = (count: number, from = 0): Row[] =>
  Array.from({ length: count }, (_, index) => ({
    n: from + index,
    t: `row ${from + index}`,
    j: { deep: [from + index] },
  }))

const shown = (rows: readonly Row[], from = 0): Row[] =>
  rows.map((row, index) => ({ _offset: from + index, ...row }))

test('rows, one or many thousand, get the stamp of their append and stay in order', () => {
  const batch = newBatch()
  const all: Row[] = []
  for (const count of [1, 2, 1_024, 1_025, 5_000]) {
    const rows = rowsOf(count, all.length)
    expect(pushRows(batch, rows, 7)).toBe('ok')
    batch.commit(FACTS)
    all.push(...rows)
  }
  expect(batchRows(batch.view(0, all.length))).toEqual(shown(all))
  expect(batch.time).toEqual({ min: 7, max: 7 })
})

test('a row that needs a closer look does not spoil those around it', () => {
  class Point {
    n = 2
  }
  for (const odd of [new Point(), { n: 2, other: null }, { n: 2, t: undefined }]) {
    const batch = newBatch()
    const rows = [...rowsOf(3), odd as unknown as Row, ...rowsOf(3, 4)]
    const outcome = pushRows(batch, rows, 7)
    expect(outcome).toBe('ok')
    batch.commit(FACTS)
    expect(batchRows(batch.view(0, 7)).map(({ n }) => n)).toEqual([0, 1, 2, 2, 4, 5, 6])
  }
})

test('a column or a type that the schema lacks leaves the batch as it was', () => {
  const batch = newBatch()
  pushRows(batch, rowsOf(2), 7)
  batch.commit(FACTS)
  for (const odd of [{ more: 1 }, { n: 'text' }, { n: 2 ** 31 }, { _time: 5 }] as const) {
    for (const rows of [[odd], [...rowsOf(5), odd]])
      expect(pushRows(batch, rows as unknown as Row[], 7)).toBe('evolve')
  }
  expect(batch.builders.map((builder) => builder.length)).toEqual([2, 2, 2, 2])
  pushRows(batch, rowsOf(2, 2), 7)
  batch.commit(FACTS)
  expect(batchRows(batch.view(0, 4))).toEqual(shown(rowsOf(4)))
})

test('a budget that ends half way through an append leaves the batch as it was', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 2 }), (counts) => {
      const batch = newBatch(64 * 512)
      const all: Row[] = []
      for (const count of counts) {
        const rows = rowsOf(count, all.length)
        try {
          expect(pushRows(batch, rows, 7)).toBe('ok')
        } catch (error) {
          expect(error).toBeInstanceOf(BudgetExceeded)
          continue
        }
        batch.commit(FACTS)
        all.push(...rows)
      }
      const seen = batchRows(batch.view(0, all.length))
      expect(seen.map(({ n, t }) => ({ n, t }))).toEqual(all.map(({ n, t }) => ({ n, t })))
    }),
    { numRuns: 60 },
  )
})

test('a getter that throws in the middle of many rows leaves the batch as it was', () => {
  const batch = newBatch()
  const bad = {
    get t(): string {
      throw new RangeError('from the getter')
    },
  }
  expect(() => pushRows(batch, [...rowsOf(1_500), bad, ...rowsOf(5)], 7)).toThrow('from the getter')
  expect(batch.builders.map((builder) => builder.length)).toEqual([0, 0, 0, 0])
})

test('an append of few long values is refused by what it is outside of a dictionary', () => {
  const fields = Array.from({ length: 20 }, (_, index) => ({
    name: `t${index}`,
    type: 'utf8' as const,
    nullable: true,
  }))
  const batch = newBatch(Infinity, fields)
  const row = Object.fromEntries(fields.map(({ name }) => [name, 'x'.repeat(64)]))
  const rows = Array.from({ length: Math.ceil(APPEND_BYTES_MAX / 20 / 64) + 1 }, () => row)
  expect(() => pushRows(batch, rows, 7)).toThrow(
    expect.objectContaining({ code: 'append_too_large' }),
  )
  expect(batch.bytes).toBeLessThan(4 << 20)
  expect(pushRows(batch, rows.slice(0, 1_000), 7)).toBe('ok')
})

test('columns get the stamp of their append, and absent ones are null', () => {
  const batch = newBatch()
  const fields = [{ name: 't', type: 'utf8', nullable: true }] as const
  pushColumns(batch, { fields, columns: [sampleColumn('utf8', ['a', null])], length: 2 }, 7)
  batch.commit(FACTS)
  expect(batchRows(batch.view(0, 2))).toEqual([
    { _offset: 0, n: null, t: 'a', j: null },
    { _offset: 1, n: null, t: null, j: null },
  ])
  expect(batch.time).toEqual({ min: 7, max: 7 })
})
