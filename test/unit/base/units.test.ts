import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isStratalogError } from '../../../src/base/errors.ts'
import {
  formatBytes,
  formatCount,
  formatDuration,
  parseBytes,
  parseDuration,
  parseIsoTime,
  parseTime,
  tryParseBytes,
  tryParseDuration,
} from '../../../src/base/units.ts'

describe('durations', () => {
  test('take a number of ms, or text with a unit', () => {
    const given = [0, 250, '0', '250', '250ms', '90s', '5m', '1h', '7d', '2w', ' 1.5 H ']
    expect(given.map(tryParseDuration)).toEqual([
      0, 250, 0, 250, 250, 90_000, 300_000, 3_600_000, 604_800_000, 1_209_600_000, 5_400_000,
    ])
  })

  test('refuse what is no duration', () => {
    const given = [
      -1,
      1.5,
      NaN,
      Infinity,
      2 ** 53,
      '',
      's',
      '-1s',
      '1 s s',
      '1y',
      '1e3',
      '1constructor',
      null,
      true,
    ]
    expect(given.map(tryParseDuration)).toEqual(given.map(() => null))
  })

  test('name what was wrong', () => {
    expect(() => parseDuration('soon', 'memoryTtl')).toThrow('memoryTtl: "soon" is not a duration')
    expect(thrown(() => parseDuration(5n as unknown as number))).toMatchObject({
      code: 'argument_invalid',
    })
  })

  test('are shown so that rounding never shows sixty seconds', () => {
    const shown = [0, 12, 999.6, 1_000, 3_440, 59_960, 125_000, 3_599_999, 3_720_000]
    expect(shown.map(formatDuration)).toEqual([
      '0 ms',
      '12 ms',
      '1.0 s',
      '1.0 s',
      '3.4 s',
      '1 m 00 s',
      '2 m 05 s',
      '1 h 00 m',
      '1 h 02 m',
    ])
  })
})

describe('sizes', () => {
  test('take bytes, or text with a unit of 1024', () => {
    const given = [7, '7', '7b', '64KB', '1.5 MiB', '4gb', '1TB']
    expect(given.map(tryParseBytes)).toEqual([7, 7, 7, 65_536, 1_572_864, 4 * 1024 ** 3, 1024 ** 4])
  })

  test('refuse what is no size', () => {
    const given = [-1, 0.5, '1 PB', 'KB', '1,5MB', '99999999TB', undefined, {}]
    expect(given.map(tryParseBytes)).toEqual(given.map(() => null))
    expect(() => parseBytes('much', 'maxMemoryBytes')).toThrow(
      'maxMemoryBytes: "much" is not a size',
    )
  })

  test('are shown in the unit that keeps the number below 1024', () => {
    expect([0, 1023, 1536, 1024 ** 2 - 1, 64 * 1024 ** 2].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.5 KiB',
      '1.0 MiB',
      '64 MiB',
    ])
  })
})

describe('times', () => {
  test('take a Date, ms, or ISO 8601 text; without a zone it is UTC', () => {
    const ms = Date.UTC(2026, 0, 31, 14, 5)
    const given = [
      new Date(ms),
      ms,
      '2026-01-31T14:05:00Z',
      '2026-01-31T14:05',
      '2026-01-31 14:05:00.000',
      '2026-01-31T15:05:00+01:00',
      '2026-01-31T12:35-0130',
    ]
    expect(given.map((value) => parseTime(value))).toEqual(given.map(() => ms))
    expect(parseTime('2026-01-31')).toBe(Date.UTC(2026, 0, 31))
    expect(parseTime(-1.5)).toBe(-2)
  })

  test('refuse text that only looks like a time', () => {
    const given = [
      '1',
      'last week 1',
      '31.01.2026',
      '01/02/2026',
      '2026-13-01',
      '2026-02-30',
      '2026-01-31T25:00',
      '',
    ]
    expect(given.map(parseIsoTime)).toEqual(given.map(() => null))
    expect(thrown(() => parseTime('yesterday', 'since'))).toMatchObject({
      code: 'argument_invalid',
    })
    expect(thrown(() => parseTime(new Date(NaN)))).toMatchObject({ code: 'argument_invalid' })
  })

  test('read back every time that a Date writes', () => {
    fc.assert(
      fc.property(fc.date({ noInvalidDate: true }), (date) => {
        expect(parseIsoTime(date.toISOString())).toBe(date.getTime())
      }),
    )
  })
})

test('counts are shown with thousands apart', () => {
  expect([0, 999, 1_000, 3_000_000].map(formatCount)).toEqual(['0', '999', '1,000', '3,000,000'])
})

function thrown(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    if (!isStratalogError(error)) throw error
    return error.toJSON()
  }
}
