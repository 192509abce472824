import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ColumnData } from '../../../../src/format/column.ts'
import { columnReader } from '../../../../src/format/column-values.ts'
import {
  joinPieces,
  packColumns,
  unpackColumns,
} from '../../../../src/query/child/packed-columns.ts'
import { arbitraryBatch } from '../../../support/arbitrary-columns.ts'

function valuesOf(column: ColumnData): readonly unknown[] {
  const read = columnReader(column)
  return Array.from({ length: column.length }, (_, row) => read(row))
}

test('columns of every type come out of a pipe as they went in', () => {
  fc.assert(
    fc.property(arbitraryBatch(40), ({ batch: { columns } }) => {
      const packed = packColumns(columns)
      const { buffer, byteLength } = joinPieces(packed)
      expect(byteLength).toBe(packed.byteLength)
      // As a pipe carries them: as JSON, and as bytes.
      const plans = JSON.parse(JSON.stringify(packed.plans)) as typeof packed.plans
      const found = unpackColumns(plans, buffer)
      expect(found.map(valuesOf)).toEqual(columns.map(valuesOf))
      expect(found.map(({ nullCount, type }) => [nullCount, type])).toEqual(
        columns.map(({ nullCount, type }) => [nullCount, type]),
      )
    }),
  )
})
