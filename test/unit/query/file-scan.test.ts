import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { expect, test } from 'vitest'
import { columnReader } from '../../../src/format/column-values.ts'
import {
  type FileChunk,
  type FileScanOptions,
  type RejectedLine,
  scanFile,
} from '../../../src/query/file-scan.ts'
import { expectError } from '../../support/expect-error.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

async function scan(
  path: string,
  options: FileScanOptions,
): Promise<{ chunks: FileChunk[]; rows: unknown[][] }> {
  const chunks: FileChunk[] = []
  const rows: unknown[][] = []
  for await (const chunk of scanFile(path, options)) {
    chunks.push(chunk)
    const readers = chunk.columns.map(columnReader)
    for (let row = 0; row < chunk.length; row++) rows.push(readers.map((read) => read(row)))
  }
  return { chunks, rows }
}

test('a CSV file comes with its types and nulls', async () => {
  const path = join(await temporaryDirectory(), 'people.csv')
  await writeFile(path, 'id,name,born,score\n1,"Ada, Countess",1815-12-10,1.5\n2,,1906-12-09,\n')
  const { chunks, rows } = await scan(path, { format: 'csv' })
  expect(chunks[0]?.fields).toEqual([
    { name: 'id', type: 'int64', nullable: true },
    { name: 'name', type: 'utf8', nullable: true },
    { name: 'born', type: 'date', nullable: true },
    { name: 'score', type: 'float64', nullable: true },
  ])
  expect(rows).toEqual([
    [1, 'Ada, Countess', new Date('1815-12-10'), 1.5],
    [2, null, new Date('1906-12-09'), null],
  ])
})

test('a Parquet file that is damaged behind its first rows is refused, not taken for a shorter one', async () => {
  const path = join(await temporaryDirectory(), 'rows.parquet')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`COPY (SELECT range AS id, md5(range::VARCHAR) AS text FROM range(200000))
    TO '${path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)`)
  connection.disconnectSync()
  instance.closeSync()
  const bytes = await readFile(path)
  const middle = Math.floor(bytes.length * 0.8)
  await writeFile(path, bytes.fill(0xff, middle, middle + 100_000))
  const error = await expectError(scan(path, { format: 'parquet' }), 'input_invalid')
  expect(error.message).toMatch(/cannot be read as parquet: \w/)
})

test('a Parquet file comes in its order, in chunks that share their fields', async () => {
  const path = join(await temporaryDirectory(), 'rows.parquet')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`COPY (
    SELECT range AS id, CASE WHEN range % 3 = 0 THEN NULL ELSE 'a text that is rather long ' || range END AS text,
      'k' || range % 7 AS short, (range - 50000)::DECIMAL(12,2) AS price, range % 2 = 0 AS even, [range, 1] AS pair,
      TIMESTAMP '2026-01-01' + INTERVAL (range) SECOND AS at, TIME '12:00:00' AS noon, range::HUGEINT AS wide
    FROM range(100000)) TO '${path}' (FORMAT parquet)`)
  connection.disconnectSync()
  instance.closeSync()
  const { chunks, rows } = await scan(path, { format: 'parquet' })
  expect(chunks.length).toBeGreaterThan(1)
  expect(new Set(chunks.map((chunk) => chunk.fields)).size).toBe(1)
  expect(chunks[0]?.fields.map((field) => field.type)).toEqual([
    'int64',
    'utf8',
    'utf8',
    'decimal(12,2)',
    'bool',
    'json',
    'timestamp[us]',
    'utf8',
    'float64',
  ])
  expect(rows).toHaveLength(100_000)
  for (const id of [0, 1, 2047, 2048, 32_767, 32_768, 99_999]) {
    expect(rows[id]).toEqual([
      id,
      id % 3 === 0 ? null : `a text that is rather long ${id}`,
      `k${id % 7}`,
      (id - 50_000).toFixed(2),
      id % 2 === 0,
      [id, 1],
      BigInt(Date.UTC(2026, 0, 1) + id * 1000) * 1000n,
      '12:00:00',
      id,
    ])
  }
})

test('a file without rows still has fields; one that is none has an error', async () => {
  const directory = await temporaryDirectory()
  const path = join(directory, 'empty.csv')
  await writeFile(path, 'a,b\n')
  const { chunks } = await scan(path, { format: 'csv' })
  expect(chunks.map((chunk) => [chunk.length, chunk.fields.map((field) => field.name)])).toEqual([
    [0, ['a', 'b']],
  ])
  await expectError(scan(path, { format: 'parquet' }), 'input_invalid')
  await expectError(scan(join(directory, 'none.csv'), { format: 'csv' }), 'file_not_found')
  await expectError(scan(path, { format: 'csv', signal: AbortSignal.abort() }), 'aborted')
})

test('a scan that is left early closes its DuckDB', async () => {
  const path = join(await temporaryDirectory(), 'many.csv')
  await writeFile(path, `a\n${Array.from({ length: 200_000 }, (_, row) => row).join('\n')}\n`)
  for await (const chunk of scanFile(path, { format: 'csv' })) {
    expect(chunk.length).toBeGreaterThan(0)
    break
  }
})

test('a line that is no record is told with its place, or ends the scan when nobody asks', async () => {
  const path = join(await temporaryDirectory(), 'late.csv')
  const good = Array.from({ length: 30_000 }, (_, n) => `${n},x\n`).join('')
  await writeFile(path, `a,b\n${good}7,"late, quoted"\nz,w\n8\n`)
  const rejected: RejectedLine[] = []
  const { rows } = await scan(path, {
    format: 'csv',
    onRejected: async (line) => void rejected.push(line),
  })
  expect(rows).toHaveLength(30_001)
  expect(rows.at(-1)).toEqual([7, 'late, quoted'])
  expect(rejected.map(({ line, text }) => [line, text])).toEqual([
    [30_003, 'z,w'],
    [30_004, '8'],
  ])
  await expectError(scan(path, { format: 'csv' }), 'input_invalid')
})
