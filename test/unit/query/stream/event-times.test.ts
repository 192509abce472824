import { expect, test } from 'vitest'
import type { ColumnData } from '../../../../src/format/column.ts'
import type { ColumnType } from '../../../../src/format/schema.ts'
import { eventTimes } from '../../../../src/query/stream/event-times.ts'

function column(type: ColumnType, counts: readonly bigint[], validity: number | null): ColumnData {
  const values = new Uint8Array(BigInt64Array.from(counts).buffer)
  return {
    type,
    length: counts.length,
    nullCount: 0,
    validity: validity === null ? null : Uint8Array.of(validity),
    offsets: null,
    values,
    dictionary: null,
  }
}

test('times of every unit are whole ms, rounded down, also before 1970', () => {
  expect([...eventTimes(column('timestamp[s]', [-2n, 0n, 1_767_225_600n], null))]).toEqual([
    -2_000, 0, 1_767_225_600_000,
  ])
  expect([...eventTimes(column('timestamp[ms]', [-1n, 2n ** 45n], null))]).toEqual([-1, 2 ** 45])
  expect([...eventTimes(column('timestamp[us]', [-1n, 999n, 1_000n], null))]).toEqual([-1, 0, 1])
  const last = 1_767_225_600_000_000_000n
  expect([...eventTimes(column('timestamp[ns]', [-1n, last - 1n, last], null))]).toEqual([
    -1, 1_767_225_599_999, 1_767_225_600_000,
  ])
})

test('a record without a time has none', () => {
  expect([...eventTimes(column('timestamp[ms]', [5n, 6n, 7n], 0b101))]).toEqual([5, NaN, 7])
})
