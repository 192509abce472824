import { describe, expect, test } from 'vitest'
import type { ColumnPlace } from '../../../src/format/arrow-message-reader.ts'
import type { Fail } from '../../../src/format/json-fields.ts'
import { columnReader } from '../../../src/format/column-values.ts'
import { compressFrame } from '../../../src/format/lz4.ts'
import { decodeCodedColumn, decodePlainColumn } from '../../../src/format/segment-column.ts'
import { sampleColumn } from '../../support/sample-batches.ts'

const fail: Fail = (reason) => {
  throw new Error(reason)
}

/** A body of buffers, each stored with the length that it declares; null is a buffer without bytes. */
function bodyOf(
  nullCount: number,
  buffers: readonly (readonly [declared: number, bytes: Uint8Array] | null)[],
): { body: Uint8Array; place: ColumnPlace } {
  const parts: Uint8Array[] = []
  let position = 0
  const places = buffers.map((buffer) => {
    if (buffer === null) return { position, length: 0 }
    const prefix = Buffer.alloc(8)
    prefix.writeBigInt64LE(BigInt(buffer[0]))
    const padding = new Uint8Array((8 - (buffer[1].length % 8)) % 8)
    parts.push(prefix, buffer[1], padding)
    const place = { position, length: 8 + buffer[1].length }
    position += 8 + buffer[1].length + padding.length
    return place
  })
  return {
    body: new Uint8Array(Buffer.concat(parts)),
    place: { length: 2, nullCount, buffers: places, children: [] },
  }
}

function int32s(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Int32Array.from(values).buffer)
}

const TEXT = Buffer.from('abc')

describe('a stored text column', () => {
  const decode = (nullCount: number, buffers: Parameters<typeof bodyOf>[1]): unknown[] => {
    const { body, place } = bodyOf(nullCount, buffers)
    const column = decodePlainColumn(body, place, 'utf8', 2, fail)
    return [0, 1].map(columnReader(column))
  }

  test('is read from stored and compressed buffers', () => {
    expect(decode(0, [null, [-1, int32s(0, 1, 3)], [-1, TEXT]])).toEqual(['a', 'bc'])
    expect(
      decode(1, [
        [-1, Uint8Array.of(2)],
        [12, compressFrame(int32s(0, 0, 3))],
        [3, compressFrame(TEXT)],
      ]),
    ).toEqual([null, 'abc'])
    expect(decode(0, [null, [-1, int32s(0, 0, 0)], null])).toEqual(['', ''])
  })

  test.each([
    ['offsets do not ascend from 0', 0, [null, [-1, int32s(0, 2, 1)], [-1, TEXT]]],
    ['offsets do not ascend from 0', 0, [null, [-1, int32s(1, 2, 3)], [-1, TEXT]]],
    ['offsets do not ascend from 0', 0, [null, [-1, int32s(0, -1, 3)], [-1, TEXT]]],
    ['a buffer has another length', 0, [null, [-1, int32s(0, 1)], [-1, TEXT]]],
    ['a buffer has another length', 0, [null, [-1, int32s(0, 1, 2)], [-1, TEXT]]],
    ['a buffer declares another length', 0, [null, [-2, int32s(0, 1, 3)], [-1, TEXT]]],
    ['a buffer declares another length', 0, [null, [2 ** 40, int32s(0, 1, 3)], [-1, TEXT]]],
    ['a buffer is damaged', 0, [null, [12, int32s(0, 1, 3)], [-1, TEXT]]],
    ['a buffer would take', 0, [null, [-1, int32s(0, 1, 2 ** 30)], [-1, TEXT]]],
    ['a buffer is empty', 0, [null, [-1, int32s(0, 1, 3)], null]],
    ['a buffer is empty', 1, [null, [-1, int32s(0, 1, 3)], [-1, TEXT]]],
    [
      'a null count does not match',
      1,
      [
        [-1, Uint8Array.of(3)],
        [-1, int32s(0, 1, 3)],
        [-1, TEXT],
      ],
    ],
    ['a buffer is missing', 0, [null, [-1, int32s(0, 1, 3)]]],
  ] as const)('is refused: %s', (reason, nullCount, buffers) => {
    expect(() => decode(nullCount, buffers)).toThrow(reason)
  })

  test('is refused when a buffer is too short for its length', () => {
    const { body } = bodyOf(0, [[-1, int32s(0, 1, 3)]])
    const place = {
      length: 2,
      children: [],
      nullCount: 0,
      buffers: [
        { position: 0, length: 0 },
        { position: 0, length: 7 },
      ],
    }
    expect(() => decodePlainColumn(body, place, 'utf8', 2, fail)).toThrow('a buffer has no length')
  })
})

test('a stored list with more or fewer items than its offsets tell is refused', () => {
  const decode = (itemCount: number): unknown => {
    const { body, place } = bodyOf(0, [null, [-1, int32s(0, 1, 3)], null, [-1, int32s(7, 8, 9)]])
    const [validity, offsets, ...inside] = place.buffers
    const items = { length: itemCount, nullCount: 0, buffers: inside, children: [] }
    const buffers = [validity, offsets].filter((buffer) => buffer !== undefined)
    const list = { length: 2, nullCount: 0, buffers, children: [items] }
    return [0, 1].map(columnReader(decodePlainColumn(body, list, 'list<int32>', 2, fail)))
  }
  expect(decode(3)).toEqual([[7], [8, 9]])
  for (const count of [2, 4]) expect(() => decode(count)).toThrow('another count of items')
})

test('codes that are not in their dictionary are refused, in both widths', () => {
  const small = sampleColumn('utf8', ['a', 'b'])
  const large = sampleColumn(
    'utf8',
    Array.from({ length: 200 }, (_, index) => `${index}`),
  )
  const decode = (dictionary: typeof small, codes: Uint8Array): unknown => {
    const { body, place } = bodyOf(0, [null, [-1, codes]])
    return [0, 1].map(columnReader(decodeCodedColumn(body, place, dictionary, 2, fail)))
  }
  expect(decode(small, Uint8Array.of(1, 0))).toEqual(['b', 'a'])
  expect(decode(large, new Uint8Array(Uint16Array.of(199, 0).buffer))).toEqual(['199', '0'])
  expect(() => decode(small, Uint8Array.of(2, 0))).toThrow('a code is not in its dictionary')
  expect(() => decode(large, new Uint8Array(Uint16Array.of(200, 0).buffer))).toThrow(
    'a code is not',
  )
  expect(() => decode(large, Uint8Array.of(1, 0))).toThrow('another length')
})
