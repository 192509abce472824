/** Bodies of the client of this package: tagged values, and what is no record. */
import { expect, test } from 'vitest'
import type { Field } from '../../../src/format/schema.ts'
import { LineParser } from '../../../src/engine/line-parser.ts'
import { parseAppend } from '../../../src/server/api/append-input.ts'

const FIELDS: readonly Field[] = [
  { name: 'whole', type: 'int64', nullable: true },
  { name: 'x', type: 'float64', nullable: true },
]

async function parsed(...lines: readonly string[]): Promise<unknown> {
  const lineParser = new LineParser(() => {
    throw new Error('These are not worth a thread.')
  })
  const type = 'application/vnd.stratalog.records+ndjson'
  const body = Buffer.from(lines.join('\n'))
  return (await parseAppend(body, type, { fieldsOf: () => FIELDS, lines: lineParser })).records
}

test('whole floats beyond 2^53 are numbers for a column of floats', async () => {
  expect(
    await parsed(
      '{"whole":9007199254740993,"x":100000000000000000000}',
      '{"whole":{"":["bigint","9007199254740993"]},"x":{"":["number","-0"]}}',
    ),
  ).toEqual([
    { whole: 9_007_199_254_740_993n, x: 1e20 },
    { whole: 9_007_199_254_740_993n, x: -0 },
  ])
})

test('a record with an empty key is one, and is a plain object', async () => {
  expect(await parsed('{"":["object",{"":1,"x":{"":["number","NaN"]}}]}')).toEqual([
    { '': 1, x: Number.NaN },
  ])
})

test.each([
  '{"":["bytes","AQID"]}',
  '{"":["date",0]}',
  '{"":["bigint","1"]}',
  '{"":["number","1"]}',
  '{"":["object",[1,2]]}',
])('a line that is a value and no record is refused: %s', async (line) => {
  await expect(parsed('{"x":1}', line)).rejects.toMatchObject({
    code: 'request_invalid',
    message: 'The line 1 is not an object.',
  })
})
