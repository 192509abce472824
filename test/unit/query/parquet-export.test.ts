import { join } from 'node:path'
import { expect, test } from 'vitest'
import { columnReader } from '../../../src/format/column-values.ts'
import { scanFile } from '../../../src/query/file-scan.ts'
import { writeParquet } from '../../../src/query/parquet-export.ts'
import { expectError } from '../../support/expect-error.ts'
import { sampleBatch, sampleSchema } from '../../support/sample-batches.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

test('records come back from a Parquet file as they were written', async () => {
  const schema = sampleSchema({
    id: 'int64',
    'full name': 'utf8',
    at: 'timestamp[us]',
    price: 'decimal(9,2)',
  })
  const rows = Array.from({ length: 5000 }, (_, id) => ({
    id,
    'full name': id % 3 === 0 ? null : `somebody with the number ${id}`,
    at: BigInt(id) * 1001n,
    price: (id / 100).toFixed(2),
  }))
  const path = join(await temporaryDirectory(), "it's.parquet")
  await writeParquet(path, schema.fields, [
    sampleBatch(schema, rows.slice(0, 2999), { shared: true }),
    sampleBatch(schema, rows.slice(2999), { baseOffset: 2999 }),
  ])
  const found: unknown[] = []
  for await (const { fields, columns, length } of scanFile(path, { format: 'parquet' })) {
    expect(fields).toEqual(schema.fields)
    const readers = columns.map(columnReader)
    for (let row = 0; row < length; row++) {
      found.push(
        Object.fromEntries(fields.map((field, index) => [field.name, readers[index]?.(row)])),
      )
    }
  }
  expect(found).toEqual(rows)
  await expectError(
    writeParquet('/nowhere/at/all.parquet', schema.fields, []),
    'file_system_failed',
  )
})
