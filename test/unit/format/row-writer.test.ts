import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { present } from '../../../src/base/assert.ts'
import { createColumnBuilder } from '../../../src/format/column-builder.ts'
import { columnReader } from '../../../src/format/column-values.ts'
import type { ColumnBuilder } from '../../../src/format/growing-column.ts'
import {
  ClosureRowWriter,
  GeneratedRowWriter,
  WRITTEN_ROWS_MAX,
  rowWriter,
} from '../../../src/format/row-writer.ts'
import type { ColumnType, Field } from '../../../src/format/schema.ts'
import { arbitraryValue } from '../../support/arbitrary-columns.ts'
import { EVERY_TYPE } from '../../support/sample-batches.ts'
import { TrackedBuffers } from '../../support/tracked-buffers.ts'

const field = (name: string, type: ColumnType, nullable = true): Field => ({ name, type, nullable })
const FIELDS = [field('a', 'int32'), field('b"]; throw 1; //', 'utf8'), field('日本', 'bool')]
const ways = [
  ['generated', GeneratedRowWriter],
  ['closure', ClosureRowWriter],
] as const

const newBuilders = (fields: readonly Field[]): ColumnBuilder[] =>
  fields.map(({ type }) => createColumnBuilder(type, new TrackedBuffers()))

const columnsOf = (builders: readonly ColumnBuilder[]): unknown[][] =>
  builders.map((builder) => {
    const column = builder.slice(0, builder.length)
    const read = columnReader(column)
    return Array.from({ length: column.length }, (_, row) => read(row))
  })

/** Fields of any types, and rows of them in which values may be missing, and times be numbers. */
const arbitraryRows = fc
  .array(fc.tuple(fc.constantFrom(...EVERY_TYPE), fc.boolean()), { minLength: 1, maxLength: 5 })
  .chain((types) => {
    const fields = types.map(([type, nullable], index) => field(`c${index}`, type, nullable))
    const value = ({ type, nullable }: Field): fc.Arbitrary<unknown> =>
      fc
        .tuple(arbitraryValue(type), arbitraryValue(type), fc.boolean())
        .filter(([first, second]) => nullable || first !== null || second !== null)
        .map(([first, second, isAbsent]) => {
          if (first !== null) return first
          return nullable ? (isAbsent ? undefined : null) : second
        })
    return fc.record({
      fields: fc.constant(fields),
      rows: fc.array(fc.tuple(...fields.map(value)), { minLength: 1, maxLength: 40 }),
      shouldCount: fc.boolean(),
    })
  })

describe.each(ways)('a row writer, %s', (_way, Writer) => {
  test('puts what rows hold into their columns, in one go, in pieces or one by one', () => {
    fc.assert(
      fc.property(arbitraryRows, fc.nat(40), ({ fields, rows, shouldCount }, at) => {
        const given = rows.map((values) =>
          Object.fromEntries(
            fields.flatMap(({ name, type }, index) => {
              const value = values[index]
              if (value === undefined) return []
              const isTime = shouldCount && type === 'timestamp[ms]' && value instanceof Date
              return [[name, isTime ? value.getTime() : value]]
            }),
          ),
        )
        const writer = new Writer(fields)
        const [whole, pieces, single] = [fields, fields, fields].map(newBuilders)
        const cut = Math.min(at, given.length)
        expect(writer.writeRows(whole ?? [], given, 0, given.length)).toBe(true)
        expect(writer.writeRows(pieces ?? [], given, 0, cut)).toBe(true)
        expect(writer.writeRows(pieces ?? [], given, cut, given.length)).toBe(true)
        for (const row of given) expect(writer.writeRow(single ?? [], row)).toBe(true)
        const expected = fields.map((_, index) => rows.map((values) => values[index] ?? null))
        for (const builders of [whole, pieces, single])
          expect(columnsOf(builders ?? [])).toEqual(expected)
      }),
      { numRuns: 300 },
    )
  })

  test('takes of every type just the values that its column takes', () => {
    const odd = [
      ...[0, -0, 1.5, NaN, Infinity, -1, 127, 128, 255, 256, -129, 65_535, 65_536, 32_768],
      ...[2 ** 31, 2 ** 31 - 1, -(2 ** 31), 2 ** 32, 2 ** 53, 2 ** 53 - 1, -(2 ** 53), 1e300],
      ...[5n, -5n, 2n ** 63n, 2n ** 64n, '', 'x', '5', '2024-05-01', '2024-05-01T00:00:00Z'],
      ...[true, false, new Date(5), new Date(NaN), Uint8Array.of(1), [], {}, { a: 1 }],
      ...['\ud83d', '😀', 'é', 'é'.repeat(30), Symbol('s'), () => 1, new Map()],
    ]
    for (const type of EVERY_TYPE) {
      const fields = [field('a', type)]
      const writer = new Writer(fields)
      for (const value of odd) {
        const [pushed, one, many] = [fields, fields, fields].map(newBuilders)
        const isTaken = pushed?.[0]?.push(value) === 'ok'
        expect(writer.writeRow(one ?? [], { a: value }), type).toBe(isTaken)
        expect(writer.writeRows(many ?? [], [{ a: value }], 0, 1)).toBe(isTaken)
        if (!isTaken) continue
        expect(columnsOf(one ?? [])).toEqual(columnsOf(pushed ?? []))
        expect(columnsOf(many ?? [])).toEqual(columnsOf(pushed ?? []))
      }
    }
  })

  test('leaves alone what is no plain record of these columns', () => {
    class Point {
      a = 1
    }
    const inherited = Object.create({ c: 1 }, { a: { value: 1, enumerable: true } }) as object
    const odd = [
      ...[{ a: 1, c: 2 }, { a: undefined }, { __proto__: { a: 1 } }, null, 5, 'text', [], [1]],
      ...[inherited, new Point(), new Proxy(new Point(), {}), () => 1],
    ]
    const writer = new Writer(FIELDS)
    for (const row of odd) {
      const builders = newBuilders(FIELDS)
      expect(writer.writeRows(builders, [{ a: 1 }, row, { a: 2 }], 0, 3)).toBe(false)
      expect(writer.writeRow(newBuilders(FIELDS), row)).toBe(false)
      for (const builder of builders) builder.truncate(0)
      expect(writer.writeRows(builders, [{ a: 3 }], 0, 1)).toBe(true)
      expect(columnsOf(builders)).toEqual([[3], [null], [null]])
    }
  })

  test('takes records without a prototype, frozen ones, and keys in any order', () => {
    const bare = Object.assign(Object.create(null) as object, { a: 1, 'b"]; throw 1; //': 'x' })
    const rows = [bare, Object.freeze({ 日本: true, a: 2 }), {}]
    const builders = newBuilders(FIELDS)
    expect(new Writer(FIELDS).writeRows(builders, rows, 0, 3)).toBe(true)
    expect(columnsOf(builders)).toEqual([
      [1, 2, null],
      ['x', null, null],
      [null, true, null],
    ])
  })

  test('wants a value where a column is never null', () => {
    for (const type of EVERY_TYPE) {
      const fields = [field('a', 'bool'), field('b', type, false)]
      const writer = new Writer(fields)
      for (const row of [{ a: true, b: null }, { a: true }, { a: true, b: undefined }]) {
        expect(writer.writeRow(newBuilders(fields), row)).toBe(false)
        expect(writer.writeRows(newBuilders(fields), [row], 0, 1)).toBe(false)
      }
    }
  })

  test('passes on what a getter throws, and works after it', () => {
    const bad = {
      get a(): number {
        throw new TypeError('boom')
      },
    }
    const writer = new Writer(FIELDS)
    const builders = newBuilders(FIELDS)
    expect(() => writer.writeRows(builders, [{ a: 1 }, bad], 0, 2)).toThrow('boom')
    expect(() => writer.writeRow(builders, bad)).toThrow('boom')
    for (const builder of builders) builder.truncate(0)
    expect(writer.writeRows(builders, [{ a: 1 }], 0, 1)).toBe(true)
    expect(columnsOf(builders)).toEqual([[1], [null], [null]])
  })

  test('takes rows of another log of the same shape while a getter of a record runs', () => {
    const fields = [field('a', 'utf8'), field('b', 'utf8')]
    const writer = new Writer(fields)
    expect(writer.writeRows(newBuilders(fields), [{ a: 'once before' }], 0, 1)).toBe(true)
    const [outer, inner] = [newBuilders(fields), newBuilders(fields)]
    const row = {
      a: 'outer',
      get b(): string {
        expect(writer.writeRows(inner, [{ a: 'inner' }, { b: 'inner too' }], 0, 2)).toBe(true)
        return 'also outer'
      },
    }
    expect(writer.writeRows(outer, [{ a: 'before' }, row, { b: 'after' }], 0, 3)).toBe(true)
    expect(columnsOf(outer)).toEqual([
      ['before', 'outer', null],
      [null, 'also outer', 'after'],
    ])
    expect(columnsOf(inner)).toEqual([
      ['inner', null],
      [null, 'inner too'],
    ])
  })

  test('takes as many rows at once as it says', () => {
    const rows = Array.from({ length: WRITTEN_ROWS_MAX }, (_, index) => ({ a: index }))
    const builders = newBuilders(FIELDS)
    expect(new Writer(FIELDS).writeRows(builders, rows, 0, rows.length)).toBe(true)
    expect(columnsOf(builders)[0]).toEqual(rows.map(({ a }) => a))
  })
})

test('schemas of the same columns share a writer', () => {
  expect(rowWriter(FIELDS)).toBe(rowWriter(FIELDS.map((one) => ({ ...one }))))
  expect(rowWriter(FIELDS)).not.toBe(rowWriter(FIELDS.map((one) => ({ ...one, nullable: false }))))
})

test('names that every object inherits have no writer', () => {
  expect(rowWriter([field('a', 'bool'), field('toString', 'utf8')])).toBeNull()
  expect(rowWriter([field('__proto__', 'utf8')])).toBeNull()
  expect(rowWriter([])).toBeNull()
})

test('very many columns have a writer without generated code', () => {
  const fields = Array.from({ length: 300 }, (_, index) => field(`c${index}`, 'int32'))
  const builders = newBuilders(fields)
  const writer = present(rowWriter(fields), 'a writer')
  expect(writer).toBeInstanceOf(ClosureRowWriter)
  expect(writer.writeRow(builders, { c299: 5 })).toBe(true)
  expect(columnsOf(builders)[299]).toEqual([5])
})

test('where code generation is forbidden, rows are written all the same', () => {
  const script = `
    import { rowWriter } from ${JSON.stringify(new URL('../../../src/format/row-writer.ts', import.meta.url).href)}
    console.log(rowWriter([{ name: 'a', type: 'utf8', nullable: true }]).constructor.name)`
  const flags = ['--disallow-code-generation-from-strings', '--input-type=module']
  const printed = execFileSync(process.execPath, [...flags, '--eval', script], { encoding: 'utf8' })
  expect(printed.trim()).toBe('ClosureRowWriter')
})
