/** `stream-sql` and `POST /v1/sql/stream`: of a directory that another process writes, and of a server. */
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import type { StreamResumePoint } from '../../src/index.ts'
import { SQL_STREAMS_MAX } from '../../src/server/limits.ts'
import { CliPlace } from '../support/cli-place.ts'
import { jsonLines, runCli, runJson, spawnCli } from '../support/cli.ts'
import { eventually } from '../support/eventually.ts'
import { TestServer } from '../support/server.ts'

const place = new CliPlace()
afterAll(() => place.remove())

const SQL =
  'SELECT count(*) AS n, sum(v) AS total FROM clicks GROUP BY TUMBLE(moment, INTERVAL 1 MINUTE)'
const CREATE = ['logs', 'create', 'clicks', '--time-column', 'moment', '--schema']
const START = Date.UTC(2026, 0, 1)

function schemaFile(): string {
  return place.file('clicks.json', '{"moment":"timestamp[ms]","v":"int32"}')
}

function record(minute: number, v: number): string {
  return JSON.stringify({ moment: new Date(START + minute * 60_000), v })
}

function row(minute: number, n: number, total: number): string {
  const time = (shift: number): string => new Date(START + (minute + shift) * 60_000).toISOString()
  return JSON.stringify({ window_start: time(0), window_end: time(1), n, total })
}

interface Following {
  readonly next: () => Promise<string>
  /** Interrupts it: its status, and what it said besides. */
  readonly interrupt: () => Promise<readonly [status: number | null, rest: string[]]>
}

function follow(...args: readonly string[]): Following {
  const child = spawnCli(['stream-sql', ...args])
  child.stdin.end()
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const ended = once(child, 'close')
  onTestFinished(() => void child.kill('SIGKILL'))
  return {
    next: async () => String((await lines.next()).value),
    interrupt: async () => {
      child.kill('SIGINT')
      await ended
      const rest: string[] = []
      for (let line = await lines.next(); line.done !== true; line = await lines.next())
        rest.push(line.value)
      return [child.exitCode, rest]
    },
  }
}

async function append(child: ChildProcessWithoutNullStreams, ...lines: string[]): Promise<void> {
  for (const line of lines) {
    child.stdin.write(`${line}\n`)
    await once(child.stdout, 'data')
  }
}

test('of a directory that another process writes, interrupted and resumed', async () => {
  const data = place.fresh()
  await runJson([...CREATE, schemaFile(), ...data])
  const writer = spawnCli(['append', ...data, '--log', 'clicks', '--batch-records', '1'])
  const written = once(writer, 'close')
  onTestFinished(() => void writer.kill('SIGKILL'))
  await append(writer, record(0, 1), record(0.5, 2), record(1, 4))
  const resume = place.file('x', '').replace(/x$/, 'dir-resume.json')
  const first = follow(...data, '--resume', resume, SQL)
  expect(await first.next()).toBe(row(0, 2, 3))
  await append(writer, record(2, 8))
  expect(await first.next()).toBe(row(1, 1, 4))
  expect(await first.interrupt()).toEqual([130, []])
  await append(writer, record(2.5, 16), record(3, 32))
  const second = follow(...data, '--resume', resume, SQL)
  expect(await second.next()).toBe(row(2, 2, 24))
  expect(await second.interrupt()).toEqual([130, []])
  writer.stdin.end()
  await written
  const last = await runCli(['stream-sql', ...data, '--resume', resume, '--until-now', SQL])
  expect([last.status, last.stdout]).toEqual([0, `${row(3, 1, 32)}\n`])
})

test('of a server, interrupted and resumed', async () => {
  const server = await TestServer.start([])
  onTestFinished(async () => void (await server.stop()))
  const url = ['--url', server.url]
  await runJson([...CREATE, schemaFile(), ...url])
  const send = async (...records: string[]): Promise<void> => {
    const answer = await fetch(`${server.url}/v1/logs/clicks/records`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: records.join('\n'),
    })
    expect(answer.status).toBe(200)
  }
  await send(record(0, 1), record(0.5, 2), record(1, 4))
  const resume = place.file('x', '').replace(/x$/, 'url-resume.json')
  const first = follow(...url, '--resume', resume, SQL)
  expect(await first.next()).toBe(row(0, 2, 3))
  await send(record(2, 8))
  expect(await first.next()).toBe(row(1, 1, 4))
  expect(await first.interrupt()).toEqual([130, []])
  const noted = JSON.parse(readFileSync(resume, 'utf8')) as StreamResumePoint
  expect(noted).toMatchObject({ version: 1, log: 'clicks' })
  const rest = await runCli(['stream-sql', ...url, '--resume', resume, '--until-now', SQL])
  expect([rest.status, rest.stdout]).toEqual([0, `${row(2, 1, 8)}\n`])
})

test('what is wrong is said before the first line, by its status', async () => {
  const server = await TestServer.start([])
  onTestFinished(async () => void (await server.stop()))
  const url = ['--url', server.url]
  await runJson([...CREATE, schemaFile(), ...url])
  const failure = async (...args: readonly string[]): Promise<readonly unknown[]> => {
    const { status, stderr, stdout } = await runCli(['stream-sql', ...args, '--json'])
    expect(stdout).toBe('')
    const [{ error }] = jsonLines(stderr) as [{ error: { code: string } }]
    return [status, error.code]
  }
  const plain = 'SELECT count(*) AS n FROM clicks'
  expect(await failure(...url, plain)).toEqual([2, 'query_not_streamable'])
  expect(await failure(...url, SQL.replace('clicks', 'clikcs'))).toEqual([3, 'log_not_found'])
  expect(await failure(...url, '--since', '2026-01-01', '--param', '1', SQL)).toEqual([
    2,
    'query_invalid',
  ])
  expect(await failure('--archive', 'file:///nowhere', SQL)).toEqual([2, 'argument_invalid'])
  const resume = place.file('broken.json', '{"version":1}')
  expect(await failure(...url, '--resume', resume, SQL)).toEqual([2, 'argument_invalid'])
  const text = place.file('text.json', 'no JSON')
  expect(await failure(...url, '--resume', text, SQL)).toEqual([2, 'input_invalid'])
  const post = async (body: object): Promise<number> => {
    const answer = await fetch(`${server.url}/v1/sql/stream`, {
      method: 'POST',
      body: JSON.stringify(body),
    })
    await answer.body?.cancel()
    return answer.status
  }
  for (const body of [
    {},
    { sql: 7 },
    { sql: SQL, parameters: 7 },
    { sql: SQL, late: 'function' },
    { sql: SQL, live: 'yes' },
    { sql: SQL, maxStateBytes: '1GB' },
    { sql: SQL, signal: {} },
    { sql: SQL, what: 1 },
  ])
    expect(await post(body), JSON.stringify(body)).toBe(400)
})

test('an answer has its head at once, ends with its server, and says where to go on', async () => {
  const server = await TestServer.start([])
  await runJson([...CREATE, schemaFile(), '--url', server.url])
  const answer = await fetch(`${server.url}/v1/sql/stream`, {
    method: 'POST',
    body: JSON.stringify({ sql: SQL }),
  })
  expect(answer.headers.get('content-type')).toBe('application/x-ndjson')
  const stopped = server.stop()
  const lines = (await answer.text()).trim().split('\n')
  expect(lines).toHaveLength(1)
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ resumePoint: { log: 'clicks' } })
  expect((await stopped).status).toBe(0)
})

test('a server runs so many at a time, and refuses the rest until one has ended', async () => {
  const server = await TestServer.start([])
  onTestFinished(async () => void (await server.stop()))
  await runJson([...CREATE, schemaFile(), '--url', server.url])
  // An answer that nobody holds any more may be cancelled.
  const answers: Response[] = []
  const ask = async (sql: string, signal: AbortSignal | null = null): Promise<Response> => {
    const request = { method: 'POST', body: JSON.stringify({ sql }), signal }
    const answer = await server.fetch('/v1/sql/stream', request)
    answers.push(answer)
    return answer
  }
  const leaving = new AbortController()
  // Those that are refused for something else take no place.
  expect((await ask('SELECT count(*) AS n FROM clicks')).status).toBe(400)
  for (let count = 1; count <= SQL_STREAMS_MAX; count++)
    expect((await ask(SQL, count === 1 ? leaving.signal : null)).status).toBe(200)
  const refused = await ask(SQL)
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1'])
  expect(await refused.json()).toMatchObject({
    code: 'queue_full',
    kind: 'overloaded',
    details: { running: SQL_STREAMS_MAX },
  })
  leaving.abort()
  await eventually(async () => expect((await ask(SQL)).status).toBe(200))
  expect((await ask(SQL)).status).toBe(429)
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(SQL_STREAMS_MAX + 1)
})

test('a problem on the way is the last line', async () => {
  const server = await TestServer.start([])
  onTestFinished(async () => void (await server.stop()))
  const url = ['--url', server.url]
  await runJson([...CREATE, schemaFile(), ...url])
  const answer = await fetch(`${server.url}/v1/sql/stream`, {
    method: 'POST',
    body: JSON.stringify({ sql: SQL }),
  })
  const cli = spawnCli(['stream-sql', ...url, '--json', SQL])
  const said = once(cli.stderr, 'data')
  const ended = once(cli, 'close')
  // What follows a log that goes ends with it, whenever it came.
  await runJson(['logs', 'delete', 'clicks', '--yes', ...url])
  const line = JSON.parse((await answer.text()).trim().split('\n').at(-1) ?? '') as object
  expect(line).toMatchObject({ problem: { status: 404, code: 'log_not_found' } })
  const [text] = (await said) as [Buffer]
  expect(JSON.parse(text.toString())).toMatchObject({ error: { code: 'log_not_found' } })
  expect(await ended).toEqual([3, null])
})
