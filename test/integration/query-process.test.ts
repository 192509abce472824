/** What only queries in processes of their own promise: whatever one does to its process costs that query alone. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Stratalog } from '../../src/index.ts'
import type { QueryRunner } from '../../src/query/query-runner.ts'
import type { ToWorker } from '../../src/query/protocol.ts'
import { eventually } from '../support/eventually.ts'
import { expectError } from '../support/expect-error.ts'
import { type SampleLog, sampleLog, sampleRunner } from '../support/query-logs.ts'
import { repositoryRoot } from '../support/repository.ts'
import { sampleBatch, sampleSchema } from '../support/sample-batches.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const SCHEMA = sampleSchema({ id: 'int32', name: 'utf8', _time: 'timestamp[ms]' })

async function clicks(): Promise<SampleLog> {
  const rows = Array.from({ length: 5000 }, (_, id) => ({
    id,
    name: `a rather long name ${id}`,
    _time: new Date(id),
  }))
  return sampleLog(await temporaryDirectory(), 'clicks', [
    [{ tier: 'memory', batches: [sampleBatch(SCHEMA, rows, { shared: true })] }],
  ])
}

/**
 * One call that DuckDB cannot be interrupted in, of more work than any test waits for. Of one row: of a block of rows
 * the texts alone are gigabytes, which a machine with other work may refuse before the deadline comes.
 */
const DEAF =
  'SELECT levenshtein(repeat(name, 40000), repeat(name, 40001)) AS n FROM clicks WHERE id = 7'
/** The same when the statement is planned. */
const DEAF_PLAN = "SELECT levenshtein(repeat('x', 1000000), repeat('y', 1000000))"

async function countOf(runner: QueryRunner): Promise<unknown> {
  return (await (await runner.query('SELECT count(*)::INTEGER AS n FROM clicks')).toArray())[0]?.[
    'n'
  ]
}

test('calls that amplify cost that query alone, and another goes on beside it', async () => {
  const log = await clicks()
  const { runner } = sampleRunner([log], { isolation: 'process', memoryBytesMax: 64 * 1024 ** 2 })
  const unread = await runner.query('SELECT a.id, a.name FROM clicks a, clicks b')
  for (const sql of [
    "SELECT length(repeat('x', 2000000000))",
    'SELECT sum(length(repeat(name, 2000000))) FROM clicks',
    'SELECT len(list_resize([1], 1000000000, 7))',
    'SELECT len(range(2000000000))',
  ]) {
    const error = await runner.query(sql, [], { timeoutMs: 60_000 }).then(
      (result) => result.toArray().catch((reason: unknown) => reason),
      (reason: unknown) => reason,
    )
    // An allocation that fails may end a process before it can say why.
    expect(error, sql).toMatchObject({ code: expect.stringMatching(/^query_(?:limit|failed)$/) })
    // Nor does what is left of its process fail the next one.
    expect(await countOf(runner), sql).toBe(5000)
  }
  let rows = 0
  for await (const batch of unread.batches()) {
    rows += batch.length
    if (rows > 100_000) break
  }
  expect(rows).toBeGreaterThan(100_000)
  expect(log.releases).toBe(log.pins)
}, 300_000)

test('a query that cannot be interrupted ends at its deadline, with its process', async () => {
  const log = await clicks()
  const { runner } = sampleRunner([log], { isolation: 'process' })
  const unread = await runner.query('SELECT a.id, a.name FROM clicks a, clicks b')
  for (const sql of [DEAF, DEAF_PLAN]) {
    await expectError(runner.query(sql, [], { timeoutMs: 500 }), 'timeout')
    await expectError(runner.query(sql, [], { signal: AbortSignal.timeout(500) }), 'aborted')
  }
  // The query beside them kept its process.
  expect((await unread.batches().next()).done).toBe(false)
  await unread.close()
  expect(await countOf(runner)).toBe(5000)
  expect(log.releases).toBe(log.pins)
})

test('a query that ends as it should leaves its process to the next', async () => {
  const log = await clicks()
  const { runner, channels } = sampleRunner([log], { isolation: 'process' })
  for (let n = 0; n < 3; n++) expect(await countOf(runner)).toBe(5000)
  await expectError(runner.query('SELECT nonsense FROM clicks'), 'query_invalid')
  expect(await countOf(runner)).toBe(5000)
  expect(channels).toHaveLength(1)
})

test('a process that dies in the middle of a query ends that query, and no other', async () => {
  const log = await clicks()
  const { runner, channels } = sampleRunner([log], { isolation: 'process' })
  const lost = await runner.query('SELECT a.id, a.name FROM clicks a, clicks b')
  const kept = await runner.query('SELECT a.id, a.name FROM clicks a, clicks b')
  // No message of ours: the process trips over it with nobody to catch the error.
  channels[0]?.post({ kind: 'open' } as unknown as ToWorker)
  await expectError(lost.toArray(), 'query_failed')
  expect((await kept.batches().next()).done).toBe(false)
  expect(await countOf(runner)).toBe(5000)
  await kept.close()
  expect(log.releases).toBe(log.pins)
})

test('closing ends queries that cannot be interrupted', async () => {
  const log = await clicks()
  const { runner } = sampleRunner([log], { isolation: 'process', concurrencyMax: 3 })
  const failed = [DEAF, DEAF_PLAN].map((sql) => expectError(runner.query(sql), 'engine_closed'))
  expect(await countOf(runner)).toBe(5000)
  await runner.close()
  await Promise.all(failed)
  expect(log.releases).toBe(log.pins)
})

test('records that come and batches that close while queries run are each seen once', async () => {
  await using db = await Stratalog.open({ queryIsolation: 'process' })
  const log = await db.createLog('numbers')
  const text = 'x'.repeat(400)
  let appended = 0
  for (let round = 0; round < 12; round++) {
    await log.append(Array.from({ length: 1000 }, () => ({ n: appended++, text })))
    const result = await db.query(
      'SELECT count(*)::INTEGER AS n, sum(n)::BIGINT AS total, sum(length(text))::BIGINT AS chars FROM numbers',
    )
    expect(await result.toArray()).toEqual([
      { n: appended, total: (appended * (appended - 1)) / 2, chars: appended * 400 },
    ])
  }
})

test('a process ends with the one that started it, however that ends', async () => {
  const script = `
    import { Stratalog } from '${pathToFileURL(join(repositoryRoot, 'src/index.ts')).href}'
    const db = await Stratalog.open({ queryIsolation: 'process' })
    const result = await db.query('SELECT 1 AS one')
    await result.toArray()
    db.query('SELECT count(*) FROM range(100000000000) WHERE range < 0').catch(() => {})
    console.log('ready')
    setInterval(() => {}, 1000)`
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(parent.stdout, 'data')
  const children = childrenOf(parent.pid ?? 0)
  expect(children).toHaveLength(1)
  parent.kill('SIGKILL')
  await once(parent, 'exit')
  await eventually(() => expect(children.filter(isAlive)).toEqual([]))
})

function childrenOf(pid: number): readonly number[] {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).split('\n')
  return lines.flatMap((line) => {
    const [child = 0, parent = 0] = line.trim().split(/\s+/).map(Number)
    return parent === pid ? [child] : []
  })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
