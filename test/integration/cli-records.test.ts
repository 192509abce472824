/** The commands of the page "What scripts rely on" that bring records in and out; each field is looked at. */
import { once } from 'node:events'
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CliPlace, EVENTS, EVENTS_NDJSON } from '../support/cli-place.ts'
import { jsonLines, runCli, runJson, spawnCli } from '../support/cli.ts'

const place = new CliPlace()
const { root, archive, where } = place

beforeAll(() => place.fill())
afterAll(() => place.remove())

const count = expect.any(Number) as number
const text = expect.any(String) as string
const isoTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/) as string

describe('read --latest', () => {
  test('prints the newest record of each key, also as of a moment, and refuses what asks for history', async () => {
    const directory = place.fresh()
    const lines = ['{"id":1,"n":1}', '{"id":2,"n":2}', '{"id":1,"n":3}', '{"id":2,"_deleted":true}']
    const flags = ['--log', 'users', '--key-column', 'id', ...directory]
    await runJson(['append', '--batch-records', '4', ...flags], { input: lines.join('\n') })
    const read = ['read', ...directory, '--log', 'users', '--latest', '--json']
    const { stdout } = await runCli([...read, '--columns', 'id,n,_offset,_partition'])
    expect(jsonLines(stdout)).toEqual([{ id: 1, n: 3, _offset: 2, _partition: 0 }])
    const before = await runCli([...read, '--as-of', '2020-01-01'])
    expect([before.status, before.stdout]).toEqual([0, ''])
    for (const flag of [['--from', '1'], ['--last', '1'], ['--follow']]) {
      const refused = await runCli([...read, ...flag])
      expect([refused.status, refused.stderr]).toEqual([2, expect.stringContaining(flag[0] ?? '')])
    }
    const [unkeyed] = [await runCli(['read', ...where, '--log', 'events', '--latest', '--json'])]
    expect(unkeyed.status).toBe(2)
  })
})

describe('import', () => {
  test('prints what it took, what it refused and where the records are', async () => {
    const path = place.file('mixed.ndjson', '{"a":1}\nnonsense\n{"a":"text"}\n{"a":2}\n')
    const rejects = join(root, 'rejects.ndjson')
    const report = await runJson([
      'import',
      ...place.fresh(),
      '--log',
      'l',
      '--rejects',
      rejects,
      path,
    ])
    expect(report).toEqual({
      records: 2,
      rejected: 2,
      inputBytes: statSync(path).size,
      elapsedMs: count,
      schema: [{ name: 'a', type: 'int32', nullable: true }],
      offsets: [{ partition: 0, from: 0, to: 2 }],
    })
    const refused = jsonLines(readFileSync(rejects, 'utf8')).toSorted(
      (a, b) => Number(a['line']) - Number(b['line']),
    )
    expect(refused).toEqual([
      {
        file: path,
        line: 2,
        reason: expect.stringContaining('not JSON') as string,
        text: 'nonsense',
      },
      {
        file: path,
        line: 3,
        reason: 'column "a": expected int32, got the text "text".',
        text: '{"a":"text"}',
      },
    ])
  })

  test('many bad lines among good ones cost exactly those lines, and the order stays', async () => {
    const lines = Array.from({ length: 3_000 }, (_, n) =>
      n % 10 === 3 ? `{"n":"bad"}` : `{"n":${n}}`,
    )
    const data = place.fresh()
    const report = await runJson(['import', ...data, '--log', 'l', '-'], {
      input: lines.join('\n'),
    })
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
    const data = place.fresh()
    const report = await runJson(['import', ...data, '--log', 'l', '-'], { input })
    expect(report).toMatchObject({ records: 1_000, rejected: 0, inputBytes: input.length })
  })

  test.each(['csv', 'parquet', 'arrow'])(
    '%s that was read from a log gives the same records again',
    async (format) => {
      const columns = ['--columns', 'n,name,price,ok']
      const out = await runCli([
        'read',
        ...where,
        '--log',
        'events',
        ...columns,
        '--format',
        format,
      ])
      expect(out.status, out.stderr).toBe(0)
      const data = place.fresh()
      expect(
        await runJson(['import', ...data, '--log', 'l', place.file(`events.${format}`, out.bytes)]),
      ).toMatchObject({ records: 1_000 })
      const again = await runCli(['read', ...data, '--log', 'l', ...columns, '--json'])
      expect(jsonLines(again.stdout)).toEqual(EVENTS)
    },
  )

  test('access logs get columns with types and their time as the time column', async () => {
    const line =
      '127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 2326 "-" "curl/8"\n'
    const data = place.fresh()
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
    const data = place.fresh()
    const flags = ['--log', 'l', '--partitions', '4', '--key-column', 'name']
    const report = await runJson<{ offsets: { partition: number; from: number; to: number }[] }>(
      ['import', ...data, ...flags, '-'],
      { input: EVENTS_NDJSON },
    )
    expect(report.offsets.reduce((sum, { from, to }) => sum + to - from, 0)).toBe(1_000)
    expect(report.offsets.length).toBeGreaterThan(1)
    const { stdout } = await runCli([
      'read',
      ...data,
      '--log',
      'l',
      '--columns',
      'name,_partition',
      '--json',
    ])
    const partitions = Map.groupBy(jsonLines(stdout), ({ name }) => name)
    for (const records of partitions.values())
      expect(new Set(records.map((record) => record['_partition'])).size).toBe(1)
  })

  test('input of which nothing is taken is invalid', async () => {
    const { status, stderr } = await runCli(
      ['import', ...place.fresh(), '--log', 'l', '--format', 'ndjson', '-'],
      { input: 'a\nb\n' },
    )
    expect(status).toBe(2)
    expect(stderr).toContain('None of 2 records was taken')
  })
})

describe('import of files with something wrong', () => {
  test('every line of a CSV file is a record or a reject with its line', async () => {
    const data = place.fresh()
    const path = place.file('bad.csv', 'a,b\n1,x\n2,y\nz,w\n4\n5,6,7\n')
    const rejects = join(root, 'csv-rejects.ndjson')
    const flags = ['--log', 'cs', '--rejects', rejects]
    const report = await runJson(['import', ...data, ...flags, path])
    expect(report).toMatchObject({ records: 3, rejected: 2 })
    expect(jsonLines(readFileSync(rejects, 'utf8'))).toEqual([
      { file: path, line: 5, reason: 'Expected Number of Columns: 2 Found: 1', text: '4' },
      { file: path, line: 6, reason: 'Expected Number of Columns: 2 Found: 3', text: '5,6,7' },
    ])
    const { stdout } = await runCli(['read', ...data, '--log', 'cs', '--columns', 'a', '--json'])
    expect(jsonLines(stdout).map(({ a }) => a)).toEqual(['1', '2', 'z'])
  })

  test.each([
    ['objects.ndjson', 'csv', '{"a":1,"b":2}\n{"a":2,"b":3}\n', 'import it with --format ndjson'],
    ['array.json', 'auto', '[{"a":1,"b":2},\n{"a":2,"b":3}]\n', 'give NDJSON'],
    ['cut.arrow', 'auto', 'ARROW1\0\0cut off', 'cannot be read as arrow'],
    ['quote.csv', 'auto', 'a,b\n1,"x\n', 'quote.csv'],
  ])('%s as %s is invalid and nothing is taken', async (name, format, content, message) => {
    const path = place.file(name, content)
    const { status, stdout, stderr } = await runCli([
      'import',
      ...place.fresh(),
      ...['--log', 'l', '--format', format, path, '--json'],
    ])
    expect([status, stdout]).toEqual([2, ''])
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'input_invalid', message: expect.stringContaining(message) as string },
    })
  })

  test('a file that is not there is told before any other is taken', async () => {
    const data = place.fresh()
    const good = place.file('good.ndjson', '{"a":1}\n')
    const { status } = await runCli(['import', ...data, '--log', 'l', good, join(root, 'none.csv')])
    expect(status).toBe(3)
    expect(readdirSync(data[1] ?? '')).toEqual([])
  })

  test('a later failure says what was taken before', async () => {
    const good = place.file('before.ndjson', '{"a":1}\n{"a":2}\n')
    const cut = place.file('broken.arrow', 'ARROW1\0\0cut off')
    const args = ['import', ...place.fresh(), '--log', 'l', good, cut, '--json']
    const { status, stderr } = await runCli(args)
    expect(status).toBe(2)
    const last = stderr.trimEnd().split('\n').at(-1) ?? ''
    expect(JSON.parse(last)).toMatchObject({
      error: {
        details: { path: cut, records: 2, offsets: [{ partition: 0, from: 0, to: 2 }] },
      },
    })
  })

  test('a policy for a log that is there is refused unless it is the one it has', async () => {
    const data = place.fresh()
    const importing = (...flags: string[]) =>
      runCli(['import', ...data, '--log', 'l', ...flags, '--json', '-'], { input: '{"a":1}\n' })
    expect((await importing('--memory-ttl', '1h')).status).toBe(0)
    expect((await importing('--memory-ttl', '60m')).status).toBe(0)
    const refused = await importing('--memory-ttl', '2h')
    expect(refused.status).toBe(2)
    expect(refused.stderr).toContain('exists with its own policy')
    const appended = await runCli(['append', ...data, '--log', 'l', '--mode', 'memory'], {
      input: '{"a":1}\n',
    })
    expect([appended.status, appended.stdout]).toEqual([2, ''])
    const { stdout } = await runCli(['read', ...data, '--log', 'l', '--json'])
    expect(jsonLines(stdout)).toHaveLength(2)
  })
})

describe('append', () => {
  test.each(['1', '2'])(
    'nothing is appended after a refused record, in batches of %s',
    async (size) => {
      const data = place.fresh()
      const lines = ['{"a":1}', '{"a":2}', '{"a":"s"}', '{"a":4}', '{"a":5}']
      const { status, stdout } = await runCli(
        ['append', ...data, '--log', 'w', '--batch-records', size],
        { input: `${lines.join('\n')}\n` },
      )
      expect(status).toBe(2)
      const acknowledged = jsonLines(stdout).reduce((sum, line) => sum + Number(line['count']), 0)
      expect(acknowledged).toBe(2)
      const read = await runCli(['read', ...data, '--log', 'w', '--json'])
      expect(jsonLines(read.stdout).map(({ a }) => a)).toEqual([1, 2])
    },
  )

  test('prints a line for each acknowledged append', async () => {
    const data = place.fresh()
    const { status, stdout } = await runCli(['append', ...data, '--log', 'l', '--json'], {
      input: '{"a":1}\n{"a":2}',
    })
    expect(status).toBe(0)
    expect(jsonLines(stdout)).toEqual([
      { partition: 0, offset: 0, count: 1 },
      { partition: 0, offset: 1, count: 1 },
    ])
  })

  test('records go in batches of the size asked for, the last with what is left', async () => {
    const { stdout } = await runCli(
      ['append', ...place.fresh(), '--log', 'l', '--batch-records', '400'],
      { input: EVENTS_NDJSON },
    )
    expect(jsonLines(stdout).map(({ offset, count }) => [offset, count])).toEqual([
      [0, 400],
      [400, 400],
      [800, 200],
    ])
  })

  test('acknowledges while its input goes on, also a batch that is not full, and keeps it through kill -9', async () => {
    const data = place.fresh()
    const child = spawnCli(['append', ...data, '--log', 'l', '--batch-records', '100'])
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    child.stdin.write('{"a":1}\n{"a":2}\n')
    expect(JSON.parse((await lines.next()).value as string)).toEqual({
      partition: 0,
      offset: 0,
      count: 2,
    })
    child.stdin.write('{"a":3}\n')
    expect(JSON.parse((await lines.next()).value as string)).toEqual({
      partition: 0,
      offset: 2,
      count: 1,
    })
    child.kill('SIGKILL')
    await once(child, 'close')
    const { stdout } = await runCli(['read', ...data, '--log', 'l', '--columns', 'a', '--json'])
    expect(jsonLines(stdout)).toEqual([{ a: 1 }, { a: 2 }, { a: 3 }])
  })

  test('a bad line ends it with status 2, and what came before it counts', async () => {
    const data = place.fresh()
    const { status, stdout, stderr } = await runCli(['append', ...data, '--log', 'l', '--json'], {
      input: '{"a":1}\n{"a":\n{"a":3}\n',
    })
    expect(status).toBe(2)
    expect(jsonLines(stdout)).toEqual([{ partition: 0, offset: 0, count: 1 }])
    expect(JSON.parse(stderr)).toEqual({
      error: {
        kind: 'invalid',
        code: 'input_invalid',
        message: text,
        details: { line: 2, reason: text },
      },
    })
  })

  test('Ctrl-C ends it with status 130 after what was acknowledged', async () => {
    const child = spawnCli(['append', ...place.fresh(), '--log', 'l'])
    child.stdin.write('{"a":1}\n')
    await once(child.stdout, 'data')
    child.kill('SIGINT')
    const [status] = (await once(child, 'close')) as [number]
    expect(status).toBe(130)
  })
})

describe('read', () => {
  const read = async (...args: readonly string[]): Promise<readonly Record<string, unknown>[]> => {
    const { status, stdout, stderr } = await runCli([
      'read',
      ...where,
      '--log',
      'events',
      '--json',
      ...args,
    ])
    expect(status, stderr).toBe(0)
    return jsonLines(stdout)
  }

  test('prints the records with their offset, partition and time', async () => {
    const records = await read()
    expect(records).toEqual(
      EVENTS.map((event, offset) => ({ ...event, _offset: offset, _partition: 0, _time: isoTime })),
    )
  })

  test('by offsets, by the newest, by a limit, by columns', async () => {
    const offsets = async (...args: readonly string[]): Promise<unknown[]> =>
      (await read(...args)).map((record) => record['_offset'])
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
    const table = await runCli([
      'read',
      ...where,
      '--log',
      'events',
      '--limit',
      '1',
      '--columns',
      'n,name',
      '--format',
      'table',
    ])
    expect(table.stdout).toBe('n  name\n──────────\n0  event 0\n')
    const csv = await runCli([
      'read',
      ...where,
      '--log',
      'events',
      '--limit',
      '1',
      '--columns',
      'n,name',
      '--format',
      'csv',
    ])
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
    const sql =
      'SELECT name, count(*) AS n, sum(price) AS total FROM events WHERE n >= ? GROUP BY name ORDER BY name LIMIT 2'
    const result = await runJson(['sql', ...where, sql, '--param', '500'])
    const segments = { scanned: count, pruned: count }
    const cache = { hits: count, misses: count }
    const tier = { records: count, bytes: count, segments, files: count, cache, requests: count }
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
        segments,
        segmentsByTier: { disk: segments, object: segments },
        cache,
        requests: count,
        rows: 2,
        tiers: { memory: tier, disk: tier, object: tier },
      },
    })
  })

  test('keeps what JSON numbers cannot hold as text', async () => {
    const sql =
      "SELECT 9007199254740993::BIGINT AS big, 1.50::DECIMAL(5,2) AS money, 'ab'::BLOB AS bytes, TIMESTAMP '2026-01-31 12:00:00.123456' AS t"
    expect(await runJson(['sql', ...where, sql])).toMatchObject({
      rows: [['9007199254740993', '1.50', 'YWI=', '2026-01-31T12:00:00.123456Z']],
    })
  })

  test.each([
    ['table', 'n\n─\n7\n'],
    ['csv', 'n\r\n7\r\n'],
    ['ndjson', '{"n":7}\n'],
  ])('prints %s', async (format, expected) => {
    expect((await runCli(['sql', ...where, 'SELECT 7 AS n', '--format', format])).stdout).toBe(
      expected,
    )
  })

  test('counts each record once, in the tier that served it', async () => {
    const alone = await runJson<{ stats: { recordsByTier: unknown } }>([
      'sql',
      '--archive',
      archive,
      'SELECT sum(n) FROM events',
    ])
    expect(alone.stats.recordsByTier).toEqual({ memory: 0, disk: 0, object: 1_000 })
  })

  test('a statement that is wrong is invalid', async () => {
    const { status, stdout, stderr } = await runCli(['sql', ...where, 'SELEKT 1', '--json'])
    expect([status, stdout]).toEqual([2, ''])
    expect(JSON.parse(stderr)).toMatchObject({ error: { kind: 'invalid', code: 'query_invalid' } })
  })
})
