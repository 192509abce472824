import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { COLUMNS_MAX } from '../../../src/format/limits.ts'
import { inferFields, typeOfValue } from '../../../src/format/schema-inference.ts'
import type { ColumnType, Field, Schema } from '../../../src/format/schema.ts'
import { arbitraryValue } from '../../support/arbitrary-columns.ts'
import { EVERY_TYPE, sampleSchema } from '../../support/sample-batches.ts'

function types(fields: readonly Field[]): Record<string, ColumnType> {
  return Object.fromEntries(fields.map(({ name, type }) => [name, type]))
}

function inferred(
  rows: readonly Record<string, unknown>[],
  schema: Schema | null = null,
): Record<string, ColumnType> {
  return types(inferFields(rows, schema, null))
}

function refusal(
  rows: readonly unknown[],
  schema: Schema | null = null,
  timeColumn: string | null = null,
): unknown {
  try {
    return inferFields(rows as Record<string, unknown>[], schema, timeColumn)
  } catch (error) {
    return error
  }
}

describe('a new column', () => {
  test('takes the narrowest type of its values', () => {
    const values: readonly [unknown, ColumnType][] = [
      [true, 'bool'],
      [0, 'int32'],
      [-(2 ** 31), 'int32'],
      [2 ** 31, 'int64'],
      [-(2 ** 31) - 1, 'int64'],
      [Number.MAX_SAFE_INTEGER, 'int64'],
      [2 ** 53, 'float64'],
      [0.5, 'float64'],
      [-0, 'float64'],
      [NaN, 'float64'],
      [Infinity, 'float64'],
      [5n, 'int64'],
      [2n ** 63n, 'uint64'],
      ['', 'utf8'],
      [new Date(0), 'timestamp[ms]'],
      [new Uint8Array(1), 'binary'],
      [new ArrayBuffer(1), 'binary'],
      [[1], 'json'],
      [{ a: 1 }, 'json'],
    ]
    expect(values.map(([value]) => typeOfValue(value))).toEqual(values.map(([, type]) => type))
  })

  test('of mixed numbers holds all of them, in any order', () => {
    expect(inferred([{ a: 1 }, { a: 2 ** 40 }])).toEqual({ a: 'int64' })
    expect(inferred([{ a: 2 ** 40 }, { a: 1 }])).toEqual({ a: 'int64' })
    expect(inferred([{ a: 2 ** 40 }, { a: 0.5 }])).toEqual({ a: 'float64' })
    expect(inferred([{ a: 0.5 }, { a: 2 ** 40 }, { a: 1 }])).toEqual({ a: 'float64' })
    expect(inferred([{ a: 1 }, { a: -0 }])).toEqual({ a: 'float64' })
  })

  test('waits for its first value: nulls say nothing', () => {
    expect(inferred([{ a: null, b: undefined, c: 1 }, { a: 'x' }])).toEqual({
      c: 'int32',
      a: 'utf8',
    })
    expect(inferred([{ a: null }])).toEqual({})
  })

  test('stands behind those there are, nullable, in the order of appearance', () => {
    const schema = sampleSchema({ old: 'int32' })
    expect(inferFields([{ z: 1, old: 1 }, { y: 'a' }], schema, null)).toEqual([
      { name: 'old', type: 'int32', nullable: true },
      { name: 'z', type: 'int32', nullable: true },
      { name: 'y', type: 'utf8', nullable: true },
    ])
  })

  test('refuses values that no type holds, naming record, column and value', () => {
    for (const value of [() => 1, Symbol('s'), 2n ** 64n, -(2n ** 63n) - 1n, new Date(NaN)]) {
      expect(refusal([{ a: 1 }, { b: value }])).toMatchObject({
        code: 'schema_mismatch',
        details: { row: 1, column: 'b' },
      })
    }
    expect(refusal([{ _deleted: 'yes' }])).toMatchObject({ code: 'schema_mismatch' })
    expect(inferred([{ _deleted: true }])).toEqual({ _deleted: 'bool' })
  })
})

describe('names', () => {
  test('of the system and of JavaScript are refused, with a value and without', () => {
    const proto: unknown = JSON.parse('{"__proto__":1}')
    const given: unknown[] = [
      proto,
      { constructor: 1 },
      { prototype: 1 },
      { '': 1 },
      { _offset: 1 },
      { _partition: null },
      { _time: 1 },
      { _key: 1 },
      { _tier: 'disk' },
      { 'a\ud800': 1 },
      { ['x'.repeat(257)]: 1 },
    ]
    for (const row of given)
      expect(refusal([row]), JSON.stringify(row)).toMatchObject({ code: 'schema_invalid' })
  })

  test('that objects inherit are names like any other', () => {
    expect(inferred([{ toString: 1, hasOwnProperty: 'x', valueOf: true }])).toEqual({
      toString: 'int32',
      hasOwnProperty: 'utf8',
      valueOf: 'bool',
    })
  })

  test('are counted: one more than a log may have is refused', () => {
    const wide = (count: number): Record<string, unknown> =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`c${index}`, index]))
    expect(inferFields([wide(COLUMNS_MAX)], null, null)).toHaveLength(COLUMNS_MAX)
    expect(refusal([wide(COLUMNS_MAX + 1)])).toMatchObject({ code: 'schema_invalid' })
  })
})

describe('a column that is there', () => {
  const schema = sampleSchema({
    i: 'int32',
    l: 'int64',
    f: 'float32',
    d: 'float64',
    s: 'utf8',
    t: 'timestamp[ms]',
    j: 'json',
  })

  test('widens for a value that needs it, and keeps its place', () => {
    expect(inferred([{ i: 2 ** 31 }], schema)['i']).toBe('int64')
    expect(inferred([{ i: 0.5 }], schema)['i']).toBe('float64')
    expect(inferred([{ f: 0.1 }], schema)['f']).toBe('float64')
    expect(Object.keys(inferred([{ i: 0.5 }], schema))[0]).toBe('i')
  })

  test('takes values that it holds without being of the type they would choose', () => {
    const rows = [
      { l: 1, d: 1, t: 1_700_000_000_000 },
      { t: '2026-01-01', j: 5 },
      { t: 5n, j: 'text' },
    ]
    expect(inferred(rows, schema)).toEqual(types(schema.fields))
  })

  test('refuses every other change, naming record, column and both types', () => {
    const given: readonly [string, unknown][] = [
      ['s', 1],
      ['s', {}],
      ['i', 'text'],
      ['i', true],
      ['l', 'text'],
      ['d', 'text'],
      ['t', true],
      ['j', () => 1],
      ['i', new Date(0)],
    ]
    for (const [column, value] of given) {
      expect(refusal([{}, { [column]: value }], schema)).toMatchObject({
        code: 'schema_mismatch',
        details: { row: 1, column, expected: types(schema.fields)[column] },
      })
    }
  })
})

describe('a time column', () => {
  test('takes ms, text and Dates for times, and is required', () => {
    for (const at of [1_700_000_000_000, '2026-01-01T00:00:00Z', new Date(0)]) {
      expect(inferFields([{ at }], null, 'at')).toEqual([
        { name: 'at', type: 'timestamp[ms]', nullable: false },
      ])
    }
  })

  test('refuses what is no time', () => {
    for (const at of ['soon', '12', true, {}, NaN, new Date(NaN)]) {
      expect(refusal([{ at }], null, 'at')).toMatchObject({
        code: 'schema_mismatch',
        details: { column: 'at' },
      })
    }
  })
})

test('what is no record is refused by its number', () => {
  for (const row of [null, undefined, 5, 'text', [1], () => 1]) {
    expect(refusal([{ a: 1 }, row])).toMatchObject({ code: 'record_invalid', details: { row: 1 } })
  }
})

test('values read back from a column of any type fit that column', () => {
  fc.assert(
    fc.property(
      fc
        .constantFrom(...EVERY_TYPE)
        .chain((type) =>
          fc.tuple(fc.constant(type), fc.array(arbitraryValue(type), { maxLength: 5 })),
        ),
      ([type, values]) => {
        const rows = values.map((value) => ({ a: value }))
        // Only what may widen is another type afterwards.
        const [field] = inferFields(rows, sampleSchema({ a: type }), null)
        expect(field?.type === type || ['int32', 'float32'].includes(type)).toBe(true)
      },
    ),
  )
})
