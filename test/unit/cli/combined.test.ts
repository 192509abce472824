import { describe, expect, test } from 'vitest'
import { parseCombinedLine } from '../../../src/cli/input/combined.ts'

describe('access log lines', () => {
  test('a combined line has all its parts, the time in UTC', () => {
    const line = String.raw`127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 "http://www.example.com/start.html" "Mozilla/4.08 [en] (\"quoted\")"`
    expect(parseCombinedLine(line)).toEqual({
      remote: '127.0.0.1',
      ident: null,
      user: 'frank',
      time: new Date('2000-10-10T20:55:36Z'),
      method: 'GET',
      path: '/apache_pb.gif',
      protocol: 'HTTP/1.0',
      status: 200,
      bytes: 2326,
      referrer: 'http://www.example.com/start.html',
      agent: 'Mozilla/4.08 [en] ("quoted")',
    })
  })

  test('a common line has neither referrer nor agent', () => {
    const record = parseCombinedLine(
      '::1 - - [01/Jan/2024:00:00:00 +0000] "POST /a?b=c HTTP/2" 304 -',
    )
    expect(record).toMatchObject({
      remote: '::1',
      method: 'POST',
      path: '/a?b=c',
      bytes: null,
      referrer: null,
      agent: null,
    })
  })

  test('a request that is not of HTTP is kept as the path', () => {
    const record = parseCombinedLine(
      String.raw`10.0.0.1 - - [01/Jan/2024:00:00:00 +0000] "\x16\x03\x01" 400 150 "-" "-"`,
    )
    expect(record).toMatchObject({
      method: null,
      path: String.raw`\x16\x03\x01`,
      protocol: null,
      status: 400,
    })
  })

  test.each([
    '',
    'hello',
    '{"a":1}',
    '1.1.1.1 - - [32/Foo/2024:00:00:00 +0000] "GET / HTTP/1.1" 200 1',
  ])('is none: %s', (line) => {
    expect(parseCombinedLine(line)).toBeNull()
  })
})
