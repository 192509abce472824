/**
 * A file that pyarrow 26 wrote: a table of four rows, three times, and of those the rows from 1 to 9, so that two of
 * its three batches are cut.
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type ArrowColumns } from '../../../src/format/arrow-input.ts'
import { parseArrowIpc } from '../../../src/format/arrow-ipc.ts'
import { encodeIpcStream } from '../../../src/format/arrow-output.ts'
import { columnProblem } from '../../../src/format/column-check.ts'
import { batchToRows } from '../../../src/format/column-values.ts'
import { goldenPath } from '../../support/manifests.ts'

const LONG = 'cd longer than twelve bytes'
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))
const day = (days: number): Date => new Date(days * 86_400_000)

/** By column: pyarrow's type, ours, and the values; row 1 is null in every column. */
const COLUMNS: Readonly<Record<string, readonly [type: string, values: readonly unknown[]]>> = {
  l: ['list<int16>', [[1, 2], [], [3, null]]],
  ll: ['list<int16>', [[1, 2], [], [3, null]]],
  fl: [
    'list<int16>',
    [
      [1, 2],
      [5, 6],
      [3, null],
    ],
  ],
  m: [
    'list<struct<key:utf8,value:int32>>',
    [[{ key: 'a', value: 1 }], [], [{ key: 'b', value: null }]],
  ],
  s: [
    'struct<x:int32,y:list<utf8>>',
    [
      { x: 1, y: ['q'] },
      { x: null, y: null },
      { x: 4, y: [] },
    ],
  ],
  h: ['float32', [1.5, -2, 65504]],
  fb: ['binary', [bytes('ab'), bytes('cd'), bytes('ef')]],
  lb: ['binary', [bytes('ab'), bytes('cd'), bytes('')]],
  lu: ['utf8', ['ab', 'cd', '']],
  uv: ['utf8', ['ab', LONG, '']],
  bv: ['binary', [bytes('ab'), bytes(LONG), bytes('')]],
  di: ['int64', [7, 7, 9]],
  ds: ['utf8', ['7', '7', '9']],
  db: ['binary', [bytes('7'), bytes('7'), bytes('9')]],
  ld: ['list<utf8>', [['a'], ['a', 'b'], [null]]],
  tz: ['timestamp[us]', [1n, 2n, 3n]],
  ts: ['timestamp[ns]', [1n, 2n, 3n]],
  d32: ['date', [day(1), day(2), day(3)]],
  d64: ['timestamp[ms]', [day(1), day(2), day(3)]],
  dec: ['decimal(10,2)', ['1.50', '-2.25', '0.00']],
  b: ['bool', [true, false, true]],
}

function rowsOf(part: ArrowColumns): readonly object[] {
  const schema = { id: 0, fields: part.fields }
  return batchToRows({ ...part, schema, baseOffset: 0, appendTimeMin: 0, appendTimeMax: 0 })
}

const file = (): Uint8Array => readFileSync(goldenPath('foreign/pyarrow.arrow'))

test('the types of another Arrow implementation come as ours, values and nulls alike', async () => {
  const parts = await parseArrowIpc(file())
  expect(parts.map((part) => part.length)).toEqual([3, 4, 2])
  const types = Object.entries(COLUMNS).map(([name, [type]]) => ({ name, type, nullable: true }))
  for (const part of parts) {
    expect(part.fields).toEqual(types)
    expect(part.columns.map(columnProblem)).toEqual(types.map(() => null))
  }
  const row = (index: number): object =>
    Object.fromEntries(
      Object.entries(COLUMNS).map(([name, [, values]]) => [
        name,
        [values[0], null, values[1], values[2]][index % 4],
      ]),
    )
  expect(parts.flatMap(rowsOf)).toEqual(Array.from({ length: 9 }, (_, index) => row(index + 1)))
})

test('a file of another Arrow implementation that is cut short is refused', async () => {
  const whole = file()
  for (let length = 0; length < whole.length; length += 97) {
    await expect(parseArrowIpc(whole.slice(0, length))).rejects.toMatchObject({
      code: 'input_invalid',
    })
  }
})

test('a damaged file or stream is refused, or has columns that can be read, and is soon done with', async () => {
  const parts = await parseArrowIpc(file())
  const fields = parts[0]?.fields ?? []
  const stream = Buffer.concat([...encodeIpcStream(fields, parts)])
  for (const whole of [file(), stream]) {
    for (let position = 0; position < whole.length; position += 19) {
      const damaged = new Uint8Array(whole)
      damaged[position] = (damaged[position] ?? 0) ^ 0xff
      const read = await parseArrowIpc(damaged).catch((error: unknown) => {
        expect(error).toMatchObject({ name: 'StratalogError' })
        return []
      })
      for (const part of read) {
        expect(part.columns.map(columnProblem)).toEqual(part.columns.map(() => null))
        rowsOf(part)
      }
    }
  }
})

test('counts and kinds that would keep a reader busy for ever are refused', async () => {
  // The count of buffers of a dictionary, and where the metadata of a record batch begin.
  for (const position of [1950, 7657]) {
    const damaged = new Uint8Array(file())
    damaged[position] = (damaged[position] ?? 0) ^ 0xff
    await expect(parseArrowIpc(damaged)).rejects.toMatchObject({ code: 'input_invalid' })
  }
})

test('a type that is not even read says what to cast it to', async () => {
  const lists = readFileSync(goldenPath('foreign/list-view.arrow'))
  await expect(parseArrowIpc(lists)).rejects.toMatchObject({
    code: 'type_unsupported',
    details: { given: 'ListView' },
  })
})
