import { describe, expect, test } from 'vitest'
import {
  columnRange,
  mergeRanges,
  rangeToMs,
  toStatistics,
} from '../../../src/format/column-range.ts'
import type { ColumnStatistics } from '../../../src/format/segment.ts'
import type { ColumnType } from '../../../src/format/schema.ts'
import { sampleColumn } from '../../support/sample-batches.ts'

function statisticsOf(type: ColumnType, values: readonly unknown[]): ColumnStatistics {
  const column = sampleColumn(type, values)
  return toStatistics(column.nullCount, columnRange(column))
}

describe('statistics of a column', () => {
  test('are its least and greatest value and how many are null', () => {
    expect(statisticsOf('int32', [3, null, -5])).toEqual({ nullCount: 1, min: -5, max: 3 })
    expect(statisticsOf('float64', [-0, 0.5])).toEqual({ nullCount: 0, min: 0, max: 0.5 })
    expect(statisticsOf('date', [new Date(0), new Date(86_400_000)])).toEqual({
      nullCount: 0,
      min: 0,
      max: 1,
    })
    expect(statisticsOf('timestamp[us]', [5n, -5n])).toEqual({ nullCount: 0, min: -5, max: 5 })
    expect(statisticsOf('utf8', ['b', 'é', null, 'B'])).toEqual({
      nullCount: 1,
      min: 'B',
      max: 'é',
    })
  })

  test('are text for integers that a number does not hold', () => {
    const edges = [-(2n ** 63n), 2n ** 63n - 1n]
    expect(statisticsOf('int64', edges)).toEqual({
      nullCount: 0,
      min: `${edges[0]}`,
      max: `${edges[1]}`,
    })
    expect(statisticsOf('uint64', [2n ** 64n - 1n, 1])).toEqual({
      nullCount: 0,
      min: 1,
      max: `${2n ** 64n - 1n}`,
    })
  })

  test('have no bound that could leave a value out', () => {
    expect(statisticsOf('float64', [1, NaN, 2])).toEqual({ nullCount: 0, min: 1 })
    expect(statisticsOf('float64', [NaN])).toEqual({ nullCount: 0 })
    expect(statisticsOf('float32', [-Infinity, 1])).toEqual({ nullCount: 0, max: 1 })
    expect(statisticsOf('float64', [Infinity])).toEqual({ nullCount: 0 })
    expect(statisticsOf('int8', [null])).toEqual({ nullCount: 1 })
    expect(statisticsOf('bool', [true])).toEqual({ nullCount: 0 })
    expect(statisticsOf('binary', [new Uint8Array(1)])).toEqual({ nullCount: 0 })
  })

  test('of long text are cut between characters, the upper one raised above all that begins so', () => {
    const long = 'é'.repeat(40)
    expect(statisticsOf('utf8', [long])).toEqual({
      nullCount: 0,
      min: 'é'.repeat(32),
      max: `${'é'.repeat(31)}ê`,
    })
    const odd = `a${'é'.repeat(40)}`
    expect(statisticsOf('utf8', [odd]).min).toBe(`a${'é'.repeat(31)}`)
    const last = '\u{10ffff}'.repeat(20)
    expect(statisticsOf('utf8', [last])).toEqual({ nullCount: 0, min: '\u{10ffff}'.repeat(16) })
    const surrogates = `${'x'.repeat(61)}\ud7ff${'y'.repeat(9)}`
    expect(statisticsOf('utf8', [surrogates]).max).toBe(`${'x'.repeat(61)}\ue000`)
  })

  test('of several blocks cover all of them', () => {
    const range = (type: ColumnType, values: readonly unknown[]): ReturnType<typeof columnRange> =>
      columnRange(sampleColumn(type, values))
    expect(mergeRanges(range('int32', [1, 5]), range('int32', [3, 9]))).toEqual({ min: 1, max: 9 })
    expect(mergeRanges(null, range('int32', [3, 9]))).toEqual({ min: 3, max: 9 })
    expect(mergeRanges(range('float64', [1]), range('float64', [NaN, 0]))).toEqual({
      min: 0,
      max: null,
    })
    const texts = mergeRanges(range('utf8', ['b']), range('utf8', ['a', 'c']))
    expect(toStatistics(0, texts)).toEqual({ nullCount: 0, min: 'a', max: 'c' })
  })

  test('give times in whole ms, rounded down', () => {
    const ms = (type: ColumnType, values: readonly unknown[]): unknown =>
      rangeToMs(type, columnRange(sampleColumn(type, values)))
    expect(ms('timestamp[s]', [new Date(-1000), new Date(2000)])).toEqual({ min: -1000, max: 2000 })
    expect(ms('timestamp[us]', [-1n, 1999n])).toEqual({ min: -1, max: 1 })
    expect(ms('timestamp[ns]', [-1_000_001n, 1_999_999n])).toEqual({ min: -2, max: 1 })
    expect(ms('date', [new Date(86_400_000)])).toEqual({ min: 86_400_000, max: 86_400_000 })
    expect(ms('utf8', ['a'])).toBeNull()
    expect(ms('timestamp[ms]', [null])).toBeNull()
  })
})
