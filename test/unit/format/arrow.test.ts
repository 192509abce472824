import * as arrow from 'apache-arrow'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import {
  type ArrowColumns,
  type ArrowInput,
  isArrowInput,
  readArrowInput,
} from '../../../src/format/arrow-input.ts'
import { parseArrowIpc } from '../../../src/format/arrow-ipc.ts'
import { encodeIpcStream, toArrowTable } from '../../../src/format/arrow-output.ts'
import { batchToRows, columnReader } from '../../../src/format/column-values.ts'
import type { Row } from '../../../src/format/schema-inference.ts'
import { arbitraryBatch, arbitraryType } from '../../support/arbitrary-columns.ts'
import { expectError } from '../../support/expect-error.ts'
import {
  cutBatch,
  sampleBatch,
  sampleSchema,
  withDictionary,
  writeSegment,
} from '../../support/sample-batches.ts'

function rowsOf(input: ArrowColumns): Row[] {
  const schema = { id: 0, fields: input.fields }
  return batchToRows({ ...input, schema, baseOffset: 0, appendTimeMin: 0, appendTimeMax: 0 })
}

function valuesOf(vector: arrow.Vector): unknown[] {
  const { columns, length } = readArrowInput(new arrow.Table({ value: vector }))
  const read = columns[0] === undefined ? () => undefined : columnReader(columns[0])
  return Array.from({ length }, (_, row) => read(row))
}

function typeOf(vector: arrow.Vector): string | undefined {
  return readArrowInput(new arrow.Table({ value: vector })).fields[0]?.type
}

/** One value of `depth` lists around each other, all empty. */
function deepLists(depth: number): arrow.Data {
  let data: arrow.Data = arrow.makeData({ type: new arrow.Int32(), data: new Int32Array(0) })
  for (let level = 0; level < depth; level++) {
    data = arrow.makeData({
      type: new arrow.List(arrow.Field.new('item', data.type)),
      length: level === depth - 1 ? 1 : 0,
      valueOffsets: new Int32Array(2),
      child: data,
    })
  }
  return data
}

function errorOf(work: () => unknown): StratalogError | null {
  try {
    work()
    return null
  } catch (error) {
    if (error instanceof StratalogError) return error
    throw error
  }
}

describe('an Arrow table', () => {
  test('of our records comes back as it was, through an IPC stream and through a segment', async () => {
    await fc.assert(
      fc.asyncProperty(
        arbitraryBatch(20, arbitraryType()),
        fc.array(fc.integer({ min: 1, max: 9 })),
        async ({ batch, rows }, lengths) => {
          const { fields } = batch.schema
          const table = await toArrowTable(fields, cutBatch(batch, lengths))
          const input = readArrowInput(table)
          expect(input.fields).toEqual(fields)
          expect(rowsOf(input)).toEqual(rows)
          const parts = await parseArrowIpc(writeSegment([batch]).bytes)
          expect(parts.flatMap(rowsOf)).toEqual(rows)
        },
      ),
      { numRuns: 100 },
    )
  })

  test('has the values that apache-arrow shows', async () => {
    const rows = [
      { text: 'a', number: 1, at: new Date(5) },
      { text: null, number: null, at: null },
      { text: 'ü', number: 2.5, at: new Date(-5) },
    ]
    const schema = sampleSchema({ text: 'utf8', number: 'float64', at: 'timestamp[ms]' })
    const batch = sampleBatch(schema, rows)
    const text = batch.columns[0]
    if (text === undefined) throw new Error('no column')
    const columns = batch.columns.with(0, withDictionary(text, ['a', null, 'ü']))
    const table = await toArrowTable(schema.fields, [{ columns, length: 3 }])
    expect(table.toArray().map((row) => ({ ...row.toJSON() }))).toEqual([
      { text: 'a', number: 1, at: 5 },
      { text: null, number: null, at: null },
      { text: 'ü', number: 2.5, at: -5 },
    ])
  })

  test('that was sliced is read from its first row on', () => {
    const numbers = arrow.vectorFromArray(
      [0, null, 2, 3, null, 5, 6, 7, 8, null],
      new arrow.Int16(),
    )
    const bools = arrow.vectorFromArray(
      [true, null, false, true, true, null, false, true, true, false],
      new arrow.Bool(),
    )
    const texts = arrow.vectorFromArray(
      ['a', null, 'c', 'd', 'e', null, 'g', 'h', 'i', 'j'],
      new arrow.Utf8(),
    )
    for (const vector of [numbers, bools, texts]) {
      for (const [start, end] of [
        [1, 4],
        [3, 10],
        [9, 10],
        [2, 2],
      ] as const) {
        expect(valuesOf(vector.slice(start, end)), `${String(vector.type)} ${start}`).toEqual([
          ...vector.slice(start, end),
        ])
      }
    }
  })

  test('of other Arrow types gets the column types that hold them', () => {
    const day = Date.UTC(2026, 0, 31)
    expect(typeOf(arrow.vectorFromArray(['x'], new arrow.LargeUtf8()))).toBe('utf8')
    expect(valuesOf(arrow.vectorFromArray(['x', null, 'yé'], new arrow.LargeUtf8()))).toEqual([
      'x',
      null,
      'yé',
    ])
    expect(
      valuesOf(arrow.vectorFromArray([new Date(day + 7)], new arrow.DateMillisecond())),
    ).toEqual([new Date(day + 7)])
    expect(valuesOf(arrow.vectorFromArray([new Date(day)], new arrow.DateDay()))).toEqual([
      new Date(day),
    ])
    expect(
      typeOf(arrow.vectorFromArray([new Date(1)], new arrow.TimestampMillisecond('Europe/Vienna'))),
    ).toBe('timestamp[ms]')
    const dictionary = arrow.vectorFromArray(
      ['a', 'b', null, 'a'],
      new arrow.Dictionary(new arrow.Utf8(), new arrow.Int8()),
    )
    expect(valuesOf(dictionary)).toEqual(['a', 'b', null, 'a'])
    expect(
      readArrowInput(new arrow.Table({ value: dictionary })).columns[0]?.dictionary,
    ).not.toBeNull()
  })

  test('with text and binary views is gathered into our layout', () => {
    const long = 'a text of more than twelve bytes'
    const views = new Uint8Array(48)
    const words = new Int32Array(views.buffer)
    words[0] = 5
    views.set(Buffer.from('short'), 4)
    words.set([long.length], 4)
    views.set(Buffer.from(long.slice(0, 4)), 20)
    words.set([0, 3], 6)
    words[8] = 1000
    const data = {
      type: new arrow.Utf8View(),
      length: 3,
      offset: 0,
      values: views,
      nullBitmap: Uint8Array.of(0b011),
      variadicBuffers: [Buffer.from(`...${long}`)],
    }
    const fields = [{ name: 'text', nullable: true }]
    const batch: ArrowInput = { schema: { fields }, data: { length: 3, children: [data] } }
    expect(rowsOf(readArrowInput(batch))).toEqual([
      { text: 'short' },
      { text: long },
      { text: null },
    ])
    const short = { ...data, variadicBuffers: [Buffer.from('...')] }
    const bad: ArrowInput = { schema: { fields }, data: { length: 3, children: [short] } }
    expect(errorOf(() => readArrowInput(bad))?.code).toBe('input_invalid')
  })

  test('leaves out columns that are nothing but Null', () => {
    const table = new arrow.Table({
      a: arrow.vectorFromArray([1, 2], new arrow.Int32()),
      b: arrow.vectorFromArray([null, null], new arrow.Null()),
    })
    expect(readArrowInput(table).fields.map((field) => field.name)).toEqual(['a'])
  })

  test('with a type that no column holds is refused with column and type', () => {
    const ofNothing = new arrow.List(arrow.Field.new('item', new arrow.Null()))
    const refused = (vector: arrow.Vector): string | undefined =>
      errorOf(() => readArrowInput(new arrow.Table({ c: vector })))?.message
    const time = arrow.vectorFromArray([1], new arrow.TimeMillisecond())
    const error = errorOf(() => readArrowInput(new arrow.Table({ at: time })))
    expect(error?.code).toBe('type_unsupported')
    const advice = 'cast it to an integer or to text'
    expect(error?.details).toEqual({ column: 'at', given: 'time of day', advice })
    expect(error?.message).toBe(
      `Column "at": no column type holds Arrow's time of day; ${advice} before it is appended.`,
    )
    expect(refused(arrow.vectorFromArray([[null]], ofNothing))).toContain(
      "Arrow's list of null inside of another type; cast it to a type",
    )
    expect(refused(arrow.vectorFromArray([1n], new arrow.DurationSecond()))).toContain('duration')
    expect(refused(arrow.makeVector(deepLists(9)))).toContain('make it less deep')
    expect(readArrowInput(new arrow.Table({ c: arrow.makeVector(deepLists(8)) })).length).toBe(1)
  })

  test('is told from other values by its shape', () => {
    expect(isArrowInput(arrow.tableFromArrays({ a: [1] }))).toBe(true)
    expect(isArrowInput(arrow.tableFromArrays({ a: [1] }).batches[0])).toBe(true)
    for (const value of [
      null,
      undefined,
      1,
      'x',
      [],
      {},
      { batches: 1 },
      { batches: [{}] },
      { schema: {}, data: {} },
    ]) {
      expect(isArrowInput(value)).toBe(false)
    }
  })
})

describe('Arrow data that lies', () => {
  const int32 = { typeId: 2, bitWidth: 32, isSigned: true }
  const utf8 = { typeId: 5 }
  const read = (data: object): ArrowColumns =>
    readArrowInput({
      schema: { fields: [{ name: 'c', nullable: true }] },
      data: { length: 4, children: [{ length: 4, offset: 0, ...data }] },
    })

  const text = Buffer.from('abcd')
  const offsets = Int32Array.of(0, 1, 2, 3, 4)
  const dictionaryOf = (values: object): object => ({
    data: [{ type: utf8, length: 2, offset: 0, ...values }],
  })
  const coded = {
    typeId: -1,
    dictionary: utf8,
    indices: { typeId: 2, bitWidth: 8, isSigned: true },
  }
  const listOfInts = { typeId: 12, children: [{ name: 'item', type: int32 }] }
  const structOfInts = { typeId: 13, children: [{ name: 'a', type: int32 }] }
  const three = { type: int32, length: 3, offset: 0, values: new Int32Array(3) }
  const twoTexts = { values: text, valueOffsets: Int32Array.of(0, 1, 2) }

  test.each([
    ['values that are too short', { type: int32, values: new Int32Array(3) }],
    ['no values', { type: int32 }],
    ['values that are no typed array', { type: int32, values: [1, 2, 3, 4] }],
    [
      'a bitmap that is too short for its offset',
      { type: int32, values: new Int32Array(4), nullBitmap: new Uint8Array(1), offset: 6 },
    ],
    [
      'a negative offset',
      { type: int32, values: new Int32Array(4), nullBitmap: new Uint8Array(1), offset: -1 },
    ],
    ['offsets that are too short', { type: utf8, values: text, valueOffsets: Int32Array.of(0, 1) }],
    [
      'offsets that descend',
      { type: utf8, values: text, valueOffsets: Int32Array.of(0, 3, 2, 3, 4) },
    ],
    [
      'offsets below zero',
      { type: utf8, values: text, valueOffsets: Int32Array.of(-1, 1, 2, 3, 4) },
    ],
    [
      'offsets beyond the values',
      { type: utf8, values: text, valueOffsets: Int32Array.of(0, 1, 2, 3, 5) },
    ],
    [
      'text that is not UTF-8',
      { type: utf8, values: Uint8Array.of(0xff, 1, 2, 3), valueOffsets: offsets },
    ],
    [
      'text that is cut inside a character',
      { type: utf8, values: Buffer.from('aéx'), valueOffsets: offsets },
    ],
    [
      'large offsets beyond int32',
      {
        type: { typeId: 20 },
        values: text,
        valueOffsets: BigInt64Array.of(0n, 1n, 2n, 3n, 2n ** 40n),
      },
    ],
    [
      'codes outside of the dictionary',
      { type: coded, values: Int8Array.of(0, 1, 2, 0), dictionary: dictionaryOf(twoTexts) },
    ],
    [
      'negative codes',
      { type: coded, values: Int8Array.of(0, 1, -1, 0), dictionary: dictionaryOf(twoTexts) },
    ],
    ['no dictionary', { type: coded, values: Int8Array.of(0, 1, 1, 0) }],
    ['no items', { type: listOfInts, valueOffsets: offsets }],
    [
      'list offsets beyond the items',
      { type: listOfInts, valueOffsets: offsets, children: [three] },
    ],
    [
      'list offsets that descend',
      { type: listOfInts, valueOffsets: Int32Array.of(0, 3, 2, 3, 3), children: [three] },
    ],
    [
      'list offsets below zero',
      { type: listOfInts, valueOffsets: Int32Array.of(-1, 0, 1, 2, 3), children: [three] },
    ],
    [
      'list offsets that are too short',
      { type: listOfInts, valueOffsets: Int32Array.of(0, 1), children: [three] },
    ],
    [
      'items that are too short',
      {
        type: listOfInts,
        valueOffsets: Int32Array.of(0, 1, 2, 3, 3),
        children: [{ ...three, values: new Int32Array(2) }],
      },
    ],
    [
      'fewer items than lists of a fixed size need',
      { type: { ...listOfInts, typeId: 16, listSize: 1 }, children: [three] },
    ],
    [
      'lists of an impossible fixed size',
      { type: { ...listOfInts, typeId: 16, listSize: 2 ** 30 }, children: [three] },
    ],
    ['fields that are shorter than their struct', { type: structOfInts, children: [three] }],
    ['fields that are missing', { type: structOfInts, children: [] }],
    ['binary of an impossible fixed size', { type: { typeId: 15, byteWidth: -1 }, values: text }],
    [
      'binary of a fixed size that is too short',
      { type: { typeId: 15, byteWidth: 2 }, values: text },
    ],
    [
      'halves that are too short',
      { type: { typeId: 3, precision: 0 }, values: new Uint16Array(3) },
    ],
    ['another length than its batch', { type: int32, values: new Int32Array(4), length: 3 }],
  ])('with %s is refused', (_, data) => {
    expect(errorOf(() => read(data))?.code).toBe('input_invalid')
  })

  test('with nulls in its dictionary has null rows', () => {
    const dictionary = dictionaryOf({ ...twoTexts, nullBitmap: Uint8Array.of(0b01) })
    const input = read({ type: coded, values: Int8Array.of(0, 1, 0, 1), dictionary })
    expect(rowsOf(input).map((row) => row['c'])).toEqual(['a', null, 'a', null])
  })

  test.each([
    [8, true, Int8Array.of(0, 1, 99, 1)],
    [8, false, Uint8Array.of(0, 1, 255, 1)],
    [16, true, Int16Array.of(0, 1, -1, 1)],
    [16, false, Uint16Array.of(0, 1, 0xffff, 1)],
    [32, true, Int32Array.of(0, 1, -(2 ** 31), 1)],
    [32, false, Uint32Array.of(0, 1, 2 ** 32 - 1, 1)],
    [64, true, BigInt64Array.of(0n, 1n, -1n, 1n)],
    [64, false, BigUint64Array.of(0n, 1n, 2n ** 32n, 1n)],
  ])('has codes of %s bits, signed: %s, that may be anything under a null', (...given) => {
    const [bitWidth, isSigned, values] = given
    const type = { ...coded, indices: { typeId: 2, bitWidth, isSigned } }
    const column = { type, values, dictionary: dictionaryOf(twoTexts) }
    expect(errorOf(() => read(column))?.code).toBe('input_invalid')
    const input = read({ ...column, nullBitmap: Uint8Array.of(0b1011) })
    expect(rowsOf(input).map((row) => row['c'])).toEqual(['a', 'b', null, 'b'])
    const inOrder = read({ ...column, values: values.with(2, values[0] as never) as never })
    expect(rowsOf(inOrder).map((row) => row['c'])).toEqual(['a', 'b', 'a', 'b'])
  })

  test('with a name that comes twice is refused, among few and among many', () => {
    const column = { type: int32, length: 1, offset: 0, values: new Int32Array(1) }
    for (const count of [2, 100]) {
      const names = Array.from({ length: count }, (_, index) => `c${index}`)
      const table = (fieldNames: readonly string[]): ArrowInput => ({
        schema: { fields: fieldNames.map((name) => ({ name, nullable: true })) },
        data: { length: 1, children: fieldNames.map(() => column) },
      })
      expect(readArrowInput(table(names)).fields.map(({ name }) => name)).toEqual(names)
      const twice = table(names.with(count - 1, 'c0'))
      expect(errorOf(() => readArrowInput(twice))?.code).toBe('schema_invalid')
    }
  })
})

describe('Arrow IPC bytes', () => {
  test('by apache-arrow are read, as file and as stream', async () => {
    const table = arrow.tableFromArrays({ number: Int32Array.of(1, 2, 3), text: ['a', 'b', 'a'] })
    for (const format of ['file', 'stream'] as const) {
      const parts = await parseArrowIpc(arrow.tableToIPC(table, format))
      expect(parts.flatMap(rowsOf)).toEqual([
        { number: 1, text: 'a' },
        { number: 2, text: 'b' },
        { number: 3, text: 'a' },
      ])
    }
  })

  test('that are none are refused', async () => {
    for (const bytes of [
      Buffer.from('no arrow at all, but text'),
      new Uint8Array(100).fill(0xff),
    ]) {
      await expectError(parseArrowIpc(bytes), 'input_invalid')
    }
    const bytes = arrow.tableToIPC(
      arrow.tableFromArrays({ number: Int32Array.of(1, 2, 3) }),
      'stream',
    )
    for (const length of [0, 4, 100, bytes.length - 20]) {
      await expectError(parseArrowIpc(bytes.slice(0, length)), 'input_invalid')
    }
  })

  test('of our stream writer end as a stream ends', () => {
    const batch = sampleBatch(sampleSchema({ a: 'int32' }), [{ a: 1 }])
    const bytes = Buffer.concat([...encodeIpcStream(batch.schema.fields, [batch])])
    expect([...bytes.subarray(-8)]).toEqual([255, 255, 255, 255, 0, 0, 0, 0])
    expect(arrow.tableFromIPC(bytes).numRows).toBe(1)
  })
})
