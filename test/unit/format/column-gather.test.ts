import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createColumnBuilder } from '../../../src/format/column-builder.ts'
import { appendRanges } from '../../../src/format/column-gather.ts'
import { type ColumnData, sliceColumn } from '../../../src/format/column.ts'
import { columnReader } from '../../../src/format/column-values.ts'
import type { ColumnSize } from '../../../src/format/growing-column.ts'
import type { ColumnType } from '../../../src/format/schema.ts'
import { arbitraryValue } from '../../support/arbitrary-columns.ts'
import { EVERY_TYPE, sampleColumn } from '../../support/sample-batches.ts'
import { TrackedBuffers } from '../../support/tracked-buffers.ts'

function valuesOf(column: ColumnData): unknown[] {
  const read = columnReader(column)
  return Array.from({ length: column.length }, (_, row) => read(row))
}

const CODED: ColumnSize = { rows: 0, valueBytes: 0, encoding: 'dictionary' }

function built(column: ColumnData, ranges: Int32Array): ColumnData {
  const expected = column.dictionary === null ? undefined : CODED
  const builder = createColumnBuilder(column.type, new TrackedBuffers(), expected)
  appendRanges(builder, column, ranges)
  return builder.slice(0, builder.length)
}

/** Rows that are kept, as stretches. */
function rangesOf(kept: readonly boolean[]): Int32Array {
  const ends = kept.flatMap((isKept, row) => (isKept === (kept[row - 1] ?? false) ? [] : [row]))
  return Int32Array.from(kept.at(-1) === true ? [...ends, kept.length] : ends)
}

const TYPES: readonly ColumnType[] = [...EVERY_TYPE, 'list<utf8>', 'struct<a:int32,b:utf8>']

describe.each(TYPES)('some rows of a column of %s', (type) => {
  test('are appended in order, however short or long their stretches are', () => {
    const row = fc.tuple(arbitraryValue(type), fc.boolean())
    const rows = fc.array(row, { minLength: 1, maxLength: 80, size: 'max' })
    fc.assert(
      fc.property(rows, fc.nat(3), fc.constantFrom(1, 70), (all, cut, repeated) => {
        // As they are, or each so often that stretches are long.
        const values = all.flatMap(([value]) => Array.from({ length: repeated }, () => value))
        const kept = all.flatMap(([, isKept]) => Array.from({ length: repeated }, () => isKept))
        const start = Math.min(cut, values.length)
        const column = sliceColumn(sampleColumn(type, values), start, values.length)
        const wanted = valuesOf(column).filter((_, index) => kept[start + index])
        expect(valuesOf(built(column, rangesOf(kept.slice(start))))).toEqual(wanted)
      }),
      { numRuns: 40 },
    )
  })
})

test('thousands of single rows are gathered a part at a time, also as codes of a dictionary', () => {
  const values = Array.from({ length: 20_000 }, (_, row) => ['paid', 'open', null, 'späť'][row % 4])
  const builder = createColumnBuilder('utf8', new TrackedBuffers(), CODED)
  for (const value of values) expect(builder.push(value)).toBe('ok')
  const column = builder.slice(0, builder.length)
  expect(column.dictionary).not.toBeNull()
  const kept = values.map((_, row) => row % 3 === 0)
  const copy = built(column, rangesOf(kept))
  expect(copy.dictionary).not.toBeNull()
  expect(valuesOf(copy)).toEqual(valuesOf(column).filter((_, row) => kept[row]))
})
