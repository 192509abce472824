import { expect, test } from 'vitest'
import { detectFormat } from '../../../src/cli/input/input-format.ts'

test.each([
  ['a.ndjson', '', 'ndjson'],
  ['a.JSONL.gz', '', 'ndjson'],
  ['a.csv.zst', '', 'csv'],
  ['a.parquet', '', 'parquet'],
  ['-', '\n {"a":1}\n', 'ndjson'],
  ['-', 'a,b\n1,2\n', 'csv'],
  ['-', 'PAR1…', 'parquet'],
  ['-', 'ARROW1\u0000\u0000', 'arrow'],
  ['-', '\xff\xff\xff\xff\x10', 'arrow'],
  [
    'access.log',
    '::1 - - [01/Jan/2024:00:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl"\n',
    'combined',
  ],
])('%s with %j is %s', (name, head, format) => {
  expect(detectFormat(name, Buffer.from(head, 'latin1'))).toBe(format)
})

test.each(['', 'hello\nworld\n', 'a,b\u0000c'])('what is not recognised is refused: %j', (head) => {
  expect(() => detectFormat('file', Buffer.from(head))).toThrow(
    /not recognised; name it with --format/,
  )
})
