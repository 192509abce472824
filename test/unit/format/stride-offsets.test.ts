import { describe, expect, test } from 'vitest'
import { BATCH_ROWS_MAX } from '../../../src/format/limits.ts'
import { areOffsets } from '../../../src/format/buffer-check.ts'
import {
  MIXED,
  charStride,
  strideOf,
  strideOffsets,
  strideRowsMax,
} from '../../../src/format/stride-offsets.ts'

describe('the offsets of values of one length', () => {
  test('count up by that length, from any row on', () => {
    expect([...strideOffsets(7, 0, 3)]).toEqual([0, 7, 14, 21])
    expect([...strideOffsets(7, 2, 3)]).toEqual([14, 21])
    expect([...strideOffsets(7, 0, 0)]).toEqual([0])
    expect([...strideOffsets(0, 1, 3)]).toEqual([0, 0, 0])
  })

  test('are shared by who asks for them, and lie where another thread can read them', () => {
    const offsets = strideOffsets(9, 0, 10)
    expect(strideOffsets(9, 3, 8).buffer).toBe(offsets.buffer)
    expect(offsets.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(offsets.buffer.byteLength).toBe(64 * 4)
  })

  test('stay right for who has them while the table grows to its end', () => {
    const few = strideOffsets(33, 0, 5)
    const rows = strideRowsMax(33)
    expect(strideOffsets(33, rows, rows)).toEqual(Int32Array.of(rows * 33))
    expect([...few]).toEqual([0, 33, 66, 99, 132, 165])
    expect(strideOffsets(33, 0, rows).buffer.byteLength).toBe((rows + 1) * 4)
    expect(() => strideOffsets(33, 0, rows + 1)).toThrow('a long column has offsets of its own')
  })

  test('are there for as many rows as an open batch has, and for no long values', () => {
    expect([0, 1, 32].map(strideRowsMax)).toEqual([BATCH_ROWS_MAX, BATCH_ROWS_MAX, BATCH_ROWS_MAX])
    expect([100, 1_024].map(strideRowsMax)).toEqual([20_971, 2_048])
    expect([1_025, 1 << 24, MIXED].map(strideRowsMax)).toEqual([0, 0, 0])
  })
})

test('values have one length when every one has, wherever the offsets begin', () => {
  expect(strideOf(Int32Array.of(0, 4, 8, 12), 3)).toBe(4)
  expect(strideOf(Int32Array.of(5, 9, 13, 14), 2)).toBe(4)
  expect(strideOf(Int32Array.of(5, 5, 5), 2)).toBe(0)
  expect(strideOf(Int32Array.of(0, 4, 8, 13), 3)).toBe(MIXED)
  expect(strideOf(Int32Array.of(0, 4, 7, 12), 3)).toBe(MIXED)
})

test('many values have one length only when every offset says so', () => {
  const count = 300
  const even = Int32Array.from({ length: count + 1 }, (_, row) => row * 12)
  expect(strideOf(even, count)).toBe(12)
  expect(areOffsets(even, count, count * 12, 1 << 24)).toBe(true)
  expect(areOffsets(even, count, count * 12 - 1, 1 << 24)).toBe(false)
  expect(areOffsets(even, count, count * 12, 8)).toBe(false)
  for (let row = 0; row <= count; row++) {
    const odd = even.with(row, (even[row] ?? 0) + 1)
    expect(strideOf(odd, count)).toBe(MIXED)
    const last = odd[count] ?? 0
    expect(areOffsets(odd, count, last, 1 << 24)).toBe(true)
    expect(areOffsets(odd.with(row, -1), count, last, 1 << 24)).toBe(false)
  }
})

test('texts have one length when every one has, not only as many characters in all', () => {
  expect(charStride(['-', 'ab', 'cd', 'ef'], 1, 4, 6)).toBe(2)
  expect(charStride(['ab', 'c', 'def'], 0, 3, 6)).toBe(MIXED)
  expect(charStride(['ab', 'cd', 'e'], 0, 3, 5)).toBe(MIXED)
  expect(charStride(['', ''], 0, 2, 0)).toBe(0)
})
