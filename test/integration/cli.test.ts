/** Every command of the page "What scripts rely on" that there is, run as a child process; each field is looked at. */
import { once } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { cliEntry, jsonLines, runCli, runJson, spawnCli } from '../support/cli.ts'

const root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
const dataDir = join(root, 'data')
const archive = pathToFileURL(join(root, 'archive')).href
const where = ['--data-dir', dataDir, '--archive', archive]

afterAll(() => rmSync(root, { recursive: true, force: true }))

function file(name: string, content: string | Uint8Array): string {
  const path = join(root, name)
  writeFileSync(path, content)
  return path
}

function fresh(): readonly string[] {
  return ['--data-dir', mkdtempSync(join(root, 'data-'))]
}

const count = expect.any(Number) as number
const text = expect.any(String) as string
const isoTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/) as string
const hash = expect.stringMatching(/^[0-9a-f]{64}$/) as string
const EVENTS = Array.from({ length: 1_000 }, (_, n) => ({ n, name: `event ${n % 7}`, price: n / 4, ok: n % 2 === 0 }))
const EVENTS_NDJSON = EVENTS.map((event) => `${JSON.stringify(event)}\n`).join('')

/** The directory and archive that the commands below look at: 1,000 events, all in the archive, and a snapshot. */
beforeAll(async () => {
  const path = file('events.ndjson', EVENTS_NDJSON)
  await runJson(['import', ...where, '--log', 'events', path])
  await runJson(['tier', 'now', ...where, '--to', 'object'])
  await runJson(['snapshot', 'create', ...where, '--name', 'first'])
})

describe('import', () => {
  test('prints what it took, what it refused and where the records are', async () => {
    const path = file('mixed.ndjson', '{"a":1}\nnonsense\n{"a":"text"}\n{"a":2}\n')
    const rejects = join(root, 'rejects.ndjson')
    const report = await runJson(['import', ...fresh(), '--log', 'l', '--rejects', rejects, path])
    expect(report).toEqual({
      records: 2,
      rejected: 2,
      inputBytes: statSync(path).size,
      elapsedMs: count,
      schema: [{ name: 'a', type: 'int32', nullable: true }],
      offsets: [{ partition: 0, from: 0, to: 2 }],
    })
    const refused = jsonLines(readFileSync(rejects, 'utf8')).toSorted((a, b) => Number(a['line']) - Number(b['line']))
    expect(refused).toEqual([
      { file: path, line: 2, reason: expect.stringContaining('not JSON') as string, text: 'nonsense' },
      { file: path, line: 3, reason: 'column "a": expected int32, got the text "text".', text: '{"a":"text"}' },
    ])
  })

  test('many bad lines among good ones cost exactly those lines, and the order stays', async () => {
    const lines = Array.from({ length: 3_000 }, (_, n) => (n % 10 === 3 ? `{"n":"bad"}` : `{"n":${n}}`))
    const data = fresh()
    const report = await runJson(['import', ...data, '--log', 'l', '-'], { input: lines.join('\n') })
    expect(report).toMatchObject({ records: 2_700, rejected: 300 })
    const { stdout } = await runCli(['read', ...data, '--log', 'l', '--columns', 'n', '--json'])
    const expected = Array.from({ length: 3_000 }, (_, n) => n).filter((n) => n % 10 !== 3)
    expect(jsonLines(stdout).map(({ n }) => n)).toEqual(expected)
  })

  test.each([
    ['ndjson', EVENTS_NDJSON],
    ['gzip', gzipSync(EVENTS_NDJSON)],
    ['zstd', zstdCompressSync(EVENTS_NDJSON)],
  ])('standard input is read as it is or compressed: %s', async (_name, input) => {
    const data = fresh()
    const report = await runJson(['import', ...data, '--log', 'l', '-'], { input })
    expect(report).toMatchObject({ records: 1_000, rejected: 0, inputBytes: input.length })
  })

  test.each(['csv', 'parquet', 'arrow'])('%s that was read from a log gives the same records again', async (format) => {
    const columns = ['--columns', 'n,name,price,ok']
    const out = await runCli(['read', ...where, '--log', 'events', ...columns, '--format', format])
    expect(out.status, out.stderr).toBe(0)
    const data = fresh()
    expect(await runJson(['import', ...data, '--log', 'l', file(`events.${format}`, out.bytes)])).toMatchObject({ records: 1_000 })
    const again = await runCli(['read', ...data, '--log', 'l', ...columns, '--json'])
    expect(jsonLines(again.stdout)).toEqual(EVENTS)
  })

  test('access logs get columns with types and their time as the time column', async () => {
    const line = '127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 2326 "-" "curl/8"\n'
    const data = fresh()
    await runJson(['import', ...data, '--log', 'l', '--format', 'combined', '-'], { input: line })
    const { stdout } = await runCli(['read', ...data, '--log', 'l', '--json'])
    expect(jsonLines(stdout)).toEqual([
      {
        remote: '127.0.0.1',
        ident: null,
        user: null,
        time: '2000-10-10T20:55:36.000Z',
        method: 'GET',
        path: '/a',
        protocol: 'HTTP/1.0',
        status: 200,
        bytes: 2326,
        referrer: null,
        agent: 'curl/8',
        _offset: 0,
        _partition: 0,
        _time: '2000-10-10T20:55:36.000Z',
      },
    ])
  })

  test('records of one key go to one partition', async () => {
    const data = fresh()
    const flags = ['--log', 'l', '--partitions', '4', '--key-column', 'name']
    const report = await runJson<{ offsets: { partition: number; from: number; to: number }[] }>(
      ['import', ...data, ...flags, '-'],
      { input: EVENTS_NDJSON },
    )
    expect(report.offsets.reduce((sum, { from, to }) => sum + to - from, 0)).toBe(1_000)
    expect(report.offsets.length).toBeGreaterThan(1)
    const { stdout } = await runCli(['read', ...data, '--log', 'l', '--columns', 'name,_partition', '--json'])
    const partitions = Map.groupBy(jsonLines(stdout), ({ name }) => name)
    for (const records of partitions.values()) expect(new Set(records.map((record) => record['_partition'])).size).toBe(1)
  })

  test('input of which nothing is taken is invalid', async () => {
    const { status, stderr } = await runCli(['import', ...fresh(), '--log', 'l', '--format', 'ndjson', '-'], { input: 'a\nb\n' })
    expect(status).toBe(2)
    expect(stderr).toContain('None of 2 records was taken')
  })
})

describe('append', () => {
  test('prints a line for each acknowledged append', async () => {
    const data = fresh()
    const { status, stdout } = await runCli(['append', ...data, '--log', 'l', '--json'], { input: '{"a":1}\n{"a":2}' })
    expect(status).toBe(0)
    expect(jsonLines(stdout)).toEqual([
      { partition: 0, offset: 0, count: 1 },
      { partition: 0, offset: 1, count: 1 },
    ])
  })

  test('records go in batches of the size asked for, the last with what is left', async () => {
    const { stdout } = await runCli(['append', ...fresh(), '--log', 'l', '--batch-records', '400'], { input: EVENTS_NDJSON })
    expect(jsonLines(stdout).map(({ offset, count }) => [offset, count])).toEqual([
      [0, 400],
      [400, 400],
      [800, 200],
    ])
  })

  test('acknowledges while its input goes on, also a batch that is not full, and keeps it through kill -9', async () => {
    const data = fresh()
    const child = spawnCli(['append', ...data, '--log', 'l', '--batch-records', '100'])
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    child.stdin.write('{"a":1}\n{"a":2}\n')
    expect(JSON.parse((await lines.next()).value as string)).toEqual({ partition: 0, offset: 0, count: 2 })
    child.stdin.write('{"a":3}\n')
    expect(JSON.parse((await lines.next()).value as string)).toEqual({ partition: 0, offset: 2, count: 1 })
    child.kill('SIGKILL')
    await once(child, 'close')
    const { stdout } = await runCli(['read', ...data, '--log', 'l', '--columns', 'a', '--json'])
    expect(jsonLines(stdout)).toEqual([{ a: 1 }, { a: 2 }, { a: 3 }])
  })

  test('a bad line ends it with status 2, and what came before it counts', async () => {
    const data = fresh()
    const { status, stdout, stderr } = await runCli(['append', ...data, '--log', 'l', '--json'], { input: '{"a":1}\n{"a":\n{"a":3}\n' })
    expect(status).toBe(2)
    expect(jsonLines(stdout)).toEqual([{ partition: 0, offset: 0, count: 1 }])
    expect(JSON.parse(stderr)).toEqual({
      error: { kind: 'invalid', code: 'input_invalid', message: text, details: { line: 2, reason: text } },
    })
  })

  test('Ctrl-C ends it with status 130 after what was acknowledged', async () => {
    const child = spawnCli(['append', ...fresh(), '--log', 'l'])
    child.stdin.write('{"a":1}\n')
    await once(child.stdout, 'data')
    child.kill('SIGINT')
    const [status] = (await once(child, 'close')) as [number]
    expect(status).toBe(130)
  })
})

describe('read', () => {
  const read = async (...args: readonly string[]): Promise<readonly Record<string, unknown>[]> => {
    const { status, stdout, stderr } = await runCli(['read', ...where, '--log', 'events', '--json', ...args])
    expect(status, stderr).toBe(0)
    return jsonLines(stdout)
  }

  test('prints the records with their offset, partition and time', async () => {
    const records = await read()
    expect(records).toEqual(EVENTS.map((event, offset) => ({ ...event, _offset: offset, _partition: 0, _time: isoTime })))
  })

  test('by offsets, by the newest, by a limit, by columns', async () => {
    const offsets = async (...args: readonly string[]): Promise<unknown[]> => (await read(...args)).map((record) => record['_offset'])
    expect(await offsets('--from', '10', '--to', '13')).toEqual([10, 11, 12])
    expect(await offsets('--last', '2')).toEqual([998, 999])
    expect(await offsets('--from', '5', '--limit', '1')).toEqual([5])
    expect(await offsets('--until', '2000-01-01')).toEqual([])
    expect(await offsets('--since', '2000-01-01', '--limit', '1')).toEqual([0])
    expect(await read('--columns', 'name,n', '--limit', '1')).toEqual([{ name: 'event 0', n: 0 }])
  })

  test('from the archive alone, and from the directory while another process writes it', async () => {
    const alone = await runCli(['read', '--archive', archive, '--log', 'events', '--json'])
    expect(jsonLines(alone.stdout)).toHaveLength(1_000)
    const writer = spawnCli(['append', ...where, '--log', 'other'])
    writer.stdin.write('{"a":1}\n')
    await once(writer.stdout, 'data')
    expect(await read('--last', '1')).toHaveLength(1)
    writer.stdin.end()
    await once(writer, 'close')
  })

  test('a table for people, CSV for the rest', async () => {
    const table = await runCli(['read', ...where, '--log', 'events', '--limit', '1', '--columns', 'n,name', '--format', 'table'])
    expect(table.stdout).toBe('n  name\n──────────\n0  event 0\n')
    const csv = await runCli(['read', ...where, '--log', 'events', '--limit', '1', '--columns', 'n,name', '--format', 'csv'])
    expect(csv.stdout).toBe('n,name\r\n0,event 0\r\n')
  })

  test('stops quietly when nobody reads any more', async () => {
    const child = spawnCli(['read', ...where, '--log', 'events', '--json'])
    let notes = ''
    child.stderr.on('data', (chunk: Buffer) => (notes += chunk.toString()))
    child.stdout.destroy()
    const [status] = (await once(child, 'close')) as [number]
    expect([status, notes]).toEqual([0, ''])
  })
})

describe('sql', () => {
  test('prints columns, rows and what was read', async () => {
    const sql = 'SELECT name, count(*) AS n, sum(price) AS total FROM events WHERE n >= ? GROUP BY name ORDER BY name LIMIT 2'
    const result = await runJson(['sql', ...where, sql, '--param', '500'])
    expect(result).toEqual({
      columns: [
        { name: 'name', type: 'VARCHAR' },
        { name: 'n', type: 'BIGINT' },
        { name: 'total', type: 'DOUBLE' },
      ],
      rows: [0, 1].map((kind) => {
        const events = EVENTS.filter(({ n }) => n >= 500 && n % 7 === kind)
        return [`event ${kind}`, events.length, events.reduce((sum, { price }) => sum + price, 0)]
      }),
      stats: {
        elapsedMs: count,
        recordsByTier: { memory: count, disk: count, object: count },
        bytesByTier: { memory: count, disk: count, object: count },
        segments: { scanned: count, pruned: count },
        cache: { hits: count, misses: count },
        requests: count,
      },
    })
  })

  test('keeps what JSON numbers cannot hold as text', async () => {
    const sql = "SELECT 9007199254740993::BIGINT AS big, 1.50::DECIMAL(5,2) AS money, 'ab'::BLOB AS bytes, TIMESTAMP '2026-01-31 12:00:00.123456' AS t"
    expect(await runJson(['sql', ...where, sql])).toMatchObject({
      rows: [['9007199254740993', '1.50', 'YWI=', '2026-01-31T12:00:00.123456Z']],
    })
  })

  test.each([
    ['table', 'n\n─\n7\n'],
    ['csv', 'n\r\n7\r\n'],
    ['ndjson', '{"n":7}\n'],
  ])('prints %s', async (format, expected) => {
    expect((await runCli(['sql', ...where, 'SELECT 7 AS n', '--format', format])).stdout).toBe(expected)
  })

  test('counts each record once, in the tier that served it', async () => {
    const alone = await runJson<{ stats: { recordsByTier: unknown } }>(['sql', '--archive', archive, 'SELECT sum(n) FROM events'])
    expect(alone.stats.recordsByTier).toEqual({ memory: 0, disk: 0, object: 1_000 })
  })

  test('a statement that is wrong is invalid', async () => {
    const { status, stdout, stderr } = await runCli(['sql', ...where, 'SELEKT 1', '--json'])
    expect([status, stdout]).toEqual([2, ''])
    expect(JSON.parse(stderr)).toMatchObject({ error: { kind: 'invalid', code: 'query_invalid' } })
  })
})

describe('logs', () => {
  test('create prints the log, list and describe print it again', async () => {
    const data = fresh()
    const schema = file('schema.json', '{"at":"timestamp[ms]","user":"utf8"}')
    const flags = ['--schema', schema, '--time-column', 'at', '--key-column', 'user', '--partitions', '2', '--memory-ttl', '90s', '--mode', 'persistent']
    const log = await runJson(['logs', 'create', 'Orders', ...data, ...flags])
    expect(log).toEqual({
      name: 'orders',
      schema: [
        { name: 'at', type: 'timestamp[ms]', nullable: false },
        { name: 'user', type: 'utf8', nullable: true },
      ],
      policy: expect.objectContaining({ mode: 'persistent', memoryTtl: 90_000, ack: 'disk', wal: true }) as object,
      partitions: 2,
      timeColumn: 'at',
      keyColumn: 'user',
    })
    expect(await runJson(['logs', 'list', ...data])).toEqual([log])
    expect(await runJson(['logs', 'describe', 'orders', ...data])).toEqual(log)
  })

  test('a log that is there is a conflict, one that is not is not found with the nearest name', async () => {
    expect((await runCli(['logs', 'create', 'events', ...where])).status).toBe(4)
    const { status, stderr } = await runCli(['logs', 'describe', 'event', ...where])
    expect(status).toBe(3)
    expect(stderr).toContain("Did you mean 'events'?")
  })
})

describe('tier now', () => {
  test('prints what moved and returns when it is there', async () => {
    const data = [...fresh(), '--archive', pathToFileURL(mkdtempSync(join(root, 'archive-'))).href]
    await runCli(['append', ...data, '--log', 'l'], { input: '{"a":1}\n{"a":2}\n' })
    const report = await runJson<{ moved: { bytes: number }[] }>(['tier', 'now', ...data, '--log', 'l', '--to', 'object'])
    expect(report).toEqual({ moved: expect.any(Array) as [], pending: 0, failed: [] })
    expect(report.moved).toContainEqual({
      log: 'l',
      partition: 0,
      from: 0,
      to: 2,
      fromTier: 'disk',
      toTier: 'object',
      bytes: count,
    })
  })
})

describe('status', () => {
  test('prints every log, partition and tier', async () => {
    const status = await runJson<{ logs: unknown[] }>(['status', ...where])
    const tier = { records: count, bytes: count, startOffset: count, endOffset: count }
    expect(status).toMatchObject({
      version: text,
      source: 'directory',
      writer: { pid: count, host: text, since: isoTime },
      memory: { usedBytes: count, maxBytes: count, usagePercent: count },
    })
    expect(status.logs[0]).toEqual({
      name: 'events',
      policy: expect.objectContaining({ mode: 'hybrid' }) as object,
      partitions: [
        {
          partition: 0,
          startOffset: 0,
          endOffset: 1_000,
          durableOffset: 1_000,
          archivedOffset: 1_000,
          tiers: { memory: tier, disk: { ...tier, segments: count }, object: { ...tier, records: 1_000, segments: count } },
          lag: { flushMs: 0, uploadMs: 0 },
          gaps: [],
          lastError: null,
        },
      ],
    })
  })

  test('of an archive by itself', async () => {
    expect(await runJson(['status', '--archive', archive])).toMatchObject({ source: 'archive', logs: [{ name: 'events' }] })
  })
})

describe('snapshots, restore, replay, drill', () => {
  test('snapshot create and list print what is pinned', async () => {
    const made = await runJson(['snapshot', 'create', ...where])
    const snapshot = {
      name: text,
      id: text,
      time: isoTime,
      logs: expect.arrayContaining([
        { name: 'events', partitions: [{ partition: 0, startOffset: 0, endOffset: 1_000 }] },
      ]) as unknown[],
      bytes: count,
      newBytes: count,
    }
    expect(made).toEqual(snapshot)
    const all = await runJson<unknown[]>(['snapshot', 'list', '--archive', archive])
    expect(all[0]).toMatchObject({ ...snapshot, name: 'first' })
    expect(all).toContainEqual(made)
  })

  test('restore prints the plan, then what was restored, and the records are there', async () => {
    const restored = join(root, 'restored')
    const plan = { logs: 1, segments: count, bytes: count, requests: count }
    const args = ['restore', '--archive', archive, '--snapshot', 'first', '--logs', 'events']
    expect(await runJson([...args, '--plan'])).toMatchObject({ plan })
    const report = await runJson([...args, '--data-dir', restored, '--rename', 'events=again'])
    expect(report).toMatchObject({ plan, records: 1_000, elapsedMs: count, verified: true, missing: [], corrupt: [] })
    const { stdout } = await runCli(['read', '--data-dir', restored, '--log', 'again', '--columns', 'n,name,price,ok', '--json'])
    expect(jsonLines(stdout)).toEqual(EVENTS)
  })

  test('restore stops at an offset', async () => {
    const restored = join(root, 'restored-part')
    await runJson(['restore', '--archive', archive, '--data-dir', restored, '--to-offset', 'events/0=10'])
    expect(await runJson(['sql', '--data-dir', restored, 'SELECT count(*) FROM events'])).toMatchObject({ rows: [[10]] })
  })

  test('a directory with something in it is not restored into', async () => {
    expect((await runCli(['restore', '--archive', archive, '--data-dir', dataDir])).status).toBe(4)
  })

  test('replay prints what it saw', async () => {
    const report = await runJson(['replay', '--archive', archive, '--logs', 'events'])
    expect(report).toEqual({
      records: 1_000,
      bytes: count,
      since: null,
      until: null,
      elapsedMs: count,
      logs: [{ name: 'events', records: 1_000, bytes: count, hash, gaps: [] }],
      missing: [],
      corrupt: [],
      limitedBy: expect.toSatisfy((by: unknown) => by === null || ['source', 'sink', 'pace'].includes(String(by))) as string,
      resumePoint: { logs: [{ name: 'events', partitions: [{ partition: 0, offset: 1_000 }] }] },
    })
  })

  test('replay into a directory gives the same hash again, into a pipe the records', async () => {
    const target = join(root, 'replayed')
    const into = await runJson<{ logs: { hash: string }[] }>(['replay', '--archive', archive, '--logs', 'events', '--into', target])
    const piped = await runCli(['replay', '--archive', archive, '--logs', 'events', '--from', '998', '--into', '-', '--json'])
    expect(jsonLines(piped.stdout).map(({ _log, n, _offset }) => [_log, n, _offset])).toEqual([
      ['events', 998, 998],
      ['events', 999, 999],
    ])
    const copy = pathToFileURL(join(root, 'replayed-archive')).href
    await runJson(['tier', 'now', '--data-dir', target, '--archive', copy, '--to', 'object'])
    const again = await runJson<{ logs: { hash: string }[] }>(['replay', '--archive', copy])
    expect(again.logs[0]?.hash).toBe(into.logs[0]?.hash)
  })

  test('drill prints the report and the verdict', async () => {
    const check = ['--check', 'SELECT count(*) FROM events', '--expect', '[[1000]]']
    const report = join(root, 'drill.md')
    const found = await runJson(['drill', '--archive', archive, '--against', dataDir, ...check, '--report', report])
    expect(found).toMatchObject({
      records: count,
      bytes: count,
      elapsedMs: count,
      logs: expect.arrayContaining([expect.objectContaining({ name: 'events', records: 1_000, hash, gaps: [] })]) as unknown[],
      missing: [],
      corrupt: [],
      verdict: 'PASS',
      reasons: [],
      rtoMs: count,
      rpoMs: count,
      rpoRecords: count,
      bytesPerSecond: count,
      hashEqual: true,
      checks: [expect.objectContaining({ passed: true }) as object],
      coverage: count,
    })
    expect(readFileSync(report, 'utf8')).toContain('# Restore drill: PASS')
    expect(await runJson(['drill', '--archive', archive])).toMatchObject({
      verdict: 'PASS',
      coverage: 1,
      rpoMs: null,
      rpoRecords: null,
      hashEqual: null,
    })
  })

  test('a check that is not met is a FAIL with status 10', async () => {
    const check = ['--check', 'SELECT count(*) FROM events', '--expect', '[[1]]']
    const { status, stdout } = await runCli(['drill', '--archive', archive, ...check, '--json'])
    expect(status).toBe(10)
    expect(JSON.parse(stdout)).toMatchObject({ verdict: 'FAIL', reasons: [text] })
  })
})

describe('inspect', () => {
  const files = (folder: string): readonly string[] =>
    readdirSync(join(dataDir, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name))

  test('a segment, by its path, its name below the directory, or its key in the archive', async () => {
    const name = files('segments').find((path) => path.endsWith('.arrow')) ?? ''
    const facts = await runJson<Record<string, unknown>>(['inspect', join(dataDir, name)])
    expect(facts).toMatchObject({
      kind: 'segment',
      length: count,
      sha256: hash,
      logName: 'events',
      partition: 0,
      baseOffset: count,
      endOffset: count,
      records: count,
      schema: { fields: expect.any(Array) as [] },
      timeMin: isoTime,
      timeMax: isoTime,
      batches: expect.arrayContaining([expect.objectContaining({ checksum: count, length: count })]) as unknown[],
      statistics: expect.any(Array) as [],
      verified: true,
      problems: [],
    })
    expect(await runJson(['inspect', '--data-dir', dataDir, name])).toMatchObject({ kind: 'segment', verified: true })
    const key = readdirSync(join(root, 'archive'), { recursive: true, encoding: 'utf8' }).find((path) => path.endsWith('.arrow'))
    expect(await runJson(['inspect', '--archive', archive, key ?? ''])).toMatchObject({ kind: 'segment', verified: true })
  })

  test('a WAL file, a manifest commit and the identity', async () => {
    const wal = files('wal').find((name) => name.endsWith('.wal')) ?? ''
    expect(await runJson(['inspect', '--data-dir', dataDir, wal])).toMatchObject({
      kind: 'wal',
      startLsn: count,
      endLsn: count,
      epoch: count,
      frames: { append: count, schema: count, seal: count, roll: count },
      appends: expect.any(Array) as [],
    })
    const commit = files('manifest').find((name) => name.endsWith('.edit')) ?? ''
    expect(await runJson(['inspect', '--data-dir', dataDir, commit])).toMatchObject({
      kind: 'manifest-commit',
      number: count,
      previousHash: hash,
      hash,
      epoch: count,
      time: isoTime,
      edits: expect.any(Array) as [],
    })
    expect(await runJson(['inspect', '--data-dir', dataDir, 'stratalog.json'])).toMatchObject({ kind: 'identity', of: 'directory', engineId: text })
  })

  test('a flipped bit is named with its place and what can still be read, status 8', async () => {
    const bytes = readFileSync(join(dataDir, files('segments').find((path) => path.endsWith('.arrow')) ?? ''))
    const facts = (await runJson<{ batches: { position: number; metadataLength: number }[] }>(['inspect', file('whole.arrow', bytes)]))
      .batches[0]
    const position = (facts?.position ?? 0) + (facts?.metadataLength ?? 0)
    bytes[position] = (bytes[position] ?? 0) ^ 1
    const { status, stdout, stderr } = await runCli(['inspect', file('flipped.arrow', bytes), '--json'])
    expect(status).toBe(8)
    expect(JSON.parse(stdout)).toMatchObject({
      verified: false,
      readableRecords: count,
      problems: [{ position: facts?.position, reason: text, from: count, to: count }],
    })
    expect(JSON.parse(stderr)).toMatchObject({ error: { kind: 'corrupt', code: 'file_corrupt' } })
  })

  test('what is no file of ours is invalid, and one that is not there is not found', async () => {
    expect((await runCli(['inspect', cliEntry])).status).toBe(2)
    expect((await runCli(['inspect', join(root, 'nothing')])).status).toBe(3)
  })
})

describe('the command line itself', () => {
  test('help names every command, and each command has examples', async () => {
    const { status, stdout } = await runCli(['--help'])
    expect(status).toBe(0)
    for (const name of ['import', 'append', 'read', 'sql', 'restore', 'drill', 'replay', 'inspect', 'status', 'demo']) {
      expect(stdout).toContain(`\n  ${name} `)
      expect((await runCli([name, '--help'])).stdout).toMatch(new RegExp(`Examples?:\n  .*stratalog ${name}`))
    }
  })

  test('the version is that of the package', async () => {
    const { stdout } = await runCli(['--version'])
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  test.each([
    [['raed'], 'Did you mean read?'],
    [['read', '--log', 'events', '--data-dri', 'x'], 'Did you mean --data-dir?'],
    [['read'], "required option '--log <name>' not specified"],
    [['sql', 'SELECT 1'], 'Say where the data is'],
    [['sql', 'SELECT 1', '--data-dir', dataDir, '--format', 'xml'], 'Allowed choices are table, json'],
    [['logs', 'create', '!', '--data-dir', dataDir], 'is not a log name'],
    [['logs', 'create', 'x', '--data-dir', dataDir, '--archive-after', '1m'], 'archiveAfter'],
  ])('%j is a usage error with status 2', async (args, message) => {
    const { status, stdout, stderr } = await runCli(args)
    expect([status, stdout]).toEqual([2, ''])
    expect(stderr).toContain(message)
    const json = await runCli([...args, '--json'])
    expect([json.status, json.stdout]).toEqual([2, ''])
    expect(JSON.parse(json.stderr)).toEqual({
      error: { kind: 'invalid', code: text, message: expect.stringContaining(message) as string, details: expect.any(Object) as object },
    })
  })

  test('a directory in use says who holds it, status 4', async () => {
    const data = fresh()
    const holder = spawnCli(['append', ...data, '--log', 'l'])
    holder.stdin.write('{"a":1}\n')
    await once(holder.stdout, 'data')
    const { status, stderr } = await runCli(['logs', 'create', 'x', ...data, '--json'])
    holder.stdin.end()
    await once(holder, 'close')
    expect(status).toBe(4)
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'directory_in_use', details: { pid: holder.pid } } })
  })
})
