import { spawn as spawnChild } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { fieldIndex } from '../../src/format/schema.ts'
import { blockRanges, parseSegmentTail } from '../../src/format/segment-reader.ts'
import type { ToWorker } from '../../src/query/protocol.ts'
import { expectError } from '../support/expect-error.ts'
import { ISOLATIONS, type SampleLog, sampleLog, sampleRunner } from '../support/query-logs.ts'
import { repositoryRoot } from '../support/repository.ts'
import { sampleBatch, sampleSchema } from '../support/sample-batches.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const SCHEMA = sampleSchema({ id: 'int32', name: 'utf8', _time: 'timestamp[ms]' })

async function clicks(tier: 'memory' | 'disk' = 'memory'): Promise<SampleLog> {
  const rows = Array.from({ length: 5000 }, (_, id) => ({
    id,
    name: `a rather long name ${id}`,
    _time: new Date(id),
  }))
  return sampleLog(await temporaryDirectory(), 'clicks', [
    [{ tier, batches: [sampleBatch(SCHEMA, rows, { shared: true })] }],
  ])
}

/** Flips a bit of a column's bytes, in the middle block of a segment. */
async function damage(log: SampleLog, index: number, column: string): Promise<void> {
  const source = log.pin().partitions[0]?.sources[index]
  if (source === undefined || source.tier === 'memory' || source.bytes.path === null)
    throw new Error('a file')
  const bytes = Buffer.from(await source.bytes.read({ start: 0, end: source.bytes.length }))
  const tail = parseSegmentTail(bytes, bytes.length)
  if (tail.kind === 'more') throw new Error('a whole segment')
  const { facts } = tail
  const middle = facts.batches.length >> 1
  const [range] = blockRanges(facts, middle, [fieldIndex(facts.schema, column)])
  const position = range === undefined ? 0 : (range.start + range.end) >> 1
  bytes[position] = (bytes[position] ?? 0) ^ 1
  await writeFile(source.bytes.path, bytes)
}

/** More work than any test waits for. */
const ENDLESS =
  'SELECT count(*) FROM clicks a, clicks b, clicks c, clicks d WHERE a.id + b.id + c.id + d.id = 7'

test.each(ISOLATIONS)('%s: statements that do not only read are refused', async (isolation) => {
  const { runner } = sampleRunner([await clicks()], { isolation })
  const directory = await mkdtemp(join(tmpdir(), 'stratalog-hostile-'))
  const file = join(directory, 'secret.csv')
  await writeFile(file, 'a,b\n1,2\n')
  const statements = [
    `COPY clicks TO '${directory}/out.csv'`,
    `COPY (SELECT 1) TO '${directory}/out.csv'`,
    `ATTACH '${directory}/x.db'`,
    `EXPORT DATABASE '${directory}'`,
    'INSTALL httpfs',
    'LOAD httpfs',
    'SET threads = 64',
    'SET GLOBAL enable_external_access = true',
    'RESET lock_configuration',
    'PRAGMA version',
    'PRAGMA threads = 64',
    'CALL pragma_version()',
    'CREATE TABLE t (i INTEGER)',
    'CREATE OR REPLACE TEMP VIEW clicks AS SELECT 1',
    'INSERT INTO clicks VALUES (1)',
    'UPDATE clicks SET id = 1',
    'DELETE FROM clicks',
    'DROP VIEW clicks',
    'BEGIN TRANSACTION',
    'PREPARE p AS SELECT 1',
    'USE memory',
    'CHECKPOINT',
    `SELECT * FROM read_csv('${file}')`,
    `SELECT * FROM read_text('${file}')`,
    `SELECT * FROM glob('${directory}/*')`,
    `SELECT * FROM '${file}'`,
    'SELECT 1; SELECT 2',
    'SELECT 1; DROP VIEW clicks',
    `EXPLAIN ANALYZE COPY (SELECT 1) TO '${directory}/out.csv'`,
    '/* hello */ SET threads = 64',
  ]
  for (const statement of statements) {
    const error = await runner.query(statement).then(
      () => null,
      (reason: unknown) => reason,
    )
    expect(error, statement).toMatchObject({ code: 'query_forbidden', kind: 'invalid' })
  }
  expect(await readdir(directory)).toEqual(['secret.csv'])
  expect(await (await runner.query('SELECT count(*) AS n FROM clicks')).toArray()).toEqual([
    { n: 5000 },
  ])
})

test.each(ISOLATIONS)('%s: a statement that is wrong says where', async (isolation) => {
  const { runner } = sampleRunner([await clicks()], { isolation })
  const syntax = await expectError(
    runner.query('SELECT id\nFROM clicks WHER id > 1'),
    'query_invalid',
  )
  expect(syntax.message).toMatch(/syntax error at or near "id"/)
  expect(syntax.details).toEqual({ line: 2, column: 18 })
  const binder = await expectError(runner.query('SELECT nonsense FROM clicks'), 'query_invalid')
  expect(binder.details).toMatchObject({ line: 1, column: 8 })
  await expectError(runner.query(''), 'query_invalid')
  await expectError(runner.query(' -- nothing'), 'query_invalid')
  await expectError(runner.query("SELECT 'a'::INTEGER"), 'query_invalid')
})

test.each(ISOLATIONS)('%s: a log that is not there is not found', async (isolation) => {
  const { runner } = sampleRunner([await clicks()], { isolation })
  const error = await expectError(runner.query('SELECT * FROM clikcs'), 'log_not_found')
  expect(error.message).toMatch(/clikcs/)
  await expectError(runner.query('SELECT * FROM "clikcs$hot"'), 'log_not_found')
})

test.each(ISOLATIONS)('%s: more rows than allowed end the query', async (isolation) => {
  const log = await clicks()
  const { runner } = sampleRunner([log], { isolation })
  const result = await runner.query('SELECT * FROM clicks', [], { maxRows: 100 })
  const error = await expectError(result.toArray(), 'query_limit')
  expect(error.details).toEqual({ maxRows: 100 })
  expect(
    await (await runner.query('SELECT * FROM clicks LIMIT 100', [], { maxRows: 100 })).toArray(),
  ).toHaveLength(100)
  expect(log.releases).toBe(log.pins)
})

test.each(ISOLATIONS)('%s: more bytes than allowed end the query', async (isolation) => {
  const log = await clicks()
  const { runner, channels } = sampleRunner([log], { isolation })
  const sql = "SELECT repeat('x', 1000) AS v FROM range(1000)"
  const result = await runner.query(sql, [], { maxBytes: 100_000 })
  const error = await expectError(result.toArray(), 'query_limit')
  expect(error.details).toEqual({ maxBytes: 100_000 })
  // 1,000 bytes and an offset a row; the process goes on to the next query.
  expect(await (await runner.query(sql, [], { maxBytes: 1_100_000 })).toArray()).toHaveLength(1000)
  expect(channels).toHaveLength(1)
})

test.each(ISOLATIONS)(
  '%s: a signal ends a query at any time, and others go on',
  async (isolation) => {
    const log = await clicks()
    const { runner } = sampleRunner([log], { isolation })
    const aborted = AbortSignal.abort()
    await expectError(runner.query('SELECT 1', [], { signal: aborted }), 'aborted')
    for (const delayMs of [0, 1, 5, 20, 100]) {
      await expectError(
        runner.query(ENDLESS, [], { signal: AbortSignal.timeout(delayMs) }),
        'aborted',
      )
    }
    expect(log.releases).toBe(log.pins)
    expect(await (await runner.query('SELECT count(*) AS n FROM clicks')).toArray()).toEqual([
      { n: 5000 },
    ])
  },
)

test.each(ISOLATIONS)(
  '%s: a deadline ends a query, also one that waits for its turn or for its reader',
  async (isolation) => {
    const log = await clicks()
    const { runner } = sampleRunner([log], { isolation, concurrencyMax: 1 })
    const running = runner.query(ENDLESS, [], { timeoutMs: 500 })
    const waiting = runner.query('SELECT 1', [], { timeoutMs: 100 })
    await expectError(waiting, 'timeout')
    await expectError(running, 'timeout')
    // A process that was killed takes its time to be there again, and that counts as well.
    const unread = runner
      .query('SELECT a.id, a.name FROM clicks a, clicks b', [], { timeoutMs: 500 })
      .then(async (result) => {
        await expectError(result.stats, 'timeout')
        return await result.toArray()
      })
    await expectError(unread, 'timeout')
    expect(log.releases).toBe(log.pins)
  },
)

test.each(ISOLATIONS)(
  '%s: no more queries run at once than allowed, and the rest take their turn',
  async (isolation) => {
    const log = await clicks()
    const { runner } = sampleRunner([log], { isolation, concurrencyMax: 2, queueMax: 3 })
    const slow = [1, 2].map(() => runner.query(ENDLESS, [], { timeoutMs: 800 }))
    const queued = [1, 2, 3].map((n) => runner.query(`SELECT ${n} AS n`))
    await expectError(runner.query('SELECT 4'), 'queue_full')
    await Promise.all(slow.map((query) => expectError(query, 'timeout')))
    const rows = await Promise.all(queued.map(async (query) => (await query).toArray()))
    expect(rows.flat()).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
  },
)

test.each(ISOLATIONS)(
  '%s: queries that run side by side see their own tables',
  async (isolation) => {
    const { runner } = sampleRunner([await clicks()], { isolation })
    const counts = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const result = await runner.query('SELECT count(*) AS n FROM clicks WHERE id < $1', [
          index * 100,
        ])
        return (await result.toArray())[0]?.['n']
      }),
    )
    expect(counts).toEqual(Array.from({ length: 20 }, (_, index) => index * 100))
  },
)

test.each(ISOLATIONS)(
  '%s: closing in the middle of queries ends them and does not hang',
  async (isolation) => {
    const log = await clicks()
    const { runner } = sampleRunner([log], { isolation, concurrencyMax: 3 })
    // Left unread with a full window: DuckDB's tasks rest in the middle of a scan.
    const unread = await runner.query('SELECT a.id, a.name FROM clicks a, clicks b')
    const queries = [1, 2, 3].map(() => runner.query(ENDLESS))
    const failures = Promise.all(queries.map((query) => expectError(query, 'engine_closed')))
    await runner.close()
    await failures
    await expectError(unread.toArray(), 'engine_closed')
    await expectError(runner.query('SELECT 1'), 'engine_closed')
    expect(log.releases).toBe(log.pins)
  },
)

test('a thread that dies in the middle of a query ends it, and not the process', async () => {
  const log = await clicks()
  const { runner, channels } = sampleRunner([log])
  const unread = await runner.query('SELECT a.id, a.name FROM clicks a, clicks b')
  const running = expectError(runner.query(ENDLESS), 'query_failed')
  const [channel] = channels
  if (channel === undefined) throw new Error('a worker')
  await new Promise<void>((resolve) => {
    channel.onMessage((message) => {
      if (message.kind === 'planned') resolve()
    })
  })
  const exited = new Promise<void>((resolve) => channel.onExit(() => resolve()))
  // No message of ours: the worker trips over it with nobody to catch the error.
  channel.post({ kind: 'open' } as unknown as ToWorker)
  await running
  await expectError(unread.toArray(), 'query_failed')
  expect(log.releases).toBe(log.pins)
  await exited
  expect(await (await runner.query('SELECT 1 AS one')).toArray()).toEqual([{ one: 1 }])
})

test.each(ISOLATIONS)(
  '%s: a damaged segment is named and never read as rows',
  async (isolation) => {
    const log = await clicks('disk')
    await damage(log, 0, 'id')
    const { runner } = sampleRunner([log], { isolation })
    await expectError(runner.query('SELECT sum(id) FROM clicks'), 'segment_corrupt')
  },
)

test.each(ISOLATIONS)(
  '%s: a query that fails after its first rows fails, and says why',
  async (isolation) => {
    const { runner } = sampleRunner([await clicks()], { isolation })
    const sql = (limit: string) =>
      `SELECT a.name || b.name AS names, CASE WHEN a.id = 4999 THEN error('no ' || ${limit}) ELSE b.id END AS id
     FROM clicks a, clicks b WHERE b.id < ${limit}`
    const error = await expectError(
      runner.query(sql('$1::INTEGER'), [40]).then((result) => result.toArray()),
      'query_invalid',
    )
    expect(error.message).toMatch(/no 40/)
  },
)

test.each(ISOLATIONS)('%s: damage in the middle of a result is not its end', async (isolation) => {
  const rows = Array.from({ length: 60_000 }, (_, id) => ({
    id,
    name: `a rather long name that is another in every row: ${id}`,
    _time: new Date(id),
  }))
  const batch = (from: number, to: number) =>
    sampleBatch(SCHEMA, rows.slice(from, to), { baseOffset: from })
  const log = await sampleLog(await temporaryDirectory(), 'clicks', [
    [
      { tier: 'disk', batches: [batch(0, 30_000)] },
      { tier: 'disk', batches: [batch(30_000, 60_000)] },
    ],
  ])
  await damage(log, 1, 'name')
  const { runner } = sampleRunner([log], { isolation })
  const result = await runner.query(`SELECT ${Array(8).fill('name').join(', ')} FROM clicks`)
  await expectError(result.toArray(), 'segment_corrupt')
  await expectError(result.stats, 'segment_corrupt')
})

test.each(ISOLATIONS)(
  '%s: a process that exits in the middle of a query does not hang',
  async (isolation) => {
    const [spawn, module] = {
      thread: ['spawnQueryWorker', 'spawn-query-worker'],
      process: ['spawnQueryProcess', 'spawn-query-process'],
    }[isolation]
    const script = `
    import { QueryRunner } from '${sourceUrl('query/query-runner.ts')}'
    import { DEFAULT_QUERY_LIMITS } from '${sourceUrl('query/query-runner.ts')}'
    import { ${spawn} as spawn } from '${sourceUrl(`engine/workers/${module}.ts`)}'
    import { systemClock } from '${sourceUrl('base/clock.ts')}'
    import { silentLogger } from '${sourceUrl('base/logger.ts')}'
    import { noMetrics as metrics } from '${sourceUrl('base/metrics.ts')}'
    const ports = { clock: systemClock, logger: silentLogger, metrics, hasLog: () => false, spawn }
    const runner = new QueryRunner(ports, { ...DEFAULT_QUERY_LIMITS, isolation: '${isolation}' })
    await runner.query('SELECT 1')
    runner.query('SELECT count(*) FROM range(100000000000) WHERE range < 0').catch(() => {})
    setTimeout(() => process.exit(7), 100)`
    const started = performance.now()
    const child = spawnChild(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: 'inherit',
    })
    const [status] = (await once(child, 'exit')) as [number]
    expect(status).toBe(7)
    expect(performance.now() - started).toBeLessThan(14_000)
  },
)

function sourceUrl(path: string): string {
  return pathToFileURL(join(repositoryRoot, 'src', path)).href
}

test('a cast fails by a value also where no row of its segment can pass the filter', async () => {
  const schema = sampleSchema({ v: 'uint64', _time: 'timestamp[ms]' })
  const records = [3_000_000_000n, 4_000_000_000n].map((v) => ({ v, _time: new Date(0) }))
  const batches = [sampleBatch(schema, records)]
  const directory = await temporaryDirectory()
  const log = await sampleLog(directory, 'far', [[{ tier: 'disk', batches }]])
  const { runner } = sampleRunner([log])
  const failed = async (): Promise<unknown> =>
    (await runner.query('SELECT count(*) FROM far WHERE CAST(v AS INTEGER) = 5')).toArray()
  expect((await expectError(failed(), 'query_invalid')).message).toMatch(/out of range/)
})
