/** `drill --against URL`: a server is the live engine, as it is when the drill begins. */
import { cpSync } from 'node:fs'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { CliPlace, EVENTS_NDJSON } from '../support/cli-place.ts'
import { runCli, runJson } from '../support/cli.ts'
import { TestServer } from '../support/server.ts'

const place = new CliPlace()
let server: TestServer
let token: string

beforeAll(async () => {
  await place.fill()
  const tokens = place.file('x', '').replace(/x$/, 'tokens.json')
  const flags = ['--tokens', tokens, '--name', 'drill', '--scopes', 'read,append']
  token = (await runJson<{ token: string }>(['token', 'create', ...flags])).token
  server = await TestServer.start([...place.where, '--tokens', tokens])
})
afterAll(async () => {
  await server.stop()
  place.remove()
})

interface Report {
  readonly verdict: string
  readonly reasons: readonly string[]
  readonly hashEqual: boolean | null
  readonly rpoRecords: number | null
  readonly rpoMs: number | null
  readonly coverage: number
}

async function drillAgainst(
  archive: string,
  against: string,
): Promise<{ readonly status: number | null; readonly report: Report }> {
  const args = ['drill', '--archive', archive, '--against', against, '--json']
  const { status, stdout } = await runCli(args)
  return { status, report: JSON.parse(stdout) as Report }
}

const headers = (): Record<string, string> => ({ authorization: `Bearer ${token}` })

test('an archive with all of it passes; what is only on the server is told', async () => {
  const args = ['drill', '--archive', place.archive, '--against', server.url, '--token', token]
  expect(await runJson<Report>(args)).toMatchObject({
    verdict: 'PASS',
    reasons: [],
    hashEqual: true,
    rpoRecords: 0,
    rpoMs: 0,
    coverage: 1,
  })
  const records = '{"n":1}\n{"n":2}\n{"n":3}\n'
  const more = { method: 'POST', headers: { ...headers(), 'content-type': 'application/x-ndjson' } }
  await server.fetch('/v1/logs/events/records', { ...more, body: records })
  const behind = await runJson<Report>(args)
  expect(behind).toMatchObject({ verdict: 'PASS', hashEqual: true, rpoRecords: 3 })
  expect(behind.rpoMs).toBeGreaterThan(0)
  expect(behind.coverage).toBeCloseTo(1_000 / 1_003)
})

test('a server with other records fails, and says which object differs', async () => {
  const [flag = '', dataDir = ''] = place.fresh()
  const archive = place.freshArchive()
  const where = [flag, dataDir, '--archive', archive]
  await runJson(['import', ...where, '--log', 'events', place.file('same.ndjson', '{"n":1}\n')])
  await runJson(['tier', 'now', ...where, '--to', 'object'])
  // The same engine twice, each going on by itself.
  const twin = `${dataDir}-twin`
  cpSync(dataDir, twin, { recursive: true })
  await runJson(['import', flag, twin, '--log', 'events', place.file('a.ndjson', '{"n":2}\n')])
  await runJson(['import', ...where, '--log', 'events', place.file('b.ndjson', '{"n":3}\n')])
  await runJson(['tier', 'now', ...where, '--to', 'object'])
  const other = await TestServer.start([flag, twin])
  onTestFinished(async () => void (await other.stop()))
  const { status, report } = await drillAgainst(archive, other.url)
  expect([status, report.verdict, report.hashEqual]).toEqual([10, 'FAIL', false])
  expect(report.reasons.join('\n')).toMatch(/Object .*differs from the live engine: log 'events'/)
})

test('a server, a directory or an engine in RAM that does not write the archive fails, with equal records too', async () => {
  const other = place.fresh()
  await runJson(['import', ...other, '--log', 'events', place.file('o.ndjson', EVENTS_NDJSON)])
  const empty = place.fresh()
  await runJson(['logs', 'create', 'elsewhere', ...empty])
  const servers = [await TestServer.start(other), await TestServer.start([])]
  onTestFinished(async () => {
    for (const one of servers) await one.stop()
  })
  const urls = servers.map(({ url }) => url)
  for (const against of [...urls, other[1] ?? '', empty[1] ?? '']) {
    const { status, report } = await drillAgainst(place.archive, against)
    expect([status, report.verdict, report.hashEqual, report.coverage]).toEqual([
      ...[10, 'FAIL', null, 0],
    ])
    expect(report.rpoRecords).toBeNull()
    expect(report.reasons.join('\n')).toMatch(/^The archive is of engine .*and the live engine /)
  }
})

test('ranges and schemas that there are not are refused, and so is a place of another kind', async () => {
  const ask = async (log: string, body: unknown): Promise<unknown> => {
    const request = { method: 'POST', headers: headers(), body: JSON.stringify(body) }
    return (await server.fetch(`/v1/logs/${log}/hash`, request)).status
  }
  const ranges = [{ partition: 0, from: 0, to: 5 }]
  const { logs } = await server.json<{
    logs: { id: number; name: string; schema: { id: number } }[]
  }>('/v1/live', {
    headers: headers(),
  })
  const { id, schema } = logs.find(({ name }) => name === 'events') ?? {}
  const schemaId = schema?.id
  expect(await ask('events', { id, schemaId, ranges })).toBe(200)
  expect(await ask('events', { id, schemaId: 4_711, ranges })).toBe(400)
  expect(await ask('events', { id, schemaId, ranges: [{ partition: 7, from: 0, to: 5 }] })).toBe(
    404,
  )
  expect(await ask('events', { id, schemaId, ranges: [{ partition: 0, from: -1, to: 5 }] })).toBe(
    400,
  )
  expect(await ask('events', { id, schemaId, ranges: 'all' })).toBe(400)
  expect(await ask('events', { id, schemaId, ranges, latest: true })).toBe(200)
  expect(await ask('events', { id, schemaId, ranges, latest: 1 })).toBe(400)
  expect(await ask('events', { id: 4_711, schemaId, ranges })).toBe(404)
  expect(await ask('events', { schemaId, ranges })).toBe(400)
  expect(await ask('nowhere', { id, schemaId, ranges })).toBe(404)
  const { status } = await runCli(['drill', '--archive', place.archive, '--against', 's3://x/y'])
  expect(status).toBe(2)
})

test('a log that was made anew under the name of one that a drill began with is not taken for it', async () => {
  const other = await TestServer.start(place.fresh())
  onTestFinished(async () => void (await other.stop()))
  const file = place.file('again.ndjson', EVENTS_NDJSON)
  const make = (): Promise<unknown> =>
    runJson(['import', '--log', 'events', '--url', other.url, file])
  const live = async (): Promise<{ id: number; schemaId: number }> => {
    const answer = await other.json<{ logs: { id: number; schema: { id: number } }[] }>('/v1/live')
    return { id: answer.logs[0]?.id ?? -1, schemaId: answer.logs[0]?.schema.id ?? -1 }
  }
  const ask = async (log: { id: number; schemaId: number }): Promise<readonly unknown[]> => {
    const body = JSON.stringify({ ...log, ranges: [{ partition: 0, from: 0, to: 1_000 }] })
    const answer = await other.fetch('/v1/logs/events/hash', { method: 'POST', body })
    return [answer.status, ((await answer.json()) as { code?: string }).code]
  }
  await make()
  const before = await live()
  expect(await ask(before)).toEqual([200, undefined])
  await runJson(['logs', 'delete', 'events', '--yes', '--url', other.url])
  await make()
  expect(await ask(before)).toEqual([404, 'log_deleted'])
  expect(await ask(await live())).toEqual([200, undefined])
})
