import { expect, test } from 'vitest'
import { parseJsonRecord, withFloats } from '../../../src/engine/json-record.ts'

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

test.each(['{"a":1,"b":1e400}', '{"b":-1e999}', '{"b":{"c":[1,{"d":1e309}]}}'])(
  'a number that is none of those there are is refused, with its column: %s',
  (text) => {
    expect(parseJsonRecord(text)).toEqual({
      reason: "a number beyond ±1.8e308 in 'b'",
      column: 'b',
    })
  },
)

test('nesting deeper than a stack is looked at too', () => {
  const depth = 200_000
  const nested = (value: string): string => `{"b":${'['.repeat(depth)}${value}${']'.repeat(depth)}}`
  expect(parseJsonRecord(nested('1'))).toHaveProperty('record')
  expect(parseJsonRecord(nested('1e400'))).toHaveProperty('column', 'b')
})

test('whole numbers become floats where a float is that number, or is written so', () => {
  const fields = [{ name: 'a', type: 'float64', nullable: true }] as const
  const made = (text: string): unknown => {
    const parsed = parseJsonRecord(`{"a":${text}}`)
    return 'record' in parsed ? withFloats([parsed.record], () => fields)[0]?.['a'] : parsed
  }
  for (const text of [
    ...['9007199254740992', '1152921504606846976', '1152921504606847000', '-1152921504606847000'],
    ...['100000000000000000000000', '-9007199254740994', '123456789012345680000000000000'],
  ])
    expect(made(text), text).toBe(Number(text))
  for (const text of ['9007199254740993', '123456789012345678901234567890', '-9007199254740993'])
    expect(made(text), text).toBe(BigInt(text))
  const long = '9'.repeat(400)
  expect(made(long)).toHaveProperty('column', 'a')
})
