import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ColumnData } from '../../../src/format/column.ts'
import { type ColumnType, type Schema, columnLayout } from '../../../src/format/schema.ts'
import {
  appendPayloadBytes,
  appendPayloadSchemaId,
  decodeAppendPayload,
  decodeSchemaPayload,
  encodeSchemaPayload,
  writeAppendPayload,
} from '../../../src/format/wal-payload.ts'

/** A value as bytes of its own; null for a null; a bool as true or false. Independent of what is under test. */
type Value = Uint8Array | boolean | null

interface TestColumn {
  readonly type: ColumnType
  readonly values: readonly Value[]
  /** Bytes before the first value. */
  readonly lead: number
  /** Of what width the codes of strings are that go through a dictionary; null for those that do not. */
  readonly codeBytes: 1 | 4 | null
}

const TYPES: readonly ColumnType[] = [
  'bool',
  'int8',
  'int16',
  'int32',
  'int64',
  'float64',
  'decimal(30,4)',
  'utf8',
  'json',
  'binary',
  'date',
]
const GARBAGE = 0xa5

const anyColumn = (rows: number): fc.Arbitrary<TestColumn> =>
  fc.constantFrom(...TYPES).chain((type) => {
    const layout = columnLayout(type)
    const width = layout.kind === 'fixed' ? layout.byteWidth : 0
    const present: fc.Arbitrary<Value> =
      layout.kind === 'bits'
        ? fc.boolean()
        : layout.kind === 'fixed'
          ? fc.uint8Array({ minLength: width, maxLength: width })
          : fc.oneof(
              fc.constantFrom('', 'a', 'bc').map((text) => new TextEncoder().encode(text)),
              fc.uint8Array({ maxLength: 60 }),
            )
    return fc.record({
      type: fc.constant(type),
      values: fc.array(fc.option(present, { freq: 4 }), { minLength: rows, maxLength: rows }),
      lead: fc.nat({ max: 9 }),
      codeBytes: type === 'utf8' ? fc.constantFrom(1, 4, null) : fc.constant(null),
    })
  })

const anyRows = fc.nat({ max: 40 }).chain((rows) =>
  fc.record({
    columns: fc.array(anyColumn(rows), { maxLength: 5 }),
    range: fc
      .tuple(fc.nat({ max: rows }), fc.nat({ max: rows }))
      .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const),
  }),
)

describe('the payload of an append', () => {
  test('comes back with the values of its rows, for every type, nulls, slices and dictionaries', () => {
    fc.assert(
      fc.property(anyRows, ({ columns, range: [start, end] }) => {
        const payload = encode(columns.map(buildColumn), start, end)
        const decoded = decodeAppendPayload(payload, schemaOf(columns))
        expect(decoded.rowCount).toBe(end - start)
        for (const [index, column] of columns.entries()) {
          const got = decoded.columns[index]
          if (got === undefined) throw new Error('every column comes back')
          expect(readValues(got)).toEqual(column.values.slice(start, end))
          expect(got.nullCount).toBe(
            column.values.slice(start, end).filter((value) => value === null).length,
          )
        }
      }),
      { numRuns: 500 },
    )
  })

  test('shares the memory of the frame that it was read from', () => {
    const column = buildColumn({
      type: 'int64',
      values: [new Uint8Array(8).fill(3)],
      lead: 0,
      codeBytes: null,
    })
    const payload = encode([column], 0, 1)
    const decoded = decodeAppendPayload(payload, schemaOf([{ type: 'int64' }]))
    expect(decoded.columns[0]?.values.buffer).toBe(payload.buffer)
  })

  test('is the same bytes whatever lay in the memory that it was written into', () => {
    fc.assert(
      fc.property(anyRows, ({ columns, range: [start, end] }) => {
        const built = columns.map(buildColumn)
        const bytes = appendPayloadBytes(built, start, end)
        const over = new Uint8Array(bytes + 16).fill(GARBAGE)
        expect(writeAppendPayload(over, 8, 5, built, start, end)).toBe(8 + bytes)
        expect(over.slice(8, 8 + bytes)).toEqual(encode(built, start, end))
        expect(
          [...over.slice(0, 8), ...over.slice(8 + bytes)].every((byte) => byte === GARBAGE),
        ).toBe(true)
      }),
    )
  })

  test('has zeros behind the last bit of a bitmap, as it has in every padding', () => {
    const column = buildColumn({
      type: 'bool',
      values: [null, true, true, true, true],
      lead: 0,
      codeBytes: null,
    })
    const payload = encode([column], 1, 3)
    expect([...payload.slice(24)]).toEqual([0b11, 0, 0, 0, 0, 0, 0, 0, 0b11, 0, 0, 0, 0, 0, 0, 0])
  })

  test('is written into shared memory as into any other', () => {
    const column = buildColumn({
      type: 'utf8',
      values: [new Uint8Array(100).fill(1), null],
      lead: 3,
      codeBytes: null,
    })
    const shared = new Uint8Array(new SharedArrayBuffer(1024))
    const end = writeAppendPayload(shared, 64, 5, [column], 0, 2)
    expect(Uint8Array.from(shared.subarray(64, end))).toEqual(encode([column], 0, 2))
  })

  test('is refused at every other length', () => {
    const { payload, schema } = sample()
    for (let length = 0; length < payload.length; length++) {
      expect(
        () => decodeAppendPayload(payload.slice(0, length), schema),
        `length ${length}`,
      ).toThrow(expect.objectContaining({ code: 'wal_corrupt' }))
    }
    const longer = new Uint8Array(payload.length + 8)
    longer.set(payload)
    expect(() => decodeAppendPayload(longer, schema)).toThrow(/more than its columns/)
  })

  test('with any bit flipped is refused or stays inside its bounds', () => {
    const { payload, schema } = sample()
    for (let bit = 0; bit < payload.length * 8; bit++) {
      const flipped = payload.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      try {
        for (const column of decodeAppendPayload(flipped, schema).columns) readValues(column)
      } catch (error) {
        expect(error).toMatchObject({ code: 'wal_corrupt' })
      }
    }
  })

  test('is refused with offsets that fall anywhere, also through the end of int32', () => {
    const values = ['a', 'b', '', 'c'].map((text) => new TextEncoder().encode(text))
    const column = buildColumn({ type: 'utf8', values, lead: 0, codeBytes: null })
    const bytes = new Uint8Array(appendPayloadBytes([column], 0, 4))
    writeAppendPayload(bytes, 0, 0, [column], 0, 4)
    const schema: Schema = { id: 0, fields: [{ name: 'text', type: 'utf8', nullable: true }] }
    const offsets = new Int32Array(bytes.buffer, 24, 5)
    expect([...offsets]).toEqual([0, 1, 2, 2, 3])
    const good = [
      [0, 0, 0, 0, 3],
      [0, 3, 3, 3, 3],
    ]
    for (const each of good) {
      offsets.set(each)
      expect(decodeAppendPayload(bytes, schema).rowCount).toBe(4)
    }
    const bad = [
      [0, 2, 1, 2, 3],
      [0, 4, 3, 3, 3],
      [0, -1, 2, 2, 3],
      [0, 2 ** 31 - 1, -(2 ** 31), -5, 3],
      [1, 1, 2, 2, 3],
      [0, 1, 2, 2, 2],
    ]
    for (const each of bad) {
      offsets.set(each)
      expect(() => decodeAppendPayload(bytes, schema)).toThrow(
        expect.objectContaining({ code: 'wal_corrupt' }),
      )
    }
  })

  test('is refused under another schema', () => {
    const { payload, schema } = sample()
    expect(appendPayloadSchemaId(payload)).toBe(5)
    expect(() => decodeAppendPayload(payload, { ...schema, id: 6 })).toThrow(/schema 5, not 6/)
    expect(() =>
      decodeAppendPayload(payload, { ...schema, fields: schema.fields.slice(1) }),
    ).toThrow(/columns/)
    const strict = schema.fields.map((field) => ({ ...field, nullable: false }))
    expect(() => decodeAppendPayload(payload, { ...schema, fields: strict })).toThrow(/has nulls/)
  })

  test('takes 8 bytes a column and the padded buffers beside its 16 of header', () => {
    const column = buildColumn({
      type: 'int32',
      values: [new Uint8Array(4)],
      lead: 0,
      codeBytes: null,
    })
    expect(appendPayloadBytes([column, column], 0, 1)).toBe(16 + 2 * 8 + 2 * 8)
  })
})

describe('the payload of a schema', () => {
  const schema: Schema = {
    id: 3,
    fields: [
      { name: 'a', type: 'int64', nullable: false },
      { name: 'größe', type: 'decimal(12,2)', nullable: true },
    ],
  }

  test('comes back as it was written', () => {
    expect(decodeSchemaPayload(encodeSchemaPayload(schema))).toEqual(schema)
  })

  test('is refused at every shorter length', () => {
    const payload = encodeSchemaPayload(schema)
    for (let length = 0; length < payload.length; length++) {
      expect(() => decodeSchemaPayload(payload.slice(0, length))).toThrow(
        expect.objectContaining({ code: 'wal_corrupt' }),
      )
    }
  })

  test.each([
    ['an unknown type', '{"id":1,"fields":[{"name":"a","type":"int7","nullable":true}]}'],
    ['a field too many', '{"id":1,"fields":[],"more":1}'],
    ['an id that is no number', '{"id":"1","fields":[]}'],
  ])('is refused with %s', (_, json) => {
    expect(() => decodeSchemaPayload(Buffer.from(json))).toThrow(
      expect.objectContaining({ code: 'wal_corrupt' }),
    )
  })
})

function sample(): { payload: Uint8Array; schema: Schema } {
  const text = (value: string): Uint8Array => new TextEncoder().encode(value)
  const columns: TestColumn[] = [
    {
      type: 'utf8',
      values: [text('one'), null, text('three'), text('')],
      lead: 2,
      codeBytes: null,
    },
    { type: 'bool', values: [true, false, null, true], lead: 0, codeBytes: null },
    {
      type: 'int32',
      values: [1, 2, 3, 4].map((value) => new Uint8Array([value, 0, 0, 0])),
      lead: 0,
      codeBytes: null,
    },
    { type: 'utf8', values: [text('a'), text('b'), null, text('a')], lead: 1, codeBytes: 4 },
  ]
  return { payload: encode(columns.map(buildColumn), 0, 4), schema: schemaOf(columns) }
}

function encode(columns: readonly ColumnData[], start: number, end: number): Uint8Array {
  const bytes = new Uint8Array(appendPayloadBytes(columns, start, end))
  expect(writeAppendPayload(bytes, 0, 5, columns, start, end)).toBe(bytes.length)
  return bytes
}

function schemaOf(columns: readonly { readonly type: ColumnType }[]): Schema {
  return {
    id: 5,
    fields: columns.map(({ type }, index) => ({ name: `c${index}`, type, nullable: true })),
  }
}

/** Arrow's layout from values, with garbage under nulls and around what counts. */
function buildColumn(column: TestColumn): ColumnData {
  const { type, values } = column
  const length = values.length
  const nullCount = values.filter((value) => value === null).length
  const validity = nullCount === 0 ? null : bitmap(values.map((value) => value !== null))
  const shared = { type, length, nullCount, validity }
  const layout = columnLayout(type)
  if (layout.kind === 'bits') {
    return {
      ...shared,
      offsets: null,
      values: bitmap(values.map((value) => value !== false)),
      dictionary: null,
    }
  }
  if (layout.kind === 'fixed') {
    const bytes = new Uint8Array(length * layout.byteWidth).fill(GARBAGE)
    for (const [row, value] of values.entries())
      if (value instanceof Uint8Array) bytes.set(value, row * layout.byteWidth)
    return { ...shared, offsets: null, values: bytes, dictionary: null }
  }
  if (column.codeBytes === null)
    return { ...shared, ...variable(values, column.lead), dictionary: null }
  const words: Uint8Array[] = []
  const codes = values.map((value) => {
    if (!(value instanceof Uint8Array)) return -1
    const known = words.findIndex((word) => Buffer.compare(word, value) === 0)
    return known >= 0 ? known : words.push(value) - 1
  })
  const dictionary = {
    type,
    length: words.length,
    nullCount: 0,
    validity: null,
    ...variable(words, column.lead),
    dictionary: null,
  }
  // Under a null lies a code that the dictionary just does not have.
  const given = codes.map((code) => (code < 0 ? words.length : code))
  const bytes =
    column.codeBytes === 1 ? Uint8Array.from(given) : new Uint8Array(Int32Array.from(given).buffer)
  return { ...shared, offsets: null, values: bytes, dictionary }
}

function variable(
  values: readonly Value[],
  lead: number,
): { offsets: Int32Array; values: Uint8Array } {
  const offsets = new Int32Array(values.length + 1)
  const bytes: number[] = Array.from({ length: lead }, () => GARBAGE)
  offsets[0] = lead
  for (const [row, value] of values.entries()) {
    bytes.push(...(value instanceof Uint8Array ? value : [GARBAGE]))
    offsets[row + 1] = bytes.length
  }
  return { offsets, values: Uint8Array.from([...bytes, GARBAGE]) }
}

/** Bits after the last are garbage, as Arrow allows. */
function bitmap(bits: readonly boolean[]): Uint8Array {
  const bytes = new Uint8Array((bits.length >> 3) + 1).fill(0xff)
  for (const [index, bit] of bits.entries())
    if (!bit) bytes[index >> 3] = (bytes[index >> 3] ?? 0) & ~(1 << (index & 7))
  return bytes
}

function readValues(column: ColumnData): Value[] {
  const layout = columnLayout(column.type)
  const bit = (bits: Uint8Array, row: number): boolean =>
    (((bits[row >> 3] ?? 0) >> (row & 7)) & 1) === 1
  return Array.from({ length: column.length }, (_, row) => {
    if (column.validity !== null && !bit(column.validity, row)) return null
    if (layout.kind === 'bits') return bit(column.values, row)
    if (layout.kind === 'fixed')
      return column.values.slice(row * layout.byteWidth, (row + 1) * layout.byteWidth)
    if (column.dictionary !== null) return textAt(column.dictionary, column.values[row] ?? -1)
    return textAt(column, row)
  })
}

function textAt(column: ColumnData, row: number): Uint8Array {
  const from = column.offsets?.[row] ?? -1
  const to = column.offsets?.[row + 1] ?? -1
  if (from < 0 || to < from || to > column.values.length)
    throw new RangeError('an offset is out of bounds')
  return column.values.slice(from, to)
}
