import { expect, test } from 'vitest'
import { parseJsonRecord } from '../../../src/engine/json-record.ts'

test('a line of JSON is a record', () => {
  expect(parseJsonRecord('{"a":1,"b":{"c":[null]}}')).toEqual({
    record: { a: 1, b: { c: [null] } },
  })
})

test('integers beyond 2^53 keep their digits, others stay numbers', () => {
  const text =
    '{"big":9007199254740993,"low":-9007199254740993,"small":9007199254740991,"float":1.0000000000000001,"text":"9007199254740993"}'
  expect(parseJsonRecord(text)).toEqual({
    record: {
      big: 9007199254740993n,
      low: -9007199254740993n,
      small: 9007199254740991,
      float: 1,
      text: '9007199254740993',
    },
  })
})

test('an integer beyond 2^53 inside a nested value stays what JSON makes of it', () => {
  const parsed = parseJsonRecord('{"big":1,"nested":{"big":9007199254740993}}')
  expect(parsed).toEqual({ record: { big: 1, nested: { big: 9007199254740992 } } })
})

test('a number with an exponent stays a number', () => {
  expect(parseJsonRecord('{"a":1e30,"b":12345678901234567890}')).toEqual({
    record: { a: 1e30, b: 12345678901234567890n },
  })
})

test.each([
  ['nonsense', /^not JSON: /],
  ['[1]', /^not an object but an array$/],
  ['null', /^not an object but null$/],
  ['"text"', /^not an object but a string$/],
])('%s is no record, and the reason says why', (text, reason) => {
  const parsed = parseJsonRecord(text)
  expect('reason' in parsed ? parsed.reason : '').toMatch(reason)
})
