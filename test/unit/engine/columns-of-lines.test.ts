import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ColumnsOfLines } from '../../../src/engine/columns-of-lines.ts'
import { parseJsonRecord } from '../../../src/engine/json-record.ts'
import { createColumnBuilder } from '../../../src/format/column-builder.ts'
import { columnReader } from '../../../src/format/column-values.ts'
import type { ColumnData } from '../../../src/format/column.ts'
import { HEAP_BUFFERS } from '../../../src/format/growing-column.ts'
import { lineScanner } from '../../../src/format/line-scanner.ts'
import { rowWriter } from '../../../src/format/row-writer.ts'
import type { ColumnType, Field } from '../../../src/format/schema.ts'

const column = (name: string, type: ColumnType, nullable = true): Field => ({
  name,
  type,
  nullable,
})

/** Every kind of column that a scanner writes, some under names that need care. */
const FIELDS: readonly Field[] = [
  column('at', 'timestamp[ms]'),
  column('us', 'timestamp[us]'),
  column('day', 'date'),
  column('i8', 'int8'),
  column('u16', 'uint16'),
  column('i32', 'int32'),
  column('u32', 'uint32'),
  column('i64', 'int64'),
  column('u64', 'uint64'),
  column('f32', 'float32'),
  column('f64', 'float64'),
  column('is', 'bool'),
  column('text', 'utf8'),
  column('word', 'utf8'),
  column('i', 'int32'),
  column('größe 😀', 'float64'),
]
const STRICT: readonly Field[] = [
  column('i32', 'int32', false),
  column('text', 'utf8', false),
  column('is', 'bool', false),
]

type Columns = ReadonlyArray<readonly unknown[]> | null

function valuesOf(columns: readonly ColumnData[]): Columns {
  return columns.map((each) => {
    const read = columnReader(each)
    return Array.from({ length: each.length }, (_, row) => read(row))
  })
}

const quick = (bytes: Uint8Array, fields: readonly Field[]): Columns => {
  const parsed = new ColumnsOfLines(fields).parse(new Uint8Array(bytes), HEAP_BUFFERS)
  return parsed === null ? null : valuesOf(parsed.records.columns)
}

/** By `JSON.parse`, a line after the other, and what rows are written with. */
function ordinary(bytes: Uint8Array, fields: readonly Field[]): Columns {
  if (!isUtf8(bytes)) return null
  const rows: object[] = []
  for (const line of Buffer.from(bytes).toString().split('\n')) {
    if (line.trim() === '') continue
    const parsed = parseJsonRecord(line)
    if (!('record' in parsed)) return null
    rows.push(parsed.record)
  }
  const builders = fields.map(({ type }) => createColumnBuilder(type, HEAP_BUFFERS))
  const isTaken = rows.every((row) => rowWriter(fields)?.writeRow(builders, row) === true)
  if (!isTaken || rows.length === 0) return null
  return valuesOf(builders.map((builder) => builder.slice(0, rows.length)))
}

const NUMBERS = [
  ...['0', '-0', '-0.0', '0e5', '1', '-1', '127', '128', '-128', '65535', '65536', '1.0', '10.50'],
  ...['2147483647', '2147483648', '-2147483648', '-2147483649', '4294967295', '4294967296'],
  ...['999999999999999', '9999999999999999', '123456789.123456', '0.123456789012345', '-0.1'],
  ...['9007199254740991', '-9007199254740991', '9007199254740992', '9007199254740993'],
  ...['-9007199254740993', '18446744073709551615', '18446744073709551616', '8640000000000000'],
  ...['0.1', '0.30000000000000004', '0.12345678901234567890', '123456789012345678901234567890'],
  ...[
    '1e5',
    '1E+5',
    '1e-7',
    '-1e-400',
    '1e400',
    '5e-324',
    '1.7976931348623157e308',
    '1e22',
    '1e23',
  ],
]
const NO_NUMBERS = ['01', '-01', '1.', '.5', '+1', '-', '1e', '1e+', '--1', '0x10', '1_0', '00']
const NO_VALUES = [
  'NaN',
  'Infinity',
  '-Infinity',
  'undefined',
  'nul',
  'tru',
  'True',
  '',
  "'a'",
  'nullx',
]
const TEXTS = [
  ...['""', '"a"', '"view"', '"größe"', '"😀"', '"\u2028"', '"\u007f"', '"\uFEFF"', '"a b,c:d}"'],
  ...[
    String.raw`"\n\t\r\b\f\/\\\""`,
    String.raw`"\u0041\u00e9\u20ac\u0000"`,
    String.raw`"\\u0041"`,
  ],
  ...[String.raw`"\ud83d\ude00x"`, String.raw`"\uD83D\uDE00"`, String.raw`"abcdefgh\\"`],
  ...['"2026-01-01"', '"2026-01-01T10:00:00Z"', '"2026-01-01T10:00:00.123456+02:00"', '"12"'],
]
const NO_TEXTS = [
  ...[String.raw`"\ud83d"`, String.raw`"\ude00\ud83d"`, String.raw`"\ud83d\u0041"`, '"\ud800"'],
  ...[
    String.raw`"\x41"`,
    String.raw`"\u00g0"`,
    String.raw`"\u12"`,
    '"a\tb"',
    '"\u0000"',
    '"a',
    '"\\"',
  ],
]
const NESTED = ['{}', '[]', '{"i32":1}', '[1,2]', '{"a":"}"}', '[', '{']
const LONG = fc.string({ unit: 'grapheme', minLength: 30, maxLength: 90 })

const VALUE = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...NUMBERS) },
  { weight: 4, arbitrary: fc.constantFrom(...TEXTS) },
  { weight: 4, arbitrary: fc.constantFrom('null', 'true', 'false') },
  { weight: 4, arbitrary: fc.double({ noNaN: true }).map(String) },
  { weight: 2, arbitrary: fc.integer().map(String) },
  {
    weight: 2,
    arbitrary: fc.oneof(fc.string({ unit: 'binary' }), LONG).map((text) => JSON.stringify(text)),
  },
  { weight: 1, arbitrary: fc.constantFrom(...NO_NUMBERS, ...NO_VALUES, ...NO_TEXTS, ...NESTED) },
)
/** What a column takes, as a rule. */
const FITTING: Readonly<Record<string, fc.Arbitrary<string>>> = {
  text: fc.oneof(
    fc.constantFrom(...TEXTS),
    LONG.map((text) => JSON.stringify(text)),
  ),
  word: fc.constantFrom('"view"', '"größe"', String.raw`"\u0061"`, '"a"', 'null'),
  f64: fc.oneof(fc.constantFrom(...NUMBERS), fc.double({ noNaN: true }).map(String)),
  f32: fc.constantFrom('1.5', '0.1', '1e39', 'null'),
  i64: fc.oneof(fc.maxSafeInteger().map(String), fc.constantFrom('-0', 'null', '1e3')),
  at: fc.oneof(
    fc.nat().map(String),
    fc.constantFrom('"2026-01-01T10:00:00Z"', '1.5', '-0', 'null'),
  ),
  us: fc.constantFrom('1', '"2026-01-01T10:00:00.123456Z"', 'null'),
  day: fc.constantFrom('"2026-01-01"', 'null'),
  is: fc.constantFrom('true', 'false', 'null'),
}
const WHOLE = fc.constantFrom('0', '1', '100', '1e2', '5.0', 'null')
interface Entry {
  readonly key: string
  readonly value: string
}

const fitting = ({ name }: Field): fc.Arbitrary<Entry> =>
  (FITTING[name] ?? WHOLE).map((value) => ({ key: JSON.stringify(name), value }))

/** A value that the column may not take, or a key of none. */
const odd = (fields: readonly Field[]): fc.Arbitrary<Entry> =>
  fc.record({
    key: fc.oneof(
      fc.constantFrom(...fields.map(({ name }) => JSON.stringify(name))),
      fc.constantFrom('"more"', '"__proto__"', '"toString"', String.raw`"\u0069"`),
      fc.constantFrom('i', "'i'", '"i', '""'),
    ),
    value: VALUE,
  })

/** All columns that need a value, some of the others, in any order. */
const entriesOf = (fields: readonly Field[]): fc.Arbitrary<readonly Entry[]> => {
  const needed = fields.filter(({ nullable }) => !nullable).length
  return fc
    .tuple(
      fc.shuffledSubarray([...fields], {
        minLength: needed,
        maxLength: Math.min(fields.length, 8),
      }),
      fc.oneof(
        { weight: 8, arbitrary: fc.constant([]) },
        { weight: 1, arbitrary: fc.tuple(odd(fields)) },
      ),
    )
    .chain(([chosen, others]) =>
      fc.tuple(...chosen.map(fitting)).map((entries) => [...entries, ...others]),
    )
}
const often = <T>(usual: T, ...others: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof(
    { weight: 40, arbitrary: fc.constant(usual) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  )
const SPACE = fc.oneof(
  { weight: 40, arbitrary: fc.constantFrom('', '', ' ', '\t', '  ', '\r') },
  { weight: 1, arbitrary: fc.constantFrom('\u00a0', '\f', '\u0000', '\uFEFF', '\n') },
)
const lineOf = (fields: readonly Field[]): fc.Arbitrary<string> =>
  fc.oneof(
    {
      weight: 30,
      arbitrary: fc
        .record({
          entries: entriesOf(fields),
          spaces: fc.array(SPACE, { minLength: 12, maxLength: 12 }),
          marks: fc.tuple(
            often('{', '[', '', '\uFEFF{'),
            often(':', '', '=', '::'),
            often(',', ';', ' ', ',,'),
            often('}', ']', '', ',}', '} x', '}}'),
          ),
        })
        .map(({ entries, spaces, marks: [open, colon, comma, end] }) => {
          const space = (index: number): string => spaces[index % spaces.length] ?? ''
          const inside = entries
            .map(
              ({ key, value }, index) =>
                `${space(index)}${key}${space(index + 1)}${colon}${space(index + 2)}${value}${space(index + 3)}`,
            )
            .join(comma)
          return `${space(0)}${open}${inside}${space(5)}${end}${space(7)}`
        }),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom('', ' ', '\r', '\u00a0', '\uFEFF', 'x', '1', 'null', '[]'),
    },
  )
const linesOf = (fields: readonly Field[]): fc.Arbitrary<Buffer> =>
  fc
    .record({
      lines: fc.array(lineOf(fields), { minLength: 1, maxLength: 4 }),
      end: fc.constantFrom('\n', '\n', '\n', '', '\r\n', '\n\n'),
      broken: often(-1, 0, 3, 10, 20, 40),
    })
    .map(({ lines, end, broken }) => {
      const bytes = Buffer.from(lines.join('\n') + end)
      if (broken >= 0 && broken < bytes.length) bytes[broken] = 0xff
      return bytes
    })

describe('lines that are scanned', () => {
  test.each([
    ['any columns', FIELDS],
    ['columns without nulls', STRICT],
  ])('are what JSON.parse makes of them: %s', (_name, fields) => {
    let taken = 0
    fc.assert(
      fc.property(linesOf(fields), (bytes) => {
        const expected = ordinary(bytes, fields)
        if (expected !== null) taken++
        expect(quick(bytes, fields)).toEqual(expected)
      }),
      { numRuns: 1_000 },
    )

    expect(taken).toBeGreaterThan(100)
  })

  test('are what JSON.parse makes of them: each value in each column', () => {
    const values = [
      NUMBERS,
      NO_NUMBERS,
      NO_VALUES,
      TEXTS,
      NO_TEXTS,
      NESTED,
      'null',
      'true',
      'false',
    ]
    for (const value of values.flat()) {
      for (const { name } of FIELDS) {
        const bytes = Buffer.from(`{${JSON.stringify(name)}:${value}}\n`)
        expect(quick(bytes, FIELDS), String(bytes)).toEqual(ordinary(bytes, FIELDS))
      }
    }
  })

  test('have the numbers that JSON.parse makes of their digits', () => {
    const digits = (max: number): fc.Arbitrary<string> =>
      fc.string({ unit: fc.nat(9).map(String), minLength: 1, maxLength: max })
    const number = fc
      .tuple(fc.nat(10 ** 6), digits(18), fc.option(fc.integer({ min: -30, max: 30 })))
      .map(
        ([whole, rest, exponent]) => `${whole}.${rest}${exponent === null ? '' : `e${exponent}`}`,
      )
    fc.assert(
      fc.property(fc.array(number, { minLength: 50, maxLength: 50 }), (numbers) => {
        const bytes = Buffer.from(numbers.map((text) => `{"f64":${text}}\n`).join(''))
        expect(quick(bytes, [column('f64', 'float64')])).toEqual([
          numbers.map((text) => JSON.parse(text) as number),
        ])
      }),
      { numRuns: 50 },
    )
  })

  const scanned = (line: string, fields: readonly Field[] = FIELDS): number => {
    const scanner = lineScanner(fields)
    const bytes = new Uint8Array(Buffer.from(`${line}\n`))
    const builders = fields.map(({ type }) => createColumnBuilder(type, HEAP_BUFFERS))
    scanner?.open(bytes)
    return scanner?.scan(builders, 0) === bytes.length ? (builders[0]?.length ?? 0) : 0
  }
  test('need no JSON.parse where they are flat records of what their columns take', () => {
    for (const line of [
      '{}',
      '{"i32":1,"text":"a"}',
      ' { "text" : "größe 😀" , "i32" : -1 } \r',
      '{"größe 😀":1.25,"f64":-0,"i64":9007199254740991,"is":true,"i8":null,"u64":1}',
      '{"f64":0.30000000000000004,"f32":1e-3}',
      String.raw`{"text":"line\n\"two\" \u20ac \ud83d\ude00","word":"\\"}`,
      '{"at":"2026-01-01T10:00:00Z","us":"2026-01-01T10:00:00.123456Z","day":"2026-01-01"}',
    ])
      expect(scanned(line), line).toBe(1)
  })

  test('are left alone where they are not', () => {
    for (const line of [
      '',
      '[]',
      '{"i32":1,"i32":2}',
      '{"i32":1,}',
      '{"i32":1}x',
      '{"i32":01}',
      '{"i32":-0}',
      '{"i32":2147483648}',
      '{"f64":9007199254740993}',
      '{"more":1}',
      '{"text":{}}',
      String.raw`{"text":"\ud800"}`,
      String.raw`{"\u0069":1}`,
    ])
      expect(scanned(line), line).toBe(0)
    expect(scanned('{"i32":1,"text":"a"}', STRICT)).toBe(0)
    expect(scanned('{"i32":1,"text":null,"is":true}', STRICT)).toBe(0)
  })

  test('are not scanned for columns whose names or types need more', () => {
    expect(lineScanner([])).toBeNull()
    for (const name of ['a"b', 'a\\b', 'a\nb', '\ud800', 'toString', '__proto__'])
      expect(lineScanner([column(name, 'int32')]), name).toBeNull()
    for (const type of [
      'json',
      'binary',
      'list<int32>',
      'struct<a:int32>',
      'decimal(9,2)',
    ] as const)
      expect(lineScanner([column('a', type)]), type).toBeNull()
    const many = Array.from({ length: 65 }, (_, index) => column(`c${index}`, 'int32'))
    expect(lineScanner(many)).toBeNull()
    expect(lineScanner(many.slice(1))).not.toBeNull()
  })
})

test('many lines, some with escapes and some that are parsed, come in their order', () => {
  const lines = Array.from({ length: 3_000 }, (_, index) =>
    index % 7 === 0
      ? `{"i32":1e${index % 9},"text":"by itself ${index}","word":"w${index % 5}"}`
      : index % 5 === 0
        ? String.raw`{"text":"\"${index}\" ${'x'.repeat(index % 70)}","i32":${index}}`
        : `{"i32":${index},"text":"${'ü'.repeat(index % 40)}","word":"w${index % 3}","is":${index % 2 === 0}}`,
  )
  const bytes = Buffer.from(lines.join('\n'))
  const columns = quick(bytes, FIELDS)
  expect(columns?.[0]?.length).toBe(3_000)
  expect(columns).toEqual(ordinary(bytes, FIELDS))
})
