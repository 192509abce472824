import { describe, expect, test } from 'vitest'
import {
  duration,
  list,
  offsetTargets,
  positiveNumber,
  renames,
  speed,
  time,
  wholeNumber,
} from '../../../src/cli/arguments.ts'

describe('arguments', () => {
  test('whole numbers', () => {
    expect(wholeNumber('0')).toBe(0)
    for (const text of ['', '-1', '1.5', '1e3', '9007199254740993'])
      expect(() => wholeNumber(text)).toThrow(/whole number/)
    expect(() => positiveNumber('0')).toThrow(/at least 1/)
  })

  test('times are ISO 8601 or ms', () => {
    expect(time('2026-01-31T14:05:00Z')).toBe(Date.UTC(2026, 0, 31, 14, 5))
    expect(time('1700000000000')).toBe(1_700_000_000_000)
    expect(() => time('yesterday')).toThrow(/not a time/)
  })

  test('durations stay as they were written', () => {
    expect(duration('90s')).toBe('90s')
    expect(duration('250')).toBe(250)
    expect(() => duration('soon')).toThrow(/duration/)
  })

  test('lists add up over repeated flags', () => {
    expect(list('c, d,', list('a,b'))).toEqual(['a', 'b', 'c', 'd'])
  })

  test('offsets of partitions', () => {
    expect(offsetTargets('Orders/1=5,b/0=0')).toEqual([
      { log: 'orders', partition: 1, offset: 5 },
      { log: 'b', partition: 0, offset: 0 },
    ])
    expect(() => offsetTargets('orders=5')).toThrow(/orders\/0=1000/)
  })

  test('new names of logs', () => {
    expect(renames('c=d', renames('a=b'))).toEqual({ a: 'b', c: 'd' })
    expect(() => renames('a')).toThrow(/orders=orders2/)
  })

  test('speeds', () => {
    expect([speed('max'), speed('realtime'), speed('2x'), speed('0.5x')]).toEqual([
      'max',
      'realtime',
      2,
      0.5,
    ])
    for (const text of ['fast', '0x', '2']) expect(() => speed(text)).toThrow(/factor/)
  })
})
