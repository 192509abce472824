/** Deleting over HTTP and with `logs delete`: logs, and streams with their logs. */
import { expect, test } from 'vitest'
import { deleteLog } from '../../src/cli/commands/logs.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { Session } from '../../src/cli/session.ts'
import { Stratalog } from '../../src/index.ts'
import { runCli, runJson } from '../support/cli.ts'
import { expectError } from '../support/expect-error.ts'
import { TestServer } from '../support/server.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const TEXT_TYPE = { 'content-type': 'text/plain' }

async function logNames(server: TestServer): Promise<string[]> {
  const { logs } = await server.json<{ logs: { name: string }[] }>('/v1/logs')
  return logs.map(({ name }) => name).filter((name) => !name.startsWith('stratalog.'))
}

async function statusOf(
  server: TestServer,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body: string | null = null,
): Promise<number> {
  const response = await server.fetch(path, { method, headers, body })
  await response.arrayBuffer()
  return response.status
}

/** A terminal at which somebody answers `answer`, or nobody is. */
function session(answer: string | null): { session: Session; asked: string[]; written: string[] } {
  const asked: string[] = []
  const written: string[] = []
  const terminal = {
    outputClosed: false,
    outputIsTerminal: false,
    notesAreSeen: false,
    isInteractive: answer !== null,
    width: 80,
    write: async (text: string | Uint8Array) => void written.push(String(text)),
    note: () => {},
    noteRaw: () => {},
    ask: async (question: string) => {
      asked.push(question)
      return answer ?? ''
    },
    style: (_: unknown, text: string) => text,
  }
  const { signal } = new AbortController()
  return { session: { terminal, clock: systemClock, signal, json: false }, asked, written }
}

test('a log is deleted over HTTP and by the command, and only once', async () => {
  const dataDir = await temporaryDirectory()
  const server = await TestServer.start(['--data-dir', dataDir])
  for (const name of ['one', 'two', 'three']) {
    const made = { method: 'POST', body: JSON.stringify({ name }) }
    expect((await server.fetch('/v1/logs', made)).status).toBe(201)
    const record = { 'content-type': 'application/json' }
    expect(await statusOf(server, 'POST', `/v1/logs/${name}/records`, record, '{"n":1}')).toBe(200)
  }
  const gone = await server.fetch('/v1/logs/one', { method: 'DELETE' })
  expect([gone.status, await gone.text()]).toEqual([204, ''])
  expect(await statusOf(server, 'DELETE', '/v1/logs/one')).toBe(404)
  expect(await statusOf(server, 'GET', '/v1/logs/one/records')).toBe(404)
  expect(await statusOf(server, 'DELETE', '/v1/logs/stratalog.streams')).toBe(400)
  const remote = ['logs', 'delete', 'two', '--url', server.url]
  expect(await runCli(remote)).toMatchObject({ status: 2, stdout: '' })
  expect(await runJson([...remote, '--yes'])).toMatchObject({
    name: 'two',
    schema: [{ name: 'n' }],
    policy: { mode: 'hybrid' },
    partitions: 1,
  })
  expect(await runCli([...remote, '--yes', '--json'])).toMatchObject({ status: 3 })
  expect(await logNames(server)).toEqual(['three'])
  await server.stop()
  const local = ['logs', 'delete', 'three', '--data-dir', dataDir]
  const refused = await runCli([...local, '--json'])
  expect([refused.status, refused.stdout]).toEqual([2, ''])
  expect(JSON.parse(refused.stderr)).toMatchObject({ error: { code: 'argument_invalid' } })
  expect(refused.stderr).toContain('--yes')
  expect(await runJson([...local, '--yes'])).toMatchObject({ name: 'three', partitions: 1 })
  const unknown = await runCli(['logs', 'delete', 'thre', '--data-dir', dataDir, '--yes'])
  expect(unknown.status).toBe(3)
  expect((await runJson<{ name: string }[]>(['logs', 'list', '--data-dir', dataDir])).length).toBe(
    0,
  )
})

test('the command asks on a terminal, and deletes nothing without a yes', async () => {
  const dataDir = await temporaryDirectory()
  const names = async (): Promise<string[]> => {
    await using db = await Stratalog.openReadOnly({ dataDir })
    return db.logs().map(({ name }) => name)
  }
  {
    await using db = await Stratalog.open({ dataDir })
    await db.createLog('one')
    await db.createLog('two')
  }
  const refused = session('n')
  await expectError(deleteLog(refused.session, 'one', { dataDir }), 'aborted')
  expect(refused.asked).toHaveLength(1)
  await expectError(deleteLog(session(null).session, 'one', { dataDir }), 'argument_invalid')
  await expectError(deleteLog(session('y').session, 'on', { dataDir }), 'log_not_found')
  const archive = `file://${dataDir}/archive`
  await expectError(deleteLog(session('y').session, 'one', { archive }), 'argument_invalid')
  expect(await names()).toEqual(['one', 'two'])
  const agreed = session('yes')
  await deleteLog(agreed.session, 'one', { dataDir })
  expect(agreed.written).toEqual(['one is deleted\n'])
  const told = session('n')
  await deleteLog(told.session, 'two', { dataDir, yes: true })
  expect(told.asked).toEqual([])
  expect(await names()).toEqual([])
})

test('a deleted stream takes its log along, and begins anew under its path', async () => {
  const dataDir = await temporaryDirectory()
  const server = await TestServer.start(['--data-dir', dataDir])
  for (const body of ['first', 'second']) {
    expect(await statusOf(server, 'PUT', '/v1/stream/notes', TEXT_TYPE, body)).toBe(201)
    expect(await logNames(server)).toEqual(['notes'])
    expect(await (await server.fetch('/v1/stream/notes')).text()).toBe(body)
    const live = server.fetch('/v1/stream/notes?offset=now&live=sse').then((r) => r.text())
    const poll = server.fetch('/v1/stream/notes?offset=now&live=long-poll')
    expect(await statusOf(server, 'DELETE', '/v1/stream/notes')).toBe(204)
    expect(await logNames(server)).toEqual([])
    expect([404, 410]).toContain((await poll).status)
    await live.catch(() => '')
    expect(await statusOf(server, 'GET', '/v1/stream/notes')).toBe(404)
    expect(await statusOf(server, 'POST', '/v1/stream/notes', TEXT_TYPE, 'x')).toBe(404)
  }
  await statusOf(server, 'PUT', '/v1/stream/short', { ...TEXT_TYPE, 'stream-ttl': '0' }, 'x')
  expect(await statusOf(server, 'GET', '/v1/stream/short')).toBe(404)
  while ((await logNames(server)).length > 0) await server.fetch('/v1/logs')
  await server.stop('SIGKILL')
  const after = await TestServer.start(['--data-dir', dataDir])
  expect(await statusOf(after, 'GET', '/v1/stream/notes')).toBe(404)
  expect(await logNames(after)).toEqual([])
  await after.stop()
})

test('the log of a stream that forks read through goes with the last of them', async () => {
  const dataDir = await temporaryDirectory()
  const server = await TestServer.start(['--data-dir', dataDir])
  await statusOf(server, 'PUT', '/v1/stream/a', TEXT_TYPE, 'one')
  for (const [path, source] of [
    ['b', 'a'],
    ['c', 'b'],
  ]) {
    const headers = { 'stream-forked-from': `/v1/stream/${source}` }
    expect(await statusOf(server, 'PUT', `/v1/stream/${path}`, headers)).toBe(201)
  }
  await statusOf(server, 'DELETE', '/v1/stream/a')
  await statusOf(server, 'DELETE', '/v1/stream/b')
  expect(await logNames(server)).toEqual(['a', 'b', 'c'])
  expect(await (await server.fetch('/v1/stream/c')).text()).toBe('one')
  await server.stop('SIGKILL')
  const after = await TestServer.start(['--data-dir', dataDir])
  expect(await (await after.fetch('/v1/stream/c')).text()).toBe('one')
  await statusOf(after, 'DELETE', '/v1/stream/c')
  expect(await logNames(after)).toEqual([])
  await after.stop()
})

test('a deletion that was cut short is done by the next start, and takes no other log of the name', async () => {
  const dataDir = await temporaryDirectory()
  const first = await TestServer.start(['--data-dir', dataDir])
  await statusOf(first, 'PUT', '/v1/stream/cut', TEXT_TYPE, 'one')
  await statusOf(first, 'PUT', '/v1/stream/reused', TEXT_TYPE, 'one')
  await first.stop()
  {
    // As a crash right after the deletion was recorded leaves it.
    await using db = await Stratalog.open({ dataDir })
    const ids = [db.log('cut').id, db.log('reused').id]
    const events = await db.log('stratalog.streams').read().toArray()
    for (const [index, path] of ['cut', 'reused'].entries()) {
      const stream = events.find((event) => event['path'] === path)?.['stream']
      const details = { logId: ids[index] }
      await db.log('stratalog.streams').append({ event: 'deleted', stream, path, details })
    }
    await db.deleteLog('reused')
    await (await db.createLog('reused', { schema: { n: 'int64' } })).append({ n: 7 })
  }
  const server = await TestServer.start(['--data-dir', dataDir])
  expect(await statusOf(server, 'GET', '/v1/stream/cut')).toBe(404)
  expect(await statusOf(server, 'GET', '/v1/stream/reused')).toBe(404)
  expect(await logNames(server)).toEqual(['reused'])
  expect(await statusOf(server, 'PUT', '/v1/stream/gone', TEXT_TYPE, 'x')).toBe(201)
  expect(await statusOf(server, 'DELETE', '/v1/logs/gone')).toBe(204)
  expect(await statusOf(server, 'GET', '/v1/stream/gone')).toBe(404)
  expect(await statusOf(server, 'PUT', '/v1/stream/gone', TEXT_TYPE, 'y')).toBe(201)
  expect(await (await server.fetch('/v1/stream/gone')).text()).toBe('y')
  await server.stop()
})

test('a stream whose log was deleted by itself does not come back on another log of the name', async () => {
  const dataDir = await temporaryDirectory()
  const first = await TestServer.start(['--data-dir', dataDir])
  expect(await statusOf(first, 'PUT', '/v1/stream/chat', TEXT_TYPE, 'one')).toBe(201)
  expect(await logNames(first)).toEqual(['chat'])
  expect(await statusOf(first, 'DELETE', '/v1/logs/chat')).toBe(204)
  await first.stop()
  {
    await using db = await Stratalog.open({ dataDir })
    await (await db.createLog('chat', { schema: { data: 'binary' } })).append([{}, {}])
  }
  const server = await TestServer.start(['--data-dir', dataDir])
  expect(await statusOf(server, 'GET', '/v1/stream/chat')).toBe(404)
  expect(await statusOf(server, 'DELETE', '/v1/stream/chat')).toBe(404)
  expect(await statusOf(server, 'PUT', '/v1/stream/chat', TEXT_TYPE, 'new')).toBe(201)
  await server.stop()
  const again = await TestServer.start(['--data-dir', dataDir])
  expect(await (await again.fetch('/v1/stream/chat')).text()).toBe('new')
  expect(await statusOf(again, 'DELETE', '/v1/stream/chat')).toBe(204)
  expect(await logNames(again)).toEqual(['chat'])
  await again.stop()
})
