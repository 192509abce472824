/** Lists and structs through every format; segments, Arrow and hashes also with the other types, in their own tests. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { present } from '../../../src/base/assert.ts'
import { parseArrowIpc } from '../../../src/format/arrow-ipc.ts'
import { encodeIpcStream } from '../../../src/format/arrow-output.ts'
import { createColumnBuilder } from '../../../src/format/column-builder.ts'
import { columnProblem } from '../../../src/format/column-check.ts'
import { concatColumns, flattenColumn } from '../../../src/format/column-concat.ts'
import { nullColumn } from '../../../src/format/column-conform.ts'
import { rawColumnBytes } from '../../../src/format/column-size.ts'
import { columnReader, readValue } from '../../../src/format/column-values.ts'
import {
  type ColumnData,
  bitmapBytes,
  columnBytes,
  sliceColumn,
} from '../../../src/format/column.ts'
import { LogHasher } from '../../../src/format/content-hash.ts'
import { HEAP_BUFFERS } from '../../../src/format/growing-column.ts'
import type { ColumnType, Field, Schema } from '../../../src/format/schema.ts'
import {
  appendPayloadBytes,
  decodeAppendPayload,
  writeAppendPayload,
} from '../../../src/format/wal-payload.ts'
import { arbitraryNestedType, arbitraryValue } from '../../support/arbitrary-columns.ts'
import { readSegment } from '../../support/read-segment.ts'
import { sampleColumn, writeSegment } from '../../support/sample-batches.ts'

interface Sample {
  readonly type: ColumnType
  readonly values: readonly unknown[]
  /** Other values of the type, for where they must not be seen. */
  readonly others: readonly unknown[]
}

const sample: fc.Arbitrary<Sample> = arbitraryNestedType().chain((type) =>
  fc.record({
    type: fc.constant(type),
    values: fc.array(arbitraryValue(type), { maxLength: 20 }),
    others: fc.array(arbitraryValue(type), { minLength: 1, maxLength: 20 }),
  }),
)

function valuesOf(column: ColumnData): unknown[] {
  return Array.from({ length: column.length }, (_, row) => columnReader(column)(row))
}

/** The same values behind others, with others under the nulls, and bits for rows that are all there. */
function laidOutOtherwise({ type, values, others }: Sample): ColumnData {
  const filled = values.map((value, row) => value ?? others[row % others.length])
  const whole = sampleColumn(type, [...others, ...filled, ...others], true)
  const slice = sliceColumn(whole, others.length, others.length + values.length)
  const validity = new Uint8Array(bitmapBytes(values.length))
  values.forEach((value, row) => {
    if (value !== null) validity[row >> 3] = (validity[row >> 3] ?? 0) | (1 << (row & 7))
  })
  return { ...slice, validity, nullCount: values.filter((value) => value === null).length }
}

function hashOf(column: ColumnData): string {
  const schema: Schema = { id: 0, fields: [{ name: 'c', type: column.type, nullable: true }] }
  const hasher = new LogHasher(schema)
  const batch = { schema, baseOffset: 0, length: column.length, columns: [column] }
  hasher.add(0, { ...batch, appendTimeMin: 0, appendTimeMax: 0 })
  return hasher.digestHex()
}

function payloadOf(column: ColumnData, start: number, end: number): Uint8Array {
  const payload = new Uint8Array(appendPayloadBytes([column], start, end)).fill(0xa5)
  expect(writeAppendPayload(payload, 0, 7, [column], start, end)).toBe(payload.length)
  return payload
}

function schemaOf(type: ColumnType): Schema {
  return { id: 7, fields: [{ name: 'c', type, nullable: true }] }
}

describe('a column of lists or structs', () => {
  test('has the values that were pushed, however it is laid out and cut', () => {
    fc.assert(
      fc.property(sample, fc.nat(20), fc.nat(20), (given, from, to) => {
        const { type, values } = given
        const column = sampleColumn(type, values)
        const other = laidOutOtherwise(given)
        expect(valuesOf(column)).toEqual(values)
        expect(valuesOf(other)).toEqual(values)
        const start = Math.min(from, to, values.length)
        const end = Math.min(Math.max(from, to), values.length)
        for (const each of [column, other]) {
          const slice = sliceColumn(each, start, end)
          expect(columnProblem(slice)).toBeNull()
          expect(valuesOf(slice)).toEqual(values.slice(start, end))
          expect(valuesOf(flattenColumn(slice))).toEqual(values.slice(start, end))
          const parts = [sliceColumn(each, end, values.length), slice, nullColumn(type, 2)]
          const joined = concatColumns(parts)
          expect(columnProblem(joined)).toBeNull()
          expect(valuesOf(joined)).toEqual([
            ...values.slice(end),
            ...values.slice(start, end),
            null,
            null,
          ])
          expect(columnBytes(joined)).toBeGreaterThanOrEqual(rawColumnBytes(joined))
        }
        values.forEach((value, row) => expect(readValue(other, row)).toEqual(value))
      }),
    )
  })

  test('has one hash for equal values in any layout', () => {
    fc.assert(
      fc.property(sample, (given) => {
        expect(hashOf(laidOutOtherwise(given))).toBe(hashOf(sampleColumn(given.type, given.values)))
      }),
    )
  })

  test('is hashed as docs/formats.md says, byte by byte', () => {
    const sha256 = (...parts: readonly Uint8Array[]): Buffer =>
      createHash('sha256').update(Buffer.concat(parts)).digest()
    const uint32 = (...values: readonly number[]): Buffer =>
      Buffer.from(new Uint8Array(Uint32Array.from(values).buffer))
    const flags = (...values: readonly number[]): Buffer => sha256(Buffer.from(values))
    const type = 'list<struct<a:int8,b:utf8>>'
    const column = sampleColumn(type, [[{ a: 1, b: 'x' }, null], null, [], [{ a: null, b: 'yz' }]])
    const struct = sha256(
      flags(1, 0, 1),
      sha256(flags(1, 0), flags(1, 0)),
      sha256(flags(1, 1), sha256(uint32(1, 2)), sha256(Buffer.from('xyz'))),
    )
    const list = sha256(flags(1, 0, 1, 1), sha256(uint32(2, 0, 0, 1)), struct)
    const range = Buffer.from(new Uint8Array(BigUint64Array.of(0n, 4n).buffer))
    const partition = sha256(uint32(0, 1), range, list)
    const columns = Buffer.from(`[{"name":"c","type":"${type}"}]`)
    expect(hashOf(column)).toBe(sha256(uint32(columns.length), columns, partition).toString('hex'))
  })

  test('has another hash when anything is different', () => {
    const columns: ColumnData[] = [
      sampleColumn('list<int8>', [[1], [2]]),
      sampleColumn('list<int8>', [[1, 2], []]),
      sampleColumn('list<int8>', [[], [1, 2]]),
      sampleColumn('list<int8>', [[1, 2], null]),
      sampleColumn('list<int8>', [[1, 2], [null]]),
      sampleColumn('list<int8>', [null, null]),
      sampleColumn('list<int8>', [[], []]),
      sampleColumn('list<uint8>', [[1], [2]]),
      sampleColumn('list<list<int8>>', [[[1], [2]], []]),
      sampleColumn('list<list<int8>>', [[[1, 2]], []]),
      sampleColumn('struct<a:int8,b:int8>', [{ a: 1, b: null }, null]),
      sampleColumn('struct<a:int8,b:int8>', [{ a: null, b: 1 }, null]),
      sampleColumn('struct<a:int8,b:int8>', [null, { a: 1, b: null }]),
      sampleColumn('struct<a:int8,b:int8>', [{}, null]),
      sampleColumn('struct<a:int8,b:int8>', [{}, {}]),
      sampleColumn('struct<b:int8,a:int8>', [{}, {}]),
    ]
    expect(new Set(columns.map(hashOf)).size).toBe(columns.length)
  })

  test('comes back from a WAL payload, any range of it', () => {
    fc.assert(
      fc.property(sample, fc.nat(20), fc.nat(20), (given, from, to) => {
        const start = Math.min(from, to, given.values.length)
        const end = Math.min(Math.max(from, to), given.values.length)
        const payloads = [sampleColumn(given.type, given.values), laidOutOtherwise(given)].map(
          (column) => payloadOf(column, start, end),
        )
        for (const payload of payloads) {
          const { columns } = decodeAppendPayload(payload, schemaOf(given.type))
          expect(columns.map(columnProblem)).toEqual([null])
          expect(columns.map(valuesOf)).toEqual([given.values.slice(start, end)])
        }
      }),
    )
  })

  test('comes back from an Arrow stream and a segment, however it is laid out', async () => {
    await fc.assert(
      fc.asyncProperty(sample, async (given) => {
        const column = laidOutOtherwise(given)
        const time = sampleColumn(
          'timestamp[ms]',
          given.values.map(() => 0),
        )
        const fields: Field[] = [
          { name: '_time', type: 'timestamp[ms]', nullable: false },
          { name: 'c', type: given.type, nullable: true },
        ]
        const batch = { columns: [time, column], length: column.length }
        const stream = Buffer.concat([...encodeIpcStream(fields, [batch])])
        const parts = await parseArrowIpc(stream)
        expect(parts.flatMap(({ columns }) => valuesOf(present(columns[1], 'c')))).toEqual(
          given.values,
        )
        if (column.length === 0) return
        const times = { appendTimeMin: 0, appendTimeMax: 0 }
        const segment = writeSegment([
          { ...batch, ...times, schema: { id: 0, fields }, baseOffset: 0 },
        ])
        const { batches } = readSegment(segment.bytes)
        expect(batches.flatMap(({ columns }) => valuesOf(present(columns[1], 'c')))).toEqual(
          given.values,
        )
      }),
      { numRuns: 50 },
    )
  })

  test('in a WAL payload that is cut or damaged is refused or other values, never read out of range', () => {
    const type = 'struct<a:list<list<utf8>>,b:list<bool>>'
    const column = sampleColumn(type, [
      { a: [['x', null], null, []], b: [true, null] },
      null,
      { a: null, b: [] },
    ])
    const whole = payloadOf(column, 0, 3)
    const decode = (payload: Uint8Array): void => {
      try {
        const { columns } = decodeAppendPayload(payload, schemaOf(type))
        for (const decoded of columns) {
          expect(columnProblem(decoded)).toSatisfy(
            (problem) => problem === null || String(problem).includes('UTF-8'),
          )
        }
      } catch (error) {
        expect((error as StratalogError).code).toBe('wal_corrupt')
      }
    }
    for (let length = 0; length < whole.length; length += 8)
      expect(() => decodeAppendPayload(whole.slice(0, length), schemaOf(type))).toThrow(
        StratalogError,
      )
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const flipped = whole.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      decode(flipped)
    }
  })

  test('is refused when what is inside does not fit it', () => {
    const list = sampleColumn('list<int32>', [[1, 2], null, [3]])
    const struct = sampleColumn('struct<a:utf8,b:int8>', [{ a: 'x', b: 1 }, null])
    const texts = sampleColumn('list<utf8>', [['é']])
    const child = (column: ColumnData, index: number): ColumnData => {
      const found = column.children?.[index]
      if (found === undefined) throw new Error('no column inside')
      return found
    }
    const { children: _, ...childless } = list
    const broken: ColumnData[] = [
      childless,
      { ...list, children: [] },
      { ...list, children: [child(list, 0), child(list, 0)] },
      { ...list, children: [null as unknown as ColumnData] },
      { ...list, children: 1 as unknown as ColumnData[] },
      { ...list, type: 'list<int16>' },
      { ...list, type: 'list<int31>' },
      { ...list, offsets: null },
      { ...list, offsets: Int32Array.of(0, 2, 2) },
      { ...list, offsets: Int32Array.of(0, 2, 1, 3) },
      { ...list, offsets: Int32Array.of(-1, 2, 2, 3) },
      { ...list, offsets: Int32Array.of(0, 2, 2, 4) },
      { ...list, nullCount: 2 },
      { ...list, children: [sliceColumn(child(list, 0), 0, 2)] },
      { ...list, children: [{ ...child(list, 0), values: new Uint8Array(4) }] },
      { ...texts, children: [{ ...child(texts, 0), values: Uint8Array.of(0xff, 0xff) }] },
      {
        ...texts,
        children: [{ ...child(texts, 0), dictionary: child(texts, 0), values: new Uint8Array(4) }],
      },
      { ...struct, offsets: Int32Array.of(0, 1, 2) },
      { ...struct, children: [child(struct, 0)] },
      { ...struct, children: [child(struct, 1), child(struct, 0)] },
      { ...struct, length: 1, nullCount: 0, validity: null },
      { ...sampleColumn('int8', [1]), children: [] },
    ]
    expect(broken.map(columnProblem).filter((problem) => problem === null)).toEqual([])
    for (const whole of [list, struct, texts]) expect(columnProblem(whole)).toBeNull()
  })
})

describe('a growing column of lists or structs', () => {
  const builderOf = (type: ColumnType): ReturnType<typeof createColumnBuilder> =>
    createColumnBuilder(type, HEAP_BUFFERS)

  test('takes columns as it takes values, and forgets what is truncated', () => {
    fc.assert(
      fc.property(sample, fc.nat(20), (given, at) => {
        const { type, values, others } = given
        const kept = Math.min(at, values.length)
        const builder = builderOf(type)
        builder.append(sliceColumn(laidOutOtherwise(given), 0, kept))
        expect(builder.pushAll(others, others.length)).toBe(
          others.filter((value) => value === null).length,
        )
        builder.truncate(kept)
        const pushed = Math.min(values.length, kept + 1)
        for (const value of values.slice(kept, pushed)) expect(builder.push(value)).toBe('ok')
        builder.pushAll(others, others.length)
        builder.truncate(pushed)
        builder.append(sliceColumn(sampleColumn(type, values), pushed, values.length))
        builder.seal()
        const column = builder.slice(0, builder.length)
        expect(columnProblem(column)).toBeNull()
        expect(valuesOf(column)).toEqual(values)
        expect(builder.size().rows).toBe(values.length)
      }),
    )
  })

  test.each([
    ['list<int32>', [1, 'x']],
    ['list<int32>', Array.from({ length: 20 }, (_, index) => (index === 19 ? 0.5 : index))],
    ['list<int32>', { 0: 1, length: 1 }],
    ['list<int32>', 'text'],
    ['list<int32>', new Map()],
    ['list<int32>', [[1]]],
    ['struct<a:int32>', [1]],
    ['struct<a:int32>', { a: 1, b: 2 }],
    ['struct<a:int32>', { a: '1' }],
    ['struct<a:int32>', new Date(0)],
    [
      'struct<a:int32>',
      new (class Point {
        a = 1
      })(),
    ],
    ['struct<a:list<int8>>', { a: [1, 300] }],
  ] as const)('of %s does not take a value of another shape', (type, value) => {
    const builder = builderOf(type)
    expect(builder.push(null)).toBe('ok')
    expect(builder.push(value)).toBe('mismatch')
    expect(builder.push(null)).toBe('ok')
    expect(valuesOf(builder.slice(0, 2))).toEqual([null, null])
    expect(builder.size().valueBytes).toBeLessThan(64)
  })

  test('takes typed arrays, holes and fields that are left out', () => {
    const vectors = builderOf('list<float64>')
    expect(vectors.push(Float64Array.of(0.5, NaN))).toBe('ok')
    const holed: unknown[] = [1]
    holed[2] = undefined
    expect(1 in holed).toBe(false)
    expect(vectors.push(holed)).toBe('ok')
    expect(valuesOf(vectors.slice(0, 2))).toEqual([
      [0.5, NaN],
      [1, null, null],
    ])
    const points = builderOf('struct<x:int8,y:int8>')
    expect(points.push({ y: 2, z: undefined })).toBe('ok')
    expect(points.push(Object.assign(Object.create(null), { x: 1 }))).toBe('ok')
    expect(valuesOf(points.slice(0, 2))).toEqual([
      { x: null, y: 2 },
      { x: 1, y: null },
    ])
  })

  test('is whole again after a getter threw in the middle of a value', () => {
    const builder = builderOf('list<struct<a:int8,b:list<utf8>>>')
    const good = [{ a: 1, b: ['x', 'y'] }]
    const bad = {
      a: 2,
      get b(): never {
        throw new Error('getter')
      },
    }
    expect(builder.push(good)).toBe('ok')
    expect(() => builder.push([{ a: 3, b: ['lost'] }, bad])).toThrow('getter')
    builder.truncate(1)
    expect(builder.push(good)).toBe('ok')
    expect(valuesOf(builder.slice(0, 2))).toEqual([good, good])
  })

  test('refuses a list that is longer than any value may be', () => {
    const builder = builderOf('list<bool>')
    expect(builder.push(Object.assign([], { length: 2 ** 31 }))).toBe('too_large')
    expect(builder.push([true])).toBe('ok')
  })
})
