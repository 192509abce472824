/** Arrow streams are decoded as they come, however they are cut into pieces. */
import { expect, test } from 'vitest'
import { parseArrowIpc } from '../../../src/format/arrow-ipc.ts'
import { ArrowFileEncoder } from '../../../src/format/arrow-file.ts'
import { encodeIpcStream } from '../../../src/format/arrow-output.ts'
import { decodeArrowStream } from '../../../src/format/arrow-stream.ts'
import { createColumnBuilder } from '../../../src/format/column-builder.ts'
import { columnReader } from '../../../src/format/column-values.ts'
import type { ColumnData } from '../../../src/format/column.ts'
import { HEAP_BUFFERS } from '../../../src/format/growing-column.ts'
import type { Field } from '../../../src/format/schema.ts'
import { all } from '../../support/all.ts'

const fields: readonly Field[] = [
  { name: 'n', type: 'int32', nullable: false },
  { name: 'text', type: 'utf8', nullable: true },
]
const values = [
  [1, 'one'],
  [2, null],
  [3, 'three'],
] as const

function batchOf(rows: readonly (readonly [number, string | null])[]): {
  readonly columns: readonly ColumnData[]
  readonly length: number
} {
  const numbers = createColumnBuilder('int32', HEAP_BUFFERS)
  const texts = createColumnBuilder('utf8', HEAP_BUFFERS)
  for (const [number, text] of rows) {
    numbers.push(number)
    texts.push(text)
  }
  return { columns: [numbers, texts].map((one) => one.slice(0, rows.length)), length: rows.length }
}

const batches = [batchOf(values.slice(0, 2)), batchOf(values.slice(2))]
const bytes = Buffer.concat([...encodeIpcStream(fields, batches)])

async function* pieces(whole: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < whole.length; start += length)
    yield whole.subarray(start, start + length)
}

function rowsOf(
  chunks: readonly { readonly columns: readonly ColumnData[]; length: number }[],
): unknown {
  return chunks.flatMap(({ columns, length }) =>
    Array.from({ length }, (_, row) => columns.map((column) => columnReader(column)(row))),
  )
}

test('pieces of any length give the same batches', async () => {
  for (const length of [1, 7, 64, bytes.length]) {
    const chunks = await all(decodeArrowStream(pieces(bytes, length)))
    expect(chunks.map((chunk) => chunk.length)).toEqual([2, 1])
    expect(chunks[0]?.fields).toEqual(fields)
    expect(rowsOf(chunks)).toEqual(values)
  }
})

test('a stream without batches gives its columns', async () => {
  const empty = Buffer.concat([...encodeIpcStream(fields, [])])
  const chunks = await all(decodeArrowStream(pieces(empty, 16)))
  expect(chunks.map((chunk) => [chunk.fields, chunk.length])).toEqual([[fields, 0]])
})

test('a stream that breaks off, or is none, is refused', async () => {
  for (let length = 0; length < bytes.length; length += 3) {
    const decoding = all(decodeArrowStream(pieces(bytes.subarray(0, length), 50)))
    await expect(decoding, `${length} bytes`).rejects.toMatchObject({ code: 'input_invalid' })
  }
  const text = Buffer.from('this is text, and not of Arrow, however long it goes on')
  await expect(all(decodeArrowStream(pieces(text, 9)))).rejects.toMatchObject({
    code: 'input_invalid',
  })
})

test('a file has a footer by which its batches are found', async () => {
  const encoder = new ArrowFileEncoder()
  const parts = [encoder.begin(fields), ...batches.map((batch) => encoder.chunk(batch))]
  const file = Buffer.concat([...parts, encoder.end()])
  const read = await parseArrowIpc(file)
  expect(rowsOf(read)).toEqual(values)
  expect(read[0]?.fields).toEqual(fields)
})
