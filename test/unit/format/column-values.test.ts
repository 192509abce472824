import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ColumnData, sliceColumn } from '../../../src/format/column.ts'
import {
  batchToRows,
  castColumn,
  columnReader,
  concatColumns,
  conformBatch,
  flattenColumn,
  nullColumn,
  readValue,
} from '../../../src/format/column-values.ts'
import type { ColumnType } from '../../../src/format/schema.ts'
import { arbitraryValue } from '../../support/arbitrary-columns.ts'
import {
  EVERY_TYPE,
  sampleBatch,
  sampleColumn,
  sampleSchema,
  withDictionary,
} from '../../support/sample-batches.ts'

function valuesOf(column: ColumnData): unknown[] {
  const read = columnReader(column)
  return Array.from({ length: column.length }, (_, row) => read(row))
}

const columnOfValues = fc
  .constantFrom(...EVERY_TYPE)
  .chain((type) =>
    fc.tuple(
      fc.constant(type),
      fc.array(arbitraryValue(type), { minLength: 1, maxLength: 40 }),
      fc.boolean(),
    ),
  )

describe('values of a column', () => {
  test('are those that were put in, one by one and by a reader, plain and shared', () => {
    fc.assert(
      fc.property(columnOfValues, ([type, values, shared]) => {
        const column = sampleColumn(type, values, shared)
        expect(valuesOf(column)).toEqual(values)
        expect(values.map((_, row) => readValue(column, row))).toEqual(values)
      }),
      { numRuns: 300 },
    )
  })

  test('are bigints where a Date cannot hold a time', () => {
    const seconds = 2n ** 62n
    expect(valuesOf(sampleColumn('timestamp[s]', [seconds, -seconds]))).toEqual([seconds, -seconds])
    expect(valuesOf(sampleColumn('timestamp[ms]', [8_640_000_000_000_001n]))).toEqual([
      8_640_000_000_000_001n,
    ])
    const days = { ...sampleColumn('int32', [2 ** 31 - 1]), type: 'date' as const }
    expect(valuesOf(days)).toEqual([2_147_483_647n])
  })

  test('of text are right whether it is short, long, empty, cut or not ASCII', () => {
    const texts = ['', 'a', 'twelve bytes', 'thirteen byte', 'x'.repeat(1000), null, 'end']
    const column = sampleColumn('utf8', texts)
    expect(valuesOf(column)).toEqual(texts)
    expect(valuesOf(sliceColumn(column, 2, 6))).toEqual(texts.slice(2, 6))
    const mixed = [...texts, 'ü', '日本語']
    expect(valuesOf(sampleColumn('utf8', mixed, true))).toEqual(mixed)
  })

  test('of a dictionary column are its texts', () => {
    const texts = ['b', 'a', null, 'b']
    const column = withDictionary(sampleColumn('utf8', texts), texts)
    expect(valuesOf(column)).toEqual(texts)
    expect(readValue(column, 0)).toBe('b')
    expect(readValue(column, 2)).toBeNull()
    expect(flattenColumn(column).dictionary).toBeNull()
    expect(valuesOf(flattenColumn(column))).toEqual(texts)
  })

  test('make rows with the columns in the order of the schema', () => {
    const rows = [
      { b: 1, a: 'x' },
      { b: null, a: null },
    ]
    const result = batchToRows(sampleBatch(sampleSchema({ b: 'int32', a: 'utf8' }), rows))
    expect(result).toEqual(rows)
    expect(Object.keys(result[0] ?? {})).toEqual(['b', 'a'])
  })
})

describe('joining columns', () => {
  test('gives the rows of all, from slices at any row', () => {
    fc.assert(
      fc.property(
        columnOfValues,
        fc.array(fc.tuple(fc.nat(40), fc.nat(40))),
        ([type, values], cuts) => {
          const column = sampleColumn(type, values)
          const ranges = [...cuts, [0, values.length] as const].map(([a, b]) => {
            const start = Math.min(a, b, values.length)
            return [start, Math.min(Math.max(a, b), values.length)] as const
          })
          const joined = concatColumns(
            ranges.map(([start, end]) => sliceColumn(column, start, end)),
          )
          expect(valuesOf(joined)).toEqual(
            ranges.flatMap(([start, end]) => values.slice(start, end)),
          )
          expect(joined.nullCount).toBe(valuesOf(joined).filter((value) => value === null).length)
        },
      ),
      { numRuns: 300 },
    )
  })

  test('keeps a dictionary that all share and decodes others', () => {
    const texts = ['b', 'a', null, 'b']
    const plain = sampleColumn('utf8', texts)
    const encoded = withDictionary(plain, texts)
    expect(concatColumns([sliceColumn(encoded, 1, 3), encoded]).dictionary).toBe(encoded.dictionary)
    for (const other of [plain, withDictionary(plain, texts)]) {
      const joined = concatColumns([encoded, other])
      expect(joined.dictionary).toBeNull()
      expect(valuesOf(joined)).toEqual([...texts, ...texts])
    }
  })
})

describe('bringing columns to a newer schema', () => {
  test.each([
    ['int32', 'int64', [1, null, -(2 ** 31), 2 ** 31 - 1]],
    ['int32', 'float64', [1, null, -(2 ** 31), 2 ** 31 - 1]],
    ['float32', 'float64', [0.5, null, -0, NaN, Infinity]],
  ] as const)('widens %s to %s without changing a value', (from, to, values) => {
    const column = castColumn(sampleColumn(from, values), to)
    expect(column.type).toBe(to)
    expect(valuesOf(column)).toEqual(values)
  })

  test('makes columns of nulls of every type', () => {
    for (const type of EVERY_TYPE) {
      const column = nullColumn(type, 9)
      expect(valuesOf(column)).toEqual(Array<null>(9).fill(null))
      expect(column.nullCount).toBe(9)
      expect(nullColumn(type, 0).nullCount).toBe(0)
    }
  })

  test('adds, widens and orders columns by name', () => {
    const batch = sampleBatch(sampleSchema({ a: 'int32', b: 'utf8' }), [{ a: 1, b: 'x' }], {
      baseOffset: 9,
    })
    const newer = sampleSchema({ c: 'json', b: 'utf8', a: 'float64' }, 1)
    const conformed = conformBatch(batch, newer)
    expect(batchToRows(conformed)).toEqual([{ c: null, b: 'x', a: 1 }])
    expect(conformed.columns.map((column): ColumnType => column.type)).toEqual([
      'json',
      'utf8',
      'float64',
    ])
    expect([conformed.baseOffset, conformed.schema]).toEqual([9, newer])
    expect(conformBatch(conformed, newer)).toBe(conformed)
  })
})
