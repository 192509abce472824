/** Columns from a caller who says more than there is, through the engine as its users have it. */
import { expect, test } from 'vitest'
import type { ColumnData } from '../../src/format/column.ts'
import { Stratalog } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'

test('refuses damaged columns of a shape that was appended before, and applies nothing of them', async () => {
  await using db = await Stratalog.memoryOnly()
  const log = await db.createLog('columns')
  const word = { type: 'utf8', length: 2, nullCount: 0, validity: null } as const
  const plain = { ...word, offsets: Int32Array.of(0, 1, 2), values: Buffer.from('ab') }
  const words = { ...plain, dictionary: null }
  const fields = [
    { name: 'text', type: 'utf8', nullable: true },
    { name: 'word', type: 'utf8', nullable: true },
  ] as const
  const coded = (...codes: number[]): ColumnData => ({
    ...word,
    offsets: null,
    values: new Uint8Array(Int32Array.from(codes).buffer),
    dictionary: words,
  })
  const append = (text: ColumnData, second: ColumnData): Promise<unknown> =>
    log.append({ fields, columns: [text, second], length: 2 })
  await append(words, coded(0, 1))
  const damaged: [ColumnData, ColumnData][] = [
    [{ ...words, offsets: Int32Array.of(0, 2, 1) }, coded(0, 1)],
    [{ ...words, offsets: Int32Array.of(0, 1, 3) }, coded(0, 1)],
    [{ ...words, offsets: Int32Array.of(-1, 1, 2) }, coded(0, 1)],
    [{ ...words, values: Uint8Array.of(0x61) }, coded(0, 1)],
    [{ ...words, values: Uint8Array.of(0xc3, 0xa9) }, coded(0, 1)],
    [words, coded(0, 2)],
    [words, coded(-1, 0)],
    [words, { ...coded(0, 1), values: new Uint8Array(7) }],
    [words, { ...coded(0, 1), length: 1 }],
  ]
  for (const [text, second] of damaged) await expectError(append(text, second), 'input_invalid')
  const other = { ...fields[0], type: 'binary' } as const
  await expectError(
    log.append({ fields: [other], columns: [{ ...words, type: 'binary' }], length: 2 }),
    'schema_mismatch',
  )
  // The caller's array of fields, changed since: another shape.
  const changing = [...fields]
  await log.append({ fields: changing, columns: [words, coded(1, 0)], length: 2 })
  changing.reverse()
  await log.append({ fields: changing, columns: [words, coded(1, 1)], length: 2 })
  const rows = await log.read().toArray()
  expect(rows.map((row) => `${String(row['text'])}${String(row['word'])}`)).toEqual([
    'aa',
    'bb',
    'ab',
    'ba',
    'ba',
    'bb',
  ])
})
