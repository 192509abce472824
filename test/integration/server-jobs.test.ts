/** Restore, replay and drill as jobs of a server: what they give, what they may reach, and how they end. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { Stratalog } from '../../src/index.ts'
import { JOBS_QUEUED_MAX, JOBS_RUNNING_MAX } from '../../src/server/limits.ts'
import { CliPlace } from '../support/cli-place.ts'
import { runJson } from '../support/cli.ts'
import { eventually } from '../support/eventually.ts'
import { TestServer } from '../support/server.ts'

const place = new CliPlace()
const restored = join(place.root, 'restored')
const sink = createServer()
let server: TestServer

interface Job {
  readonly id: string
  readonly state: string
  readonly progress: { readonly records: number } | null
  readonly problem: { readonly code: string; readonly detail: string } | null
  readonly result: Readonly<Record<string, unknown>> | null
}

beforeAll(async () => {
  await place.fill()
  await new Promise<void>((resolve) => {
    sink.listen(0, '127.0.0.1', resolve)
  })
  const { port } = sink.address() as AddressInfo
  const jobs = ['--job-dir', restored, '--job-hosts', `127.0.0.1:${port}`]
  server = await TestServer.start([...place.where, ...jobs])
  await slowLog(server)
})
afterAll(async () => {
  await server.stop()
  sink.close()
  place.remove()
})

/** A log whose records are a day apart, in two segments: at the speed of then its replay does not end. */
async function slowLog(on: TestServer): Promise<void> {
  const post = (path: string, body: object): Promise<Response> =>
    on.fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const schema = { at: 'timestamp[ms]' }
  expect((await post('/v1/logs', { name: 'slow', schema, timeColumn: 'at' })).status).toBe(201)
  for (const at of ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z']) {
    await post('/v1/logs/slow/records', { at })
    await post('/v1/tier/now', { to: 'object' })
  }
}

const ENDLESS = { kind: 'replay', logs: ['slow'], speed: 'realtime' }

async function begin(request: object, on: TestServer = server): Promise<Job> {
  const answer = await on.fetch('/v1/jobs', { method: 'POST', body: JSON.stringify(request) })
  const job = (await answer.json()) as Job
  expect([answer.status, answer.headers.get('location')]).toEqual([202, `/v1/jobs/${job.id}`])
  return job
}

async function ended(request: object): Promise<Job> {
  const { id } = await begin(request)
  return await eventually(async () => {
    const job = await server.json<Job>(`/v1/jobs/${id}?wait=15s`)
    expect(['queued', 'running']).not.toContain(job.state)
    return job
  })
}

async function result(request: object): Promise<Readonly<Record<string, unknown>>> {
  const { state, problem, result: found } = await ended(request)
  expect([state, problem]).toEqual(['done', null])
  return found ?? {}
}

async function refusal(request: object): Promise<readonly unknown[]> {
  const answer = await server.fetch('/v1/jobs', { method: 'POST', body: JSON.stringify(request) })
  return [answer.status, ((await answer.json()) as { code: string }).code]
}

async function cancel(id: string): Promise<Job> {
  return server.json<Job>(`/v1/jobs/${id}`, { method: 'DELETE' })
}

async function rows(sql: string): Promise<unknown> {
  const body = JSON.stringify({ sql })
  return (await server.json<{ rows: unknown }>('/v1/sql', { method: 'POST', body })).rows
}

describe('a job gives what its command prints', () => {
  test('a drill, held against the logs of the server', async () => {
    const checks = [{ sql: 'SELECT count(*) FROM events', expected: [[1_000]] }]
    const report = await result({ kind: 'drill', checks })
    expect(report).toMatchObject({ verdict: 'PASS', hashEqual: true, rpoRecords: 0, coverage: 1 })
    const local = await runJson<object>(['drill', '--archive', place.archive])
    expect(Object.keys(report)).toEqual(Object.keys(local))
    const status = await server.json<{ drill: { last: object } }>('/v1/status')
    expect(status.drill.last).toMatchObject({ verdict: 'PASS', coverage: 1, rpoMs: 0, reasons: [] })
    const metrics = await (await server.fetch('/metrics')).text()
    expect(metrics).toContain('stratalog_drill_passed 1')
  })

  test('a replay that counts and hashes', async () => {
    const report = await result({ kind: 'replay', logs: ['events'], to: 700 })
    const local = await runJson<{ logs: unknown }>([
      'replay',
      '--archive',
      place.archive,
      '--logs',
      'events',
      '--to',
      '700',
    ])
    expect(Object.keys(report)).toEqual(Object.keys(local))
    expect(report).toMatchObject({ records: 700, logs: local.logs })
  })

  test('a plan, and a restore into a directory that the server names', async () => {
    const plan = await result({ kind: 'restore', snapshot: 'first', plan: true })
    expect(plan).toMatchObject({ plan: { logs: 1, segments: 1 }, records: 0, missing: [] })
    const request = { kind: 'restore', snapshot: 'first', directory: 'night' }
    const report = await result(request)
    expect(report).toMatchObject({ records: 1_000, verified: true, missing: [], corrupt: [] })
    const directory = ['--data-dir', join(restored, 'night')]
    const sql = 'SELECT count(*), sum(n) FROM events'
    expect(await runJson(['sql', sql, ...directory])).toMatchObject({ rows: [[1_000, 499_500]] })
    expect((await ended(request)).problem?.code).toBe('directory_not_empty')
  })
})

describe('a restore into the server', () => {
  test('copies a log under another name, with offsets and times, up to a moment', async () => {
    const rename = { events: 'events-back' }
    const toOffsets = [{ log: 'events', partition: 0, offset: 600 }]
    const report = await result({ kind: 'restore', logs: ['events'], rename, toOffsets })
    expect(report).toMatchObject({ records: 600, verified: true, isLazy: false, gaps: [] })
    const both = 'SELECT b.n FROM events a JOIN "events-back" b USING (_offset, _time, n, name)'
    expect(await rows(`SELECT count(*), max(n) FROM (${both})`)).toEqual([[600, 599]])
    const again = await ended({ kind: 'restore', logs: ['events'], rename })
    expect([again.state, again.problem?.code]).toEqual(['failed', 'log_exists'])
  })

  test('brings back a log that was deleted, from a snapshot', async () => {
    const headers = { 'content-type': 'application/x-ndjson' }
    await server.fetch('/v1/logs', { method: 'POST', body: '{"name":"lost"}' })
    await server.fetch('/v1/logs/lost/records', { method: 'POST', headers, body: '{"a":7}\n' })
    await server.fetch('/v1/tier/now', { method: 'POST', body: '{"to":"object"}' })
    await server.fetch('/v1/snapshots', { method: 'POST', body: '{"name":"held"}' })
    await server.fetch('/v1/logs/lost', { method: 'DELETE' })
    expect((await ended({ kind: 'restore', logs: ['lost'] })).problem?.code).toBe('log_not_found')
    await result({ kind: 'restore', snapshot: 'held', logs: ['lost'] })
    expect(await rows('SELECT a FROM lost')).toEqual([[7]])
  })

  test('that was killed on the way leaves nothing once the server starts again', async () => {
    const dataDir = join(place.root, 'killed')
    {
      await using db = await Stratalog.open({ dataDir })
      for (const name of ['kept', 'stratalog.restoring.0f']) await db.createLog(name)
    }
    const other = await TestServer.start(['--data-dir', dataDir])
    onTestFinished(async () => void (await other.stop()))
    const { logs } = await other.json<{ logs: readonly { name: string }[] }>('/v1/logs')
    expect(logs.map(({ name }) => name).filter((name) => !name.endsWith('.readiness'))).toEqual([
      'kept',
    ])
  })
})

describe('a replay', () => {
  test('goes to a host that is allowed, and to no other', async () => {
    let bytes = 0
    sink.on('request', (request, response) => {
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length
      })
      request.on('end', () => response.end())
    })
    const { port } = sink.address() as AddressInfo
    const url = `http://127.0.0.1:${port}/`
    expect(await result({ kind: 'replay', logs: ['events'], into: { url } })).toMatchObject({
      records: 1_000,
    })
    expect(bytes).toBeGreaterThan(10_000)
    const other = { kind: 'replay', into: { url: server.url } }
    expect(await refusal(other)).toEqual([400, 'url_invalid'])
  })

  test('makes logs of another archive anew, and goes on where one stopped', async () => {
    const other = await TestServer.start(['--job-archives', place.archive])
    onTestFinished(async () => void (await other.stop()))
    const request = { kind: 'replay', archive: place.archive, logs: ['events'], into: 'engine' }
    for (const resume of [false, true]) {
      const { id } = await begin({ ...request, resume }, other)
      await eventually(async () => {
        expect(await other.json(`/v1/jobs/${id}?wait=15s`)).toMatchObject({ state: 'done' })
      })
    }
    const { ranges } = await other.json<{ ranges: unknown }>('/v1/logs/events')
    expect(ranges).toEqual([{ partition: 0, startOffset: 0, endOffset: 1_000 }])
    const unnamed = JSON.stringify({ ...request, logs: undefined })
    expect((await other.fetch('/v1/jobs', { method: 'POST', body: unnamed })).status).toBe(400)
  })
})

describe('what is not allowed', () => {
  test.each([
    [{ kind: 'backup' }, 'argument_invalid'],
    [{ kind: 'drill', sample: 2 }, 'argument_invalid'],
    [{ kind: 'restore', directory: '../data' }, 'argument_invalid'],
    [{ kind: 'restore' }, 'argument_invalid'],
    [{ kind: 'restore', logs: ['stratalog.streams'] }, 'argument_invalid'],
    [{ kind: 'drill', archive: 'file:///etc' }, 'url_invalid'],
    [{ kind: 'drill', archive: 's3://bucket/prefix' }, 'url_invalid'],
  ])('is refused before it is queued: %j', async (request, code) => {
    expect(await refusal(request)).toEqual([400, code])
  })

  test('so are parameters that are none, and jobs that there are not', async () => {
    for (const path of ['/v1/jobs?page=2', '/v1/jobs?limit=x', '/v1/jobs/none?wait=soon'])
      expect((await server.fetch(path)).status, path).toBe(400)
    for (const method of ['GET', 'DELETE']) {
      const answer = await server.fetch('/v1/jobs/none', { method })
      expect([answer.status, await answer.json()]).toEqual([
        404,
        expect.objectContaining({ code: 'job_not_found' }),
      ])
    }
  })
})

describe('jobs that take long', () => {
  test('show how far they are, and end when they are cancelled', async () => {
    const { id } = await begin(ENDLESS)
    await eventually(async () => {
      const job = await server.json<Job>(`/v1/jobs/${id}`)
      expect([job.state, job.progress?.records]).toEqual(['running', 1])
    })
    const over = await cancel(id)
    expect([over.state, over.problem?.detail]).toEqual(['cancelled', 'It was cancelled.'])
    expect((await cancel(id)).state).toBe('cancelled')
  })

  test('wait for their turn within bounds, and are listed page by page', async () => {
    const ids: string[] = []
    for (let index = 0; index < JOBS_RUNNING_MAX + JOBS_QUEUED_MAX; index++)
      ids.push((await begin(ENDLESS)).id)
    const answer = await server.fetch('/v1/jobs', {
      method: 'POST',
      body: JSON.stringify(ENDLESS),
    })
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '1'])
    interface Page {
      readonly jobs: readonly { readonly id: string }[]
      readonly next: string | null
    }
    const first = await server.json<Page>('/v1/jobs?limit=4')
    const second = await server.json<Page>(`/v1/jobs?limit=4&after=${first.next}`)
    const listed = [...first.jobs, ...second.jobs].map(({ id }) => id)
    expect(listed).toEqual(ids.toReversed().slice(0, 8))
    for (const id of ids.toReversed()) await cancel(id)
  })

  test('end with the server, which says so', async () => {
    const other = await TestServer.start([
      ...place.fresh(),
      ...['--archive', place.freshArchive(), '--log-level', 'info'],
    ])
    await slowLog(other)
    const { id } = await begin(ENDLESS, other)
    await eventually(async () => {
      expect((await other.json<Job>(`/v1/jobs/${id}`)).progress).not.toBeNull()
    })
    const { status, stderr } = await other.stop()
    expect([status, stderr]).toEqual([
      0,
      expect.stringContaining('The server stopped before it was done.'),
    ])
  })
})
