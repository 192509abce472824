/** Commands that read say the same of a directory and of the server on it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { jsonLines, runCli, runJson } from '../support/cli.ts'
import { CliPlace } from '../support/cli-place.ts'
import { TestServer } from '../support/server.ts'

const place = new CliPlace()
let server: TestServer
let token: string

beforeAll(async () => {
  await place.fill()
  const file = place.file('x', '').replace(/x$/, 'tokens.json')
  const flags = ['--tokens', file, '--name', 'all', '--scopes', 'read,sql']
  token = (await runJson<{ token: string }>(['token', 'create', ...flags])).token
  server = await TestServer.start([...place.where, '--tokens', file])
})
afterAll(async () => {
  await server.stop()
  place.remove()
})

/** What a command prints of the server, and of the files: standard output and status. */
async function both(...args: string[]): Promise<readonly [unknown, unknown]> {
  const env = { STRATALOG_TOKEN: token }
  const { status, stdout, stderr } = await runCli([...args, '--url', server.url], { env })
  const local = await runCli([...args, ...place.where])
  expect(stderr.replaceAll(/^.*segments: .*\n/gm, '')).toBe(
    local.stderr.replaceAll(/^.*segments: .*\n/gm, ''),
  )
  return [
    { status, stdout },
    { status: local.status, stdout: local.stdout },
  ]
}

test('read gives the same records in every format', async () => {
  for (const format of ['ndjson', 'csv', 'table']) {
    const [remote, local] = await both(
      'read',
      '--log',
      'events',
      '--from',
      '7',
      '--limit',
      '3',
      '--columns',
      'n,name,price,_offset',
      '--format',
      format,
    )
    expect(remote).toEqual(local)
  }
  const [remote, local] = await both('read', '--log', 'events', '--last', '2', '--json')
  expect(remote).toEqual(local)
})

test('sql gives the same rows', async () => {
  const sql =
    'SELECT name, count(*) AS n, sum(price) AS total FROM events WHERE n >= ? GROUP BY name ORDER BY name'
  for (const format of ['ndjson', 'csv', 'table']) {
    const [remote, local] = await both('sql', sql, '--param', '10', '--format', format)
    expect(remote).toEqual(local)
  }
  const env = { STRATALOG_TOKEN: token }
  const { stdout } = await runCli(['sql', sql, '--param', '10', '--json', '--url', server.url], {
    env,
  })
  expect(JSON.parse(stdout)).toMatchObject({
    columns: [{ name: 'name' }, { name: 'n' }, { name: 'total' }],
  })
})

test('logs, snapshots and the status are told the same way', async () => {
  for (const args of [
    ['logs', 'describe', 'events', '--json'],
    ['snapshot', 'list', '--json'],
    ['snapshot', 'show', 'first'],
  ]) {
    const where = args[0] === 'snapshot' ? ['--archive', place.archive] : place.where
    const flags = ['--url', server.url, '--token', token]
    const remote = await runCli([...args, ...flags])
    expect(remote.stdout, args.join(' ')).toBe((await runCli([...args, ...where])).stdout)
  }
  const listed = await runCli(['logs', 'list', '--url', server.url, '--token', token])
  expect(listed.stdout).toContain('events')
  const status = await runCli(['status', '--json', '--url', server.url, '--token', token])
  expect(JSON.parse(status.stdout)).toMatchObject({ source: 'server' })
})

test('failures keep their kind', async () => {
  const statusOf = async (...args: string[]): Promise<unknown> => {
    const { status, stderr } = await runCli([...args, '--json'])
    const { error } = jsonLines(stderr)[0] as { error: { code: string } }
    return [status, error.code]
  }
  const there = ['--url', server.url, '--token', token]
  expect(await statusOf('read', '--log', 'nowhere', ...there)).toEqual([3, 'log_not_found'])
  expect(await statusOf('sql', 'SELECT x', ...there)).toEqual([2, 'query_invalid'])
  expect(await statusOf('status', '--url', server.url)).toEqual([2, 'argument_invalid'])
  expect(await statusOf('status', '--url', 'http://127.0.0.1:1')).toEqual([7, 'server_unavailable'])
  expect(await statusOf('status', '--url', 'ftp://x')).toEqual([2, 'argument_invalid'])
  expect(await statusOf('status', ...there, ...place.where)).toEqual([2, 'argument_invalid'])
})
