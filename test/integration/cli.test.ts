/** The commands of the page "What scripts rely on" that look after logs; each field is looked at. */
import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CliPlace, EVENTS } from '../support/cli-place.ts'
import { cliEntry, jsonLines, runCli, runJson, spawnCli } from '../support/cli.ts'

const place = new CliPlace()
const { root, dataDir, archive, where } = place

beforeAll(() => place.fill())
afterAll(() => place.remove())

const count = expect.any(Number) as number
const text = expect.any(String) as string
const isoTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/) as string
const hash = expect.stringMatching(/^[0-9a-f]{64}$/) as string

describe('logs', () => {
  test('create prints the log, list and describe print it again', async () => {
    const data = place.fresh()
    const schema = place.file('schema.json', '{"at":"timestamp[ms]","user":"utf8"}')
    const flags = [
      '--schema',
      schema,
      '--time-column',
      'at',
      '--key-column',
      'user',
      '--partitions',
      '2',
      '--memory-ttl',
      '90s',
      '--mode',
      'persistent',
    ]
    const log = await runJson(['logs', 'create', 'Orders', ...data, ...flags])
    expect(log).toEqual({
      name: 'orders',
      schema: [
        { name: 'at', type: 'timestamp[ms]', nullable: false },
        { name: 'user', type: 'utf8', nullable: true },
      ],
      policy: expect.objectContaining({
        mode: 'persistent',
        memoryTtl: 90_000,
        ack: 'disk',
        wal: true,
      }) as object,
      partitions: 2,
      timeColumn: 'at',
      keyColumn: 'user',
      rpoMs: 0,
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
    const data = [...place.fresh(), '--archive', place.freshArchive()]
    await runCli(['append', ...data, '--log', 'l'], { input: '{"a":1}\n{"a":2}\n' })
    const report = await runJson<{ moved: { bytes: number }[] }>([
      'tier',
      'now',
      ...data,
      '--log',
      'l',
      '--to',
      'object',
    ])
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
      writer: null,
      memory: { usedBytes: count, maxBytes: count, usagePercent: count },
      archive: {
        url: archive,
        requests: { put: count, get: count, list: count, bytesIn: count },
        cache: { hits: count, misses: count, usedBytes: count },
        storedBytes: count,
        estimatedUsdPerMonth: { requests: 0 },
      },
    })
    const object = { ...tier, records: 1_000, segments: count }
    const tiers = { memory: tier, disk: { ...tier, segments: count }, object }
    expect(status.logs[0]).toEqual({
      name: 'events',
      policy: expect.objectContaining({ mode: 'hybrid' }) as object,
      rpoMs: 0,
      pendingRecords: 0,
      paused: null,
      partitions: [
        {
          partition: 0,
          startOffset: 0,
          endOffset: 1_000,
          durableOffset: 1_000,
          archivedOffset: 1_000,
          tiers,
          lag: { flushMs: 0, uploadMs: 0 },
          gaps: [],
          lastError: null,
          damage: [],
          next: { action: 'drop-disk', inMs: count, why: text },
        },
      ],
    })
  })

  test('of an archive by itself', async () => {
    expect(await runJson(['status', '--archive', archive])).toMatchObject({
      source: 'archive',
      logs: [{ name: 'events' }],
    })
  })
})

describe('snapshots, restore, replay, drill', () => {
  test('snapshot create and list print what is pinned', async () => {
    const made = await runJson(['snapshot', 'create', ...where])
    const partitions = [{ partition: 0, startOffset: 0, endOffset: 1_000 }]
    const snapshot = {
      name: text,
      id: text,
      time: isoTime,
      logs: expect.arrayContaining([{ id: count, name: 'events', partitions }]) as unknown[],
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
    expect(report).toMatchObject({
      plan,
      records: 1_000,
      elapsedMs: count,
      verified: true,
      missing: [],
      corrupt: [],
    })
    const { stdout } = await runCli([
      'read',
      '--data-dir',
      restored,
      '--log',
      'again',
      '--columns',
      'n,name,price,ok',
      '--json',
    ])
    expect(jsonLines(stdout)).toEqual(EVENTS)
  })

  test('restore stops at an offset', async () => {
    const restored = join(root, 'restored-part')
    await runJson([
      'restore',
      '--archive',
      archive,
      '--data-dir',
      restored,
      '--to-offset',
      'events/0=10',
    ])
    expect(
      await runJson(['sql', '--data-dir', restored, 'SELECT count(*) FROM events']),
    ).toMatchObject({ rows: [[10]] })
  })

  test('a directory with something in it is not restored into', async () => {
    expect((await runCli(['restore', '--archive', archive, '--data-dir', dataDir])).status).toBe(4)
  })

  test('replay prints what it saw', async () => {
    expect(await runJson(['replay', '--archive', archive, '--logs', 'events'])).toEqual({
      records: 1_000,
      bytes: count,
      since: null,
      until: null,
      elapsedMs: count,
      recordsPerSecond: count,
      bytesPerSecond: count,
      logs: [
        {
          name: 'events',
          records: 1_000,
          bytes: count,
          firstTime: isoTime,
          lastTime: isoTime,
          hash,
          latestHash: null,
          gaps: [],
        },
      ],
      missing: [],
      corrupt: [],
      limitedBy: expect.toBeOneOf(['store', 'codec', 'sink']) as string,
      resumePoint: {
        logs: [{ name: 'events', partitions: [{ partition: 0, offset: 1_000, records: 1_000 }] }],
      },
    })
  })

  test('replay into a directory gives the same hash again, into a pipe the records', async () => {
    const target = join(root, 'replayed')
    const into = await runJson<{ logs: { hash: string }[] }>([
      'replay',
      '--archive',
      archive,
      '--logs',
      'events',
      '--into',
      target,
    ])
    const piped = await runCli([
      'replay',
      '--archive',
      archive,
      '--logs',
      'events',
      '--from',
      '998',
      '--into',
      '-',
      '--json',
    ])
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
    const found = await runJson([
      'drill',
      '--archive',
      archive,
      '--against',
      dataDir,
      ...check,
      '--report',
      report,
    ])
    expect(found).toMatchObject({
      records: count,
      bytes: count,
      elapsedMs: count,
      logs: expect.arrayContaining([
        expect.objectContaining({ name: 'events', records: 1_000, hash, gaps: [] }),
      ]) as unknown[],
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
    readdirSync(join(dataDir, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
      join(folder, name),
    )

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
      batches: expect.arrayContaining([
        expect.objectContaining({ metadataChecksum: count, length: count }),
      ]) as unknown[],
      statistics: expect.any(Array) as [],
      verified: true,
      problems: [],
    })
    expect(await runJson(['inspect', '--data-dir', dataDir, name])).toMatchObject({
      kind: 'segment',
      verified: true,
    })
    const key = readdirSync(join(root, 'archive'), { recursive: true, encoding: 'utf8' }).find(
      (path) => path.endsWith('.arrow'),
    )
    expect(await runJson(['inspect', '--archive', archive, key ?? ''])).toMatchObject({
      kind: 'segment',
      verified: true,
    })
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
    expect(await runJson(['inspect', '--data-dir', dataDir, 'stratalog.json'])).toMatchObject({
      kind: 'identity',
      of: 'directory',
      engineId: text,
    })
  })

  test('a flipped bit is named with its place and what can still be read, status 8', async () => {
    const bytes = readFileSync(
      join(dataDir, files('segments').find((path) => path.endsWith('.arrow')) ?? ''),
    )
    const facts = (
      await runJson<{ batches: { position: number; metadataLength: number }[] }>([
        'inspect',
        place.file('whole.arrow', bytes),
      ])
    ).batches[0]
    const position = (facts?.position ?? 0) + (facts?.metadataLength ?? 0)
    bytes[position] = (bytes[position] ?? 0) ^ 1
    const { status, stdout, stderr } = await runCli([
      'inspect',
      place.file('flipped.arrow', bytes),
      '--json',
    ])
    expect(status).toBe(8)
    expect(JSON.parse(stdout)).toMatchObject({
      verified: false,
      readableRecords: count,
      problems: [{ position: facts?.position, reason: text, from: count, to: count }],
    })
    expect(JSON.parse(stderr)).toMatchObject({
      error: { kind: 'corrupt', code: 'segment_corrupt' },
    })
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
    for (const name of [
      'import',
      'append',
      'read',
      'sql',
      'restore',
      'drill',
      'replay',
      'inspect',
      'status',
      'demo',
    ]) {
      expect(stdout).toContain(`\n  ${name} `)
      expect((await runCli([name, '--help'])).stdout).toMatch(
        new RegExp(`Examples?:\n  .*stratalog ${name}`),
      )
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
    [
      ['sql', 'SELECT 1', '--data-dir', dataDir, '--format', 'xml'],
      'Allowed choices are table, json',
    ],
    [['drill', '--archive', archive, '--data-dir', dataDir], 'has no use for --data-dir'],
    [['demo', '--records', '10'], 'at least 1000'],
    [['demo', '--records', 'x'], 'at least 1000'],
    [['logs', 'create', '!', '--data-dir', dataDir], 'is not a log name'],
    [['logs', 'create', 'x', '--data-dir', dataDir, '--archive-after', '1m'], 'archiveAfter'],
  ])('%j is a usage error with status 2', async (args, message) => {
    const { status, stdout, stderr } = await runCli(args)
    expect([status, stdout]).toEqual([2, ''])
    expect(stderr).toContain(message)
    const json = await runCli([...args, '--json'])
    expect([json.status, json.stdout]).toEqual([2, ''])
    expect(JSON.parse(json.stderr)).toEqual({
      error: {
        kind: 'invalid',
        code: text,
        message: expect.stringContaining(message) as string,
        details: expect.any(Object) as object,
      },
    })
  })

  test('a directory in use says who holds it, status 4', async () => {
    const data = place.fresh()
    const holder = spawnCli(['append', ...data, '--log', 'l'])
    holder.stdin.write('{"a":1}\n')
    await once(holder.stdout, 'data')
    const { status, stderr } = await runCli(['logs', 'create', 'x', ...data, '--json'])
    holder.stdin.end()
    await once(holder, 'close')
    expect(status).toBe(4)
    expect(JSON.parse(stderr)).toMatchObject({
      error: {
        code: 'directory_in_use',
        details: { holder: { pid: holder.pid, host: text, since: isoTime } },
      },
    })
  })
})
