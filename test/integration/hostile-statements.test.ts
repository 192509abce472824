import { mkdtemp, readdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { expect, test } from 'vitest'
import { hostileStatements } from '../support/hostile-statements.ts'
import { ISOLATIONS, sampleLog, sampleRunner } from '../support/query-logs.ts'
import { sampleBatch, sampleSchema } from '../support/sample-batches.ts'

/** A DuckDB as it comes, with a table `clicks`. */
async function withUnlocked(
  work: (connection: DuckDBConnection) => Promise<unknown>,
): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    await connection.run('CREATE TABLE clicks AS SELECT 1 AS id')
    await work(connection)
  } finally {
    connection.disconnectSync()
    instance.closeSync()
  }
}

async function secrets(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'stratalog-hostile-'))
  await writeFile(`${directory}/secret.csv`, 'a,b\n1,2\n')
  await writeFile(`${directory}/secret.json`, '{"a":1}\n')
  await withUnlocked((connection) =>
    connection.run(`COPY (SELECT 1 AS a) TO '${directory}/secret.parquet'`),
  )
  return directory
}

test('every hostile statement works in a DuckDB that is not locked', async () => {
  const statements = hostileStatements({ directory: await secrets() })
  expect(new Set(statements).size).toBeGreaterThanOrEqual(200)
  const failures: string[] = []
  for (const sql of statements) {
    await withUnlocked((connection) =>
      connection.run(sql).catch((error: unknown) => failures.push(`${sql}: ${String(error)}`)),
    )
  }
  expect(failures).toEqual([])
})

test.each(ISOLATIONS)('%s: no hostile statement does anything', async (isolation) => {
  const directory = await secrets()
  const files = await readdir(directory)
  const schema = sampleSchema({ id: 'int32' })
  const batches = [sampleBatch(schema, [{ id: 1 }], { shared: true })]
  const log = await sampleLog(directory, 'clicks', [[{ tier: 'memory', batches }]])
  const { runner, channels } = sampleRunner([log], { isolation })
  for (const sql of hostileStatements({ directory })) {
    const error = await runner.query(sql).then(
      (result) => result.toArray(),
      (reason: unknown) => reason,
    )
    expect(error, sql).toMatchObject({
      code: expect.stringMatching(/^query_(?:forbidden|invalid)$/),
      kind: 'invalid',
    })
  }
  expect(await readdir(directory)).toEqual(files)
  expect(channels).toHaveLength(1)
  expect(await (await runner.query('SELECT id FROM clicks')).toArray()).toEqual([{ id: 1 }])
  expect(log.releases).toBe(log.pins)
})
