/** Replays into engines and endpoints: each record once, also when the replay is killed on the way. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { type Server, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PACK_SEGMENTS_MIN } from '../../src/format/limits.ts'
import { type RecordRow, type ResumePoint, Stratalog } from '../../src/index.ts'
import { jsonLines, runCli, runJson, spawnCli } from '../support/cli.ts'
import { expectError } from '../support/expect-error.ts'

const root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
const archive = pathToFileURL(join(root, 'archive')).href
const COUNT = 30_000
const START_MS = Date.UTC(2026, 0, 1)

/** Two logs, one with two partitions; the times of one are not in order. */
beforeAll(async () => {
  await using db = await Stratalog.open({ dataDir: join(root, 'data'), archive })
  const orders = await db.createLog('orders', { timeColumn: 'at' })
  const users = await db.createLog('users', { partitions: 2, keyColumn: 'user' })
  for (let first = 0; first < COUNT; first += 5_000) {
    const at = (n: number): Date => new Date(START_MS + (n ^ 1) * 1_000)
    await orders.append(
      Array.from({ length: 5_000 }, (_, row) => ({ n: first + row, at: at(first + row) })),
    )
    for (const partition of [0, 1]) {
      const user = partition === 0 ? 'ann' : 'bob'
      const rows = Array.from({ length: 2_500 }, (_, row) => ({ user, n: first + row }))
      await users.append(rows, { partition })
    }
    await db.tier.now()
  }
}, 60_000)

afterAll(() => rmSync(root, { recursive: true, force: true }))

async function valuesOf(dataDir: string, log: string): Promise<readonly RecordRow[]> {
  await using db = await Stratalog.openReadOnly({ dataDir })
  return await db.log(log).read().toArray()
}

const fresh = (): string => join(mkdtempSync(join(root, 'into-')), 'data')

describe('a replay into a data directory', () => {
  test.each([{}, { until: START_MS + 20_000_500 }])(
    'that stops at any batch and goes on from a stale resume point gives each record once: %o',
    async (picked) => {
      const [whole, broken] = [fresh(), fresh()]
      {
        await using db = await Stratalog.open({ dataDir: whole })
        await db.replayFromArchive(archive, picked)
      }
      let stale: ResumePoint | undefined
      for (let stopAfter = 1; ; stopAfter += 3) {
        await using db = await Stratalog.open({ dataDir: broken })
        const controller = new AbortController()
        let batches = 0
        const replaying = db.replayFromArchive(archive, {
          ...picked,
          signal: controller.signal,
          onProgress: ({ resumePoint }) => {
            if (batches === 1) stale = resumePoint()
            if (++batches === stopAfter) controller.abort()
          },
          ...(stopAfter === 1 ? {} : { resumePoint: stale ?? { logs: [] } }),
        })
        const ended = await replaying.then(
          () => true,
          () => false,
        )
        if (ended) break
      }
      for (const log of ['orders', 'users'])
        expect(await valuesOf(broken, log)).toEqual(await valuesOf(whole, log))
      expect(await valuesOf(whole, 'orders')).toHaveLength('until' in picked ? 20_001 : COUNT)
    },
    120_000,
  )

  test('that is killed again and again gives each record once', { timeout: 300_000 }, async () => {
    const into = fresh()
    const resume = join(root, 'killed.json')
    const args = ['replay', '--archive', archive, '--into', into, '--resume', resume]
    let kills = 0
    for (let isDone = false; !isDone;) {
      // As slow as history, a hundred thousand times over: there is time to be killed.
      const child = spawnCli([...args, '--speed', '10000x', '--logs', 'orders'])
      const before = await readFile(resume, 'utf8').catch(() => '')
      const closed = new Promise<number | null>((resolve) => child.on('close', resolve))
      let isClosed = false
      void closed.then(() => (isClosed = true))
      while (!isClosed && (await readFile(resume, 'utf8').catch(() => '')) === before)
        await new Promise((resolve) => setImmediate(resolve))
      if (kills < 3) {
        child.kill('SIGKILL')
        kills++
        expect(await closed).toBe(null)
      } else {
        isDone = (await closed) === 0
        expect(isDone).toBe(true)
      }
    }
    const records = await valuesOf(into, 'orders')
    expect(records.map(({ n, _offset }) => [n, _offset])).toEqual(
      Array.from({ length: COUNT }, (_, n) => [n, n]),
    )
  })

  test('that has a log of that name is refused, and one that is another log always', async () => {
    await using db = await Stratalog.memoryOnly()
    const orders = await db.createLog('orders')
    await orders.append({ other: 'columns' })
    await expectError(db.replayFromArchive(archive, { logs: ['orders'] }), 'log_exists')
    const resumePoint = { logs: [] }
    await expectError(
      db.replayFromArchive(archive, { logs: ['orders'], resumePoint }),
      'log_exists',
    )
    expect(await orders.read().toArray()).toHaveLength(1)
  })
})

describe('a replay with a filter', () => {
  test('makes a log of the records that it wants, one behind the other', async () => {
    await using db = await Stratalog.memoryOnly()
    const report = await db.replayFromArchive(archive, {
      logs: ['orders'],
      filter: (_log, { n }) => typeof n === 'number' && n % 3 === 0,
    })
    expect(report.records).toBe(COUNT / 3)
    const rows = await db.log('orders').read().toArray()
    expect(rows.map(({ n, _offset }) => [n, _offset])).toEqual(
      Array.from({ length: COUNT / 3 }, (_, index) => [index * 3, index]),
    )
  })
})

test('an engine in RAM that is too small says so, and never runs out of memory', async () => {
  await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '256KB' })
  const error = await expectError(db.replayFromArchive(archive), 'memory_full')
  expect(error.kind).toBe('overloaded')
})

describe('a replay to an HTTP endpoint', () => {
  const taken = new Map<string, unknown>()
  let requests = 0
  let server: Server
  let url = ''

  beforeAll(async () => {
    server = createServer((request, response) => {
      requests++
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => {
        // Every third answer is lost, or says to come again; what was sent is taken all the same.
        for (const row of jsonLines(body))
          taken.set(
            JSON.stringify([request.headers['stratalog-log'], row['_partition'], row['_offset']]),
            row['n'],
          )
        if (requests % 6 === 3) return void request.socket.destroy()
        if (request.url === '/moved') response.setHeader('location', '/elsewhere')
        response.statusCode = request.url === '/moved' ? 302 : requests % 6 === 0 ? 503 : 204
        response.end()
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => server.close())

  test('brings every record, however often it has to be sent', async () => {
    const report = await runJson<{ records: number; limitedBy: string }>([
      'replay',
      '--archive',
      archive,
      '--into',
      `${url}/in`,
    ])
    expect(report.records).toBe(COUNT * 2)
    expect(taken.size).toBe(COUNT * 2)
    expect(taken.get('["orders",0,29999]')).toBe(29_999)
  })

  test('follows no redirect', async () => {
    await using db = await Stratalog.memoryOnly()
    requests = 0
    const refused = db.replayFromArchive(archive, { into: { url: `${url}/moved` } })
    await expectError(refused, 'sink_refused')
    expect(requests).toBe(1)
  })

  test('of another machine is refused unless it is named', async () => {
    const { status, stderr } = await runCli([
      ...['replay', '--archive', archive, '--json'],
      ...['--into', 'http://169.254.169.254/latest', '--into-hosts', '169.254.169.254'],
    ])
    expect(status).toBe(2)
    expect(stderr).toContain('is of a private network')
  })
})

describe('on the command line', () => {
  test('a replay writes one log as an Arrow stream', async () => {
    const { tableFromIPC } = await import('apache-arrow')
    const args = ['replay', '--archive', archive, '--into', '-', '--format', 'arrow']
    const { bytes, status } = await runCli([...args, '--logs', 'orders', '--to', '10'])
    expect(status).toBe(0)
    expect(tableFromIPC(bytes).numRows).toBe(10)
    const refused = await runCli(args)
    expect([refused.status, refused.bytes.length]).toEqual([2, 0])
    expect(refused.stderr).toContain("'orders' and 'users' would be replayed: name one with --logs")
  })

  test('a replay goes as many steps as there are lines', async () => {
    const resume = join(root, 'steps.json')
    const args = ['replay', '--archive', archive, '--logs', 'orders', '--into', '-']
    const stepped = [...args, '--speed', 'stepped', '--step-records', '2', '--resume', resume]
    const first = await runCli(stepped, { input: '\n\n' })
    expect(first.status).toBe(130)
    expect(jsonLines(first.stdout).map(({ n }) => n)).toEqual([0, 1, 2, 3])
    const second = await runCli(stepped, { input: '\n' })
    expect(jsonLines(second.stdout).map(({ n }) => n)).toEqual([4, 5])
  })

  test('what is no resume point is refused', async () => {
    const { status } = await runCli(['replay', '--archive', archive, '--resume', 'package.json'])
    expect(status).toBe(2)
  })
})

test('a replay names each partition that a lost pack had records of, though their offsets are the same', async () => {
  const place = mkdtempSync(join(root, 'packed-'))
  const packed = pathToFileURL(join(place, 'archive')).href
  {
    await using db = await Stratalog.open({ dataDir: join(place, 'data'), archive: packed })
    const quiet = await db.createLog('quiet', { partitions: PACK_SEGMENTS_MIN })
    for (let partition = 0; partition < PACK_SEGMENTS_MIN; partition++)
      await quiet.append([{ n: 1 }, { n: 2 }], { partition })
    await db.tier.now()
  }
  const packs = join(place, 'archive', 'packs')
  const [name = '', ...others] = readdirSync(packs)
  expect(others).toEqual([])
  rmSync(join(packs, name))
  await using db = await Stratalog.memoryOnly()
  const { missing } = await db.replayFromArchive(packed)
  expect(missing).toEqual(
    Array.from({ length: PACK_SEGMENTS_MIN }, (_, partition) => ({
      key: `packs/${name}`,
      log: 'quiet',
      partition,
      from: 0,
      to: 2,
    })),
  )
})
