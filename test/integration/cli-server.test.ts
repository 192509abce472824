/** Every command that changes or looks after logs does on a server what it does on a directory. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { CliPlace, EVENTS, EVENTS_NDJSON } from '../support/cli-place.ts'
import { jsonLines, runCli, runJson } from '../support/cli.ts'
import { TestServer } from '../support/server.ts'

const place = new CliPlace()
let server: TestServer
let there: readonly string[]

beforeAll(async () => {
  const tokens = place.file('x', '').replace(/x$/, 'tokens.json')
  const flags = ['--tokens', tokens, '--name', 'all', '--scopes', 'read,append,sql,admin']
  const { token } = await runJson<{ token: string }>(['token', 'create', ...flags])
  server = await TestServer.start([...place.where, '--tokens', tokens])
  there = ['--url', server.url, '--token', token]
})
afterAll(async () => {
  await server.stop()
  place.remove()
})

const count = expect.any(Number) as number
const text = expect.any(String) as string

interface Rows {
  readonly rows: readonly unknown[]
}

async function rowsOf(sql: string): Promise<readonly unknown[]> {
  return (await runJson<Rows>(['sql', sql, ...there])).rows
}

async function failure(...args: readonly string[]): Promise<readonly unknown[]> {
  const { status, stderr, stdout } = await runCli([...args, '--json'])
  expect(stdout).toBe('')
  const { error } = jsonLines(stderr)[0] as { error: { code: string } }
  return [status, error.code]
}

describe('logs', () => {
  test('create, alter, describe and fork print the log', async () => {
    const schema = place.file('schema.json', '{"at":"timestamp[ms]","user":"utf8"}')
    const flags = ['--schema', schema, '--time-column', 'at', '--key-column', 'user']
    const created = await runJson([
      'logs',
      'create',
      'orders',
      ...there,
      ...flags,
      '--disk-ttl',
      '7d',
    ])
    expect(created).toEqual({
      name: 'orders',
      schema: [
        { name: 'at', type: 'timestamp[ms]', nullable: false },
        { name: 'user', type: 'utf8', nullable: true },
      ],
      policy: expect.objectContaining({ mode: 'hybrid', diskTtl: 604_800_000 }) as object,
      partitions: 1,
      timeColumn: 'at',
      keyColumn: 'user',
      rpoMs: 0,
    })
    const altered = await runJson<{ policy: object }>([
      'logs',
      'alter',
      'orders',
      ...there,
      '--memory-ttl',
      '10m',
      '--reset',
      'disk-ttl',
    ])
    expect(altered.policy).toMatchObject({ memoryTtl: 600_000 })
    expect(altered.policy).not.toMatchObject({ diskTtl: 604_800_000 })
    expect(await runJson(['logs', 'describe', 'orders', ...there])).toEqual(altered)
    const fork = await runJson(['fork', '--log', 'orders', '--as', 'orders2', ...there])
    expect(fork).toEqual({ ...altered, name: 'orders2' })
    expect(await failure('logs', 'create', 'orders', ...there)).toEqual([4, 'log_exists'])
  })
})

describe('import and append', () => {
  test('import makes the log, and prints what it prints of a directory', async () => {
    const file = place.file('events.ndjson', `${EVENTS_NDJSON}oops\n{"n":"no number"}\n`)
    const rejects = `${file}.rejects`
    const args = ['import', '--log', 'events', '--rejects', rejects, file]
    const remote = await runJson<object>([...args, ...there])
    const local = await runJson<object>([...args, ...place.fresh()])
    expect(remote).toEqual({ ...local, elapsedMs: count })
    expect(remote).toMatchObject({
      records: EVENTS.length,
      rejected: 2,
      offsets: [{ partition: 0, from: 0, to: EVENTS.length }],
    })
    expect(await rowsOf('SELECT count(*), sum(n), sum(price) FROM events')).toEqual(
      await rowsOf('SELECT 1000, 499500::BIGINT, 124875::DOUBLE'),
    )
  })

  test('columns go to the partitions of their keys, as rows do', async () => {
    const file = place.file(
      'keys.csv',
      `k,v\n${EVENTS.map(({ n }) => `key${n % 9},${n}\n`).join('')}`,
    )
    const flags = ['--log', 'keys', '--partitions', '3', '--key-column', 'k', file]
    const remote = await runJson<{ offsets: readonly unknown[] }>(['import', ...flags, ...there])
    const local = await runJson<object>(['import', ...flags, ...place.fresh()])
    expect(remote).toEqual({ ...local, elapsedMs: count })
    expect(remote.offsets.length).toBeGreaterThan(1)
    // Rows of the same keys go where the engine sends them.
    const rows = Array.from({ length: 9 }, (_, key) => `{"k":"key${key}","v":0}\n`)
    await runCli(['append', '--log', 'keys', ...there], { input: rows.join('') })
    const split = 'SELECT k FROM keys GROUP BY k HAVING count(DISTINCT _partition) > 1'
    expect(await rowsOf(`SELECT count(*) FROM (${split})`)).toEqual([[0]])
    expect(await rowsOf('SELECT count(*) FROM keys')).toEqual([[1_009]])
  })

  test('append prints a line for each acknowledged append, in order, with digits as they are', async () => {
    const input = '{"id":9007199254740993}\n{"id":2}\n{"id":3}\n'
    const flags = ['--log', 'ids', '--batch-records', '1', '--ack', 'disk']
    const { status, stdout } = await runCli(['append', ...flags, ...there], { input })
    expect(status).toBe(0)
    expect(jsonLines(stdout)).toEqual(
      [0, 1, 2].map((offset) => ({ partition: 0, offset, count: 1 })),
    )
    expect(await rowsOf('SELECT id FROM ids ORDER BY _offset')).toEqual([
      ['9007199254740993'],
      [2],
      [3],
    ])
  })

  test('what a log that is there is not is refused, and so are flags of an engine', async () => {
    const args = ['append', '--log', 'ids', ...there]
    expect(await failure(...args, '--partitions', '7')).toEqual([2, 'argument_invalid'])
    expect(await failure(...args, '--max-memory', '1GB')).toEqual([2, 'argument_invalid'])
    expect(await failure(...args, '--data-dir', 'data')).toEqual([2, 'argument_invalid'])
  })
})

describe('tiers', () => {
  test('now, describe, pause, resume, compact and collect print their reports', async () => {
    await runCli(['append', '--log', 'moved', ...there], { input: '{"a":1}\n{"a":2}\n' })
    const now = await runJson<{ moved: unknown[] }>(['tier', 'now', '--log', 'moved', ...there])
    expect(now).toEqual({ moved: expect.any(Array) as [], pending: 0, failed: [] })
    expect(now.moved).toContainEqual({
      log: 'moved',
      partition: 0,
      from: 0,
      to: 2,
      fromTier: 'disk',
      toTier: 'object',
      bytes: count,
    })
    expect(await runJson(['tier', 'pause', '--log', 'moved', ...there])).toMatchObject({
      paused: null,
      logs: expect.arrayContaining([
        { name: 'moved', paused: { since: text, forMs: count } },
      ]) as unknown[],
    })
    expect(await runJson(['tier', 'resume', ...there])).toMatchObject({ moved: [], failed: [] })
    const described = await runJson<{ logs: unknown[] }>([
      'tier',
      'describe',
      '--log',
      'moved',
      ...there,
    ])
    expect(described.logs).toHaveLength(1)
    expect(await runJson(['tier', 'compact', ...there])).toMatchObject({ moved: [], failed: [] })
    expect(await runJson(['tier', 'collect', '--dry-run', ...there])).toMatchObject({
      moved: [],
      failed: [],
      collected: expect.any(Array) as [],
      orphans: expect.any(Array) as [],
    })
  })

  test('detach and attach take a log away and bring it back', async () => {
    await runCli(['append', '--log', 'away', ...there], { input: '{"a":1}\n' })
    await runJson(['tier', 'now', '--log', 'away', ...there])
    expect(await runJson(['tier', 'detach', '--log', 'away', ...there])).toMatchObject({
      log: 'away',
    })
    expect(await failure('logs', 'describe', 'away', ...there)).toEqual([3, 'log_not_found'])
    expect(await runJson(['tier', 'attach', '--log', 'away', ...there])).toMatchObject({
      log: 'away',
      records: 1,
    })
  })
})

describe('snapshots and files', () => {
  test('create, show, diff, verify and delete', async () => {
    const first = await runJson(['snapshot', 'create', '--name', 'one', ...there])
    expect(first).toMatchObject({ name: 'one', id: text, logs: expect.any(Array) as [] })
    await runCli(['append', '--log', 'later', ...there], { input: '{"a":1}\n' })
    await runJson(['snapshot', 'create', '--name', 'two', ...there])
    expect(await runJson(['snapshot', 'show', 'one', ...there])).toEqual(first)
    const diff = await runJson(['snapshot', 'diff', 'one', 'two', ...there])
    expect(diff).toEqual(
      await runJson(['snapshot', 'diff', 'one', 'two', '--archive', place.archive]),
    )
    expect(diff).toMatchObject({ records: { added: 1, removed: 0 } })
    expect(await runJson(['snapshot', 'verify', 'one', ...there])).toMatchObject({
      verdict: 'PASS',
      problems: [],
    })
    expect(await runJson(['snapshot', 'delete', 'two', ...there])).toMatchObject({ name: 'two' })
    expect(await failure('snapshot', 'verify', 'two', ...there)).toEqual([3, 'snapshot_not_found'])
  })

  test('as of a snapshot, records and rows are those of then', async () => {
    await runCli(['append', '--log', 'grows', ...there], { input: '{"a":1}\n' })
    await runJson(['snapshot', 'create', '--name', 'small', ...there])
    await runCli(['append', '--log', 'grows', ...there], { input: '{"a":2}\n' })
    const asOf = ['--as-of', 'small', ...there]
    const { stdout } = await runCli(['read', '--log', 'grows', '--columns', 'a', ...asOf])
    expect(jsonLines(stdout)).toEqual([{ a: 1 }])
    const counted = await runJson<Rows>(['sql', 'SELECT count(*) FROM grows', ...asOf])
    expect(counted.rows).toEqual([[1]])
  })

  test('verify and scrub look at the files of the server', async () => {
    for (const command of ['verify', 'scrub']) {
      expect(await runJson([command, ...there]), command).toMatchObject({
        verdict: 'PASS',
        files: count,
        bytes: count,
        problems: [],
        notes: expect.any(Array) as [],
        elapsedMs: count,
      })
    }
  })

  test('dump gives every line', async () => {
    const { stdout } = await runCli(['dump', '--log', 'ids', ...there])
    expect(jsonLines(stdout).map(({ type }) => type)).toEqual([
      'header',
      'log',
      'record',
      'record',
      'record',
    ])
    expect(await failure('dump', '--log', 'nowhere', ...there)).toEqual([3, 'log_not_found'])
  })
})

test('a command that works on files only says so', async () => {
  for (const args of [['inspect', 'x'], ['demo']]) {
    const { status, stderr } = await runCli([...args, ...there])
    expect([args, status]).toEqual([args, 2])
    expect(stderr).toContain('works on files, and not on a server')
  }
})

test('a server without files says so where they are asked for', async () => {
  const memory = await TestServer.start([])
  onTestFinished(async () => void (await memory.stop()))
  const url = ['--url', memory.url]
  expect(await failure('verify', ...url)).toEqual([2, 'argument_invalid'])
  expect(await failure('snapshot', 'diff', 'a', 'b', ...url)).toEqual([2, 'argument_invalid'])
  expect(await failure('tier', 'collect', ...url)).toEqual([2, 'argument_invalid'])
})

test('a query that cannot be interrupted ends at its deadline, and the server goes on', async () => {
  const deaf = "SELECT levenshtein(repeat('x', 1000000), repeat('y', 1000000))"
  expect(await failure('sql', deaf, '--timeout', '500ms', ...there)).toEqual([130, 'timeout'])
  expect(await rowsOf('SELECT 1 AS one')).toEqual([[1]])
})
