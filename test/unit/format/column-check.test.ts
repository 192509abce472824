import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { columnProblem } from '../../../src/format/column-check.ts'
import { type ColumnData, sliceColumn } from '../../../src/format/column.ts'
import { VALUE_BYTES_MAX } from '../../../src/format/limits.ts'
import type { ColumnType } from '../../../src/format/schema.ts'
import { arbitraryValue } from '../../support/arbitrary-columns.ts'
import { EVERY_TYPE, sampleColumn, withDictionary } from '../../support/sample-batches.ts'

describe('columnProblem', () => {
  test('finds none in a column of any type, whole or cut', () => {
    fc.assert(
      fc.property(
        fc
          .constantFrom(...EVERY_TYPE)
          .chain((type) =>
            fc.tuple(
              fc.constant(type),
              fc.array(arbitraryValue(type), { maxLength: 30 }),
              fc.nat(30),
            ),
          ),
        ([type, values, at]) => {
          const column = sampleColumn(type, values)
          const start = Math.min(at, values.length)
          expect(columnProblem(column)).toBeNull()
          expect(columnProblem(sliceColumn(column, start, values.length))).toBeNull()
        },
      ),
    )
    const texts = ['a', null, 'b', 'a']
    expect(columnProblem(withDictionary(sampleColumn('utf8', texts), texts))).toBeNull()
  })

  test('finds every way in which a column could be read beyond its buffers', () => {
    const int32 = sampleColumn('int32', [1, 2, null])
    const text = sampleColumn('utf8', ['ab', 'cé'])
    const words = withDictionary(sampleColumn('utf8', ['a', 'b']), ['a', 'b'])
    const broken: ColumnData[] = [
      { ...int32, type: 'int31' as ColumnType },
      { ...int32, length: 4 },
      { ...int32, length: -1 },
      { ...int32, length: NaN },
      { ...int32, nullCount: 4 },
      { ...int32, validity: null },
      { ...int32, validity: new Uint8Array(0) },
      { ...int32, values: int32.values.subarray(0, 11) },
      { ...int32, values: new Uint8Array(int32.values.buffer, 1, 12) },
      { ...int32, values: [1, 2, 3] as unknown as Uint8Array },
      { ...int32, offsets: new Int32Array(4) },
      { ...text, offsets: null },
      { ...text, offsets: Int32Array.of(0, 2) },
      { ...text, offsets: Int32Array.of(0, 5, 2) },
      { ...text, offsets: Int32Array.of(-1, 2, 5) },
      { ...text, offsets: Int32Array.of(0, 2, 5000) },
      { ...text, offsets: Int32Array.of(0, 4, 5) },
      { ...text, offsets: Int32Array.of(0, 2 ** 31 - 1, -(2 ** 31)) },
      { ...text, values: Uint8Array.of(97, 98, 99, 0xc3, 0x28) },
      { ...words, values: new Uint8Array(Int32Array.of(0, 2).buffer) },
      { ...words, values: new Uint8Array(Int32Array.of(-1, 0).buffer) },
      { ...words, values: words.values.subarray(0, 4) },
      { ...words, dictionary: { ...text, offsets: Int32Array.of(0, 5, 2) } },
      { ...words, dictionary: sampleColumn('utf8', ['a', null]) },
      { ...words, type: 'binary' },
    ]
    for (const [index, column] of broken.entries())
      expect(columnProblem(column), String(index)).not.toBeNull()
  })

  test('says where a value is too big, and where a text is none', () => {
    const text = sampleColumn('utf8', ['ab', 'cé'])
    const big = Int32Array.of(0, 2, 3 + VALUE_BYTES_MAX)
    const values = new Uint8Array(3 + VALUE_BYTES_MAX)
    expect(columnProblem({ ...text, offsets: big, values })).toContain('row 1 is over')
    const most = Int32Array.of(0, 2, 2 + VALUE_BYTES_MAX)
    expect(columnProblem({ ...text, offsets: most, values })).toBeNull()
    // All bytes are UTF-8, and the second text begins inside of a character.
    const torn = { ...text, offsets: Int32Array.of(0, 4, 5) }
    expect(columnProblem(torn)).toContain('text in row 0 is not UTF-8')
  })

  test('asks nothing of what lies under a null', () => {
    const text = { ...sampleColumn('utf8', ['ab', null, 'c']) }
    const values = Uint8Array.of(97, 98, 0xc3, 99)
    expect(columnProblem({ ...text, offsets: Int32Array.of(0, 2, 3, 4), values })).toBeNull()
    const words = withDictionary(sampleColumn('utf8', ['a', null]), ['a', null])
    const codes = new Uint8Array(Int32Array.of(0, 99).buffer)
    expect(columnProblem({ ...words, values: codes })).toBeNull()
    expect(
      columnProblem({ ...words, values: new Uint8Array(Int32Array.of(99, 0).buffer) }),
    ).not.toBeNull()
  })
})
