/** Streams beyond the conformance tests: that they are logs, and that they come back whole after a crash. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { DurableStream } from '@durable-streams/client'
import { expect, test } from 'vitest'
import { Stratalog } from '../../src/index.ts'
import { runCli, runJson } from '../support/cli.ts'
import { TestServer } from '../support/server.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
const TEXT_TYPE = { 'content-type': 'text/plain' }

interface StreamHead {
  readonly status: number
  readonly offset: string | null
  readonly closed: string | null
}

async function head(server: TestServer, path: string): Promise<StreamHead> {
  const { status, headers } = await server.fetch(path, { method: 'HEAD' })
  return { status, offset: headers.get('stream-next-offset'), closed: headers.get('stream-closed') }
}

async function text(server: TestServer, path: string): Promise<string> {
  return (await server.fetch(path)).text()
}

function post(
  server: TestServer,
  path: string,
  body: string,
  headers: Record<string, string>,
): Promise<Response> {
  return server.fetch(path, { method: 'POST', body, headers: { ...TEXT_TYPE, ...headers } })
}

const producer = (epoch: number, sequence: number): Record<string, string> => ({
  'producer-id': 'till-7',
  'producer-epoch': String(epoch),
  'producer-seq': String(sequence),
})

test('what was acknowledged of streams is there after kill -9: records, ends, writers, forks, deletions', async () => {
  const dataDir = await temporaryDirectory()
  const args = ['--data-dir', dataDir]
  const before = await TestServer.start(args)
  const put = (path: string, headers: Record<string, string>, body = ''): Promise<Response> =>
    before.fetch(path, { method: 'PUT', headers, body })
  await put('/v1/stream/Notes/May 1', TEXT_TYPE, 'one,')
  await post(before, '/v1/stream/Notes/May 1', 'two,', { 'stream-seq': '005' })
  for (const sequence of [0, 1])
    await post(before, '/v1/stream/Notes/May 1', `p${sequence},`, producer(3, sequence))
  await put('/v1/stream/fork', {
    'stream-forked-from': '/v1/stream/Notes/May%201',
    'stream-fork-offset': '0000000000000000_0000000000000001',
    'stream-fork-sub-offset': '2',
  })
  await post(before, '/v1/stream/fork', '!', {})
  await before.fetch('/v1/stream/Notes/May 1', { method: 'DELETE' })
  await put('/v1/stream/done', TEXT_TYPE)
  const closing = { ...producer(0, 0), 'stream-closed': 'true' }
  expect((await post(before, '/v1/stream/done', 'all', closing)).status).toBe(200)
  await put('/v1/stream/gone', TEXT_TYPE, 'x')
  await before.fetch('/v1/stream/gone', { method: 'DELETE' })
  await put('/v1/stream/kept', TEXT_TYPE)
  await post(before, '/v1/stream/kept', 'a', { 'stream-seq': '005' })
  await post(before, '/v1/stream/kept', 'b', producer(3, 0))
  await before.stop('SIGKILL')

  const after = await TestServer.start(args)
  expect(await text(after, '/v1/stream/fork')).toBe('one,tw!')
  expect((await head(after, '/v1/stream/Notes/May 1')).status).toBe(410)
  expect(await head(after, '/v1/stream/done')).toMatchObject({ closed: 'true' })
  expect((await head(after, '/v1/stream/gone')).status).toBe(404)
  // The append that ended it, again; and another one.
  expect((await post(after, '/v1/stream/done', 'all', closing)).status).toBe(204)
  expect((await post(after, '/v1/stream/done', 'more', {})).status).toBe(409)
  // Sequences go on.
  expect((await post(after, '/v1/stream/kept', 'c', { 'stream-seq': '005' })).status).toBe(409)
  const again = await post(after, '/v1/stream/kept', 'b', producer(3, 0))
  expect([again.status, again.headers.get('producer-seq')]).toEqual([204, '0'])
  expect((await post(after, '/v1/stream/kept', 'b', producer(2, 0))).status).toBe(403)
  expect((await post(after, '/v1/stream/kept', 'd', producer(3, 1))).status).toBe(200)
  expect(await text(after, '/v1/stream/kept')).toBe('abd')
  // The source goes with its last fork, and its path is free.
  await after.fetch('/v1/stream/fork', { method: 'DELETE' })
  expect((await head(after, '/v1/stream/Notes/May 1')).status).toBe(404)
  await after.stop()
})

test('a stream whose creation was cut short is not there, and can be created', async () => {
  const dataDir = await temporaryDirectory()
  const first = await TestServer.start(['--data-dir', dataDir])
  await first.fetch('/v1/stream/a', { method: 'PUT', headers: TEXT_TYPE, body: 'a' })
  await first.stop()
  const db = await Stratalog.open({ dataDir })
  const [created] = await db.log('stratalog.streams').read({ limit: 1 }).toArray()
  const details = created?.['details'] as Record<string, unknown>
  const event = { event: 'created', details: { ...details, log: 'b' } }
  await db.log('stratalog.streams').append({ ...event, stream: 'b', path: 'b' })
  await db.createLog('b')
  await db
    .log('stratalog.streams')
    .append({ event: 'created', stream: 'c', path: 'c', details: { ...details, log: 'c' } })
  await db.close()
  const second = await TestServer.start(['--data-dir', dataDir])
  for (const name of ['b', 'c']) {
    expect((await head(second, `/v1/stream/${name}`)).status).toBe(404)
    const made = await second.fetch(`/v1/stream/${name}`, {
      method: 'PUT',
      headers: TEXT_TYPE,
      body: name,
    })
    expect(made.status).toBe(201)
    expect(await text(second, `/v1/stream/${name}`)).toBe(name)
  }
  await second.stop()
})

test('the official client reads and writes, and the stream is a log for SQL', async () => {
  const dataDir = await temporaryDirectory()
  const server = await TestServer.start(['--data-dir', dataDir])
  const url = `${server.url}/v1/stream/orders`
  const stream = await DurableStream.create({ url, contentType: 'application/json' })
  await stream.append(JSON.stringify({ id: 1, big: 'x' }))
  const live = await stream.stream<{ id: number }>({ live: 'long-poll' })
  const seen: number[] = []
  const all = new Promise<void>((resolve) => {
    live.subscribeJson(({ items }) => {
      for (const { id } of items) seen.push(id)
      if (seen.length === 3) resolve()
      return Promise.resolve()
    })
  })
  await stream.append(JSON.stringify({ id: 2 }))
  await stream.append(JSON.stringify({ id: 3 }))
  await all
  live.cancel()
  expect(seen).toEqual([1, 2, 3])
  await server.stop()
  const { stdout } = await runCli([
    'sql',
    '--data-dir',
    dataDir,
    '--format',
    'csv',
    `SELECT sum((value ->> 'id')::INT) AS total FROM orders`,
  ])
  expect(stdout.trim().split('\n').at(-1)).toBe('6')
})

test('numbers keep the digits that they were written with', async () => {
  const server = await TestServer.start([])
  const body = '[12345678901234567890,{"a":1e400},"\\ud83d",null]'
  await server.fetch('/v1/stream/numbers', { method: 'PUT', headers: JSON_TYPE, body })
  expect(await text(server, '/v1/stream/numbers')).toBe(body)
  await server.stop()
})

test('an answer that is not all of a stream says where it goes on, and may be kept', async () => {
  const server = await TestServer.start([])
  await server.fetch('/v1/stream/big', { method: 'PUT', headers: TEXT_TYPE })
  for (const letter of ['a', 'b', 'c'])
    await post(server, '/v1/stream/big', letter.repeat(3_000_000), {})
  const first = await server.fetch('/v1/stream/big')
  expect((await first.text()).length).toBe(6_000_000)
  expect(first.headers.get('stream-up-to-date')).toBeNull()
  expect(first.headers.get('cache-control')).toContain('max-age=60')
  const rest = await server.fetch(
    `/v1/stream/big?offset=${first.headers.get('stream-next-offset')}`,
  )
  expect(await rest.text()).toBe('c'.repeat(3_000_000))
  expect(rest.headers.get('stream-up-to-date')).toBe('true')
  await server.stop()
})

test('streams come back from the archive alone: what they hold, which are closed, and what is forked', async () => {
  const root = await temporaryDirectory()
  const archive = pathToFileURL(join(root, 'archive')).href
  const first = await TestServer.start(['--data-dir', join(root, 'data'), '--archive', archive])
  await first.fetch('/v1/stream/a', { method: 'PUT', headers: TEXT_TYPE, body: 'one' })
  await post(first, '/v1/stream/a', ' two', { 'stream-closed': 'true' })
  const fork = { 'stream-forked-from': '/v1/stream/a' }
  await first.fetch('/v1/stream/b', { method: 'PUT', headers: fork })
  await post(first, '/v1/stream/b', ' three', {})
  await first.fetch('/v1/tier/now', { method: 'POST', body: '{"to":"object"}' })
  await first.stop()
  const restored = join(root, 'restored')
  await runJson(['restore', '--archive', archive, '--data-dir', restored])
  const second = await TestServer.start(['--data-dir', restored])
  expect(await text(second, '/v1/stream/a')).toBe('one two')
  expect(await head(second, '/v1/stream/a')).toMatchObject({ closed: 'true' })
  expect(await text(second, '/v1/stream/b')).toBe('one two three')
  expect((await post(second, '/v1/stream/b', '!', {})).status).toBe(204)
  await second.stop()
})
