/** The small parts of the Durable Streams protocol: bodies, offsets, names, cursors, and the order of appends. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { isLogName } from '../../../src/base/log-name.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { RequestProblem } from '../../../src/server/http-error.ts'
import { AppendGate } from '../../../src/server/streams/append-gate.ts'
import { jsonMessages } from '../../../src/server/streams/json-messages.ts'
import { laterCursor, nextCursor } from '../../../src/server/streams/stream-cursor.ts'
import {
  checkedStreamPath,
  freeLogName,
  logNameStart,
} from '../../../src/server/streams/stream-names.ts'
import { offsetToken, parseOffsetToken } from '../../../src/server/streams/stream-offset.ts'

describe('a JSON body', () => {
  test('is its elements where it is an array, else one message, each as it was written', () => {
    const messages = (text: string): readonly string[] => jsonMessages(Buffer.from(text))
    expect(messages('{"a": 1.0}')).toEqual(['{"a": 1.0}'])
    expect(messages(' [12345678901234567890, "a,]\\"", [1,[2]] ,{"b":[{}]}] ')).toEqual([
      '12345678901234567890',
      '"a,]\\""',
      '[1,[2]]',
      '{"b":[{}]}',
    ])
    expect(messages('[ ]')).toEqual([])
    expect(messages('[[]]')).toEqual(['[]'])
    expect(messages('"\\\\"')).toEqual(['"\\\\"'])
  })

  test('gives the elements of any array', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), fc.integer({ min: 0, max: 2 }), (values, indent) => {
        const messages = jsonMessages(Buffer.from(JSON.stringify(values, null, indent)))
        expect(messages.map((text) => JSON.parse(text))).toEqual(JSON.parse(JSON.stringify(values)))
      }),
    )
  })

  test('is refused when it is no JSON or no UTF-8', () => {
    for (const bytes of [
      Buffer.from('{'),
      Buffer.from('[1,]'),
      Buffer.from('1 2'),
      Buffer.from([0x22, 0xff, 0x22]),
    ])
      expect(() => jsonMessages(bytes)).toThrow(RequestProblem)
  })
})

describe('an offset', () => {
  test('comes back from its token, and tokens sort as offsets do', () => {
    const offset = fc.integer({ min: 0, max: 9_007_199_254_740_991 })
    fc.assert(
      fc.property(offset, offset, (a, b) => {
        expect(parseOffsetToken(offsetToken(a))).toBe(a)
        expect(offsetToken(a) < offsetToken(b)).toBe(a < b)
      }),
    )
  })

  test('is refused when no stream gave it', () => {
    for (const token of [
      '',
      '5',
      '-1',
      offsetToken(1).slice(1),
      `1${offsetToken(1).slice(1)}`,
      '9'.repeat(33),
    ])
      expect(() => parseOffsetToken(token), token).toThrow(RequestProblem)
  })
})

describe('the log of a stream', () => {
  test('has the name of the stream where that is one, and nothing has it', () => {
    expect(freeLogName('orders', () => false)).toBe('orders')
    expect(freeLogName('orders', (name) => name === 'orders')).toMatch(/^orders-[0-9a-f]{12}$/)
  })

  test('has a name of its own for every path, which begins as tokens are asked for it', () => {
    const taken = new Set<string>()
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }), (path) => {
        const name = freeLogName(path, (given) => taken.has(given))
        expect(isLogName(name)).toBe(true)
        expect(name.startsWith(logNameStart(path))).toBe(true)
        expect(name.startsWith('stratalog.')).toBe(false)
        expect(taken.has(name)).toBe(false)
        taken.add(name)
      }),
    )
    expect(logNameStart('Stratalog./x')).toBe('sstratalog.-x')
  })

  test('is not made for paths that play tricks', () => {
    for (const path of [
      '',
      '/',
      'a//b',
      '../a',
      'a/..',
      './a',
      'a\u0000',
      'a\n',
      '__ds/x',
      'x'.repeat(1_025),
      '\ud800',
    ])
      expect(() => checkedStreamPath(path), path).toThrow(RequestProblem)
    expect(checkedStreamPath('a/b c/ö')).toBe('a/b c/ö')
  })
})

test('a cursor is the interval, and always passes the one that was given', () => {
  const clock = new VirtualClock(Date.UTC(2024, 9, 9) + 100 * 20_000)
  const random = seededRandom(1)
  expect(nextCursor(null, clock, random)).toBe('100')
  expect(nextCursor('99', clock, random)).toBe('100')
  expect(nextCursor('what', clock, random)).toBe('100')
  expect(laterCursor('100', clock)).toBe('100')
  expect(laterCursor('400', clock)).toBe('400')
  expect(laterCursor('7', clock)).toBe('100')
  for (const given of [100, 101, 5_000])
    expect(Number(nextCursor(String(given), clock, random))).toBeGreaterThan(given)
})

describe('the gate of appends', () => {
  test('lets plain ones overlap, and runs the others alone and in order', async () => {
    const gate = new AppendGate()
    const events: string[] = []
    const ends = new Map<string, () => void>()
    const section = (name: string) => async (): Promise<void> => {
      events.push(`+${name}`)
      await new Promise<void>((resolve) => ends.set(name, resolve))
      events.push(`-${name}`)
    }
    const all = [
      gate.shared(section('a')),
      gate.shared(section('b')),
      gate.exclusive(section('c')),
      gate.shared(section('d')),
      gate.exclusive(section('e')),
    ]
    for (const name of ['b', 'a', 'c', 'd', 'e']) {
      await systemClock.yield()
      ends.get(name)?.()
    }
    await Promise.all(all)
    expect(events).toEqual(['+a', '+b', '-b', '-a', '+c', '-c', '+d', '-d', '+e', '-e'])
  })

  test('goes on after one that failed', async () => {
    const gate = new AppendGate()
    await expect(gate.exclusive(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
    await expect(gate.shared(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(await gate.exclusive(() => Promise.resolve(7))).toBe(7)
    expect(gate.alone).toBeNull()
  })
})
