/** `sql --explain`: what each tier gave to an answer, of a directory, an archive and a server. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliPlace } from '../support/cli-place.ts'
import { jsonLines, runCli, runJson } from '../support/cli.ts'
import { TestServer } from '../support/server.ts'

const place = new CliPlace()
let server: TestServer

beforeAll(async () => {
  await place.fill()
  server = await TestServer.start(place.where)
})
afterAll(async () => {
  await server.stop()
  place.remove()
})

interface Explained {
  readonly columns: readonly { readonly name: string }[]
  readonly rows: readonly (readonly (string | number)[])[]
  readonly stats: { readonly recordsByTier: Readonly<Record<string, number>> }
  readonly plan: string
}

const sql = 'SELECT name, count(*) AS n FROM events WHERE n >= ? GROUP BY name'

function explain(...where: readonly string[]): Promise<Explained> {
  return runJson<Explained>(['sql', '--explain', sql, '--param', '10', ...where])
}

test('an archive is told with its files and requests', async () => {
  const { columns, rows, stats, plan } = await explain('--archive', place.archive)
  expect(columns.map(({ name }) => name)).toEqual([
    'tier',
    'records',
    'bytes',
    'files',
    'files_pruned',
    'cache_hits',
    'cache_misses',
    'requests',
  ])
  expect(rows.map(([tier, records, , files]) => [tier, records, files])).toEqual([
    ['memory', 0, 0],
    ['disk', 0, 0],
    ['object', 1_000, 1],
  ])
  const [, , object] = rows
  expect(object?.[2]).toBeGreaterThan(1_000)
  expect(object?.slice(4, 7)).toEqual([0, 0, 1])
  expect(object?.[7]).toBeGreaterThan(0)
  expect(stats.recordsByTier).toEqual({ memory: 0, disk: 0, object: 1_000 })
  expect(plan).toContain('STRATALOG_SCAN')
})

test('a directory and a server tell their own tiers', async () => {
  for (const where of [place.where, ['--url', server.url]]) {
    const { rows, stats } = await explain(...where)
    const { memory = 0, disk = 0, object } = stats.recordsByTier
    expect([memory + disk, object]).toEqual([1_000, 0])
    expect(rows.map(([tier, records]) => [tier, records])).toEqual([
      ['memory', memory],
      ['disk', disk],
      ['object', 0],
    ])
  }
})

test('people get a table and the plan; a format of rows is refused', async () => {
  const { stdout } = await runCli(['sql', '--explain', 'FROM events', ...place.where])
  expect(stdout).toMatch(/^tier +records +bytes +files/)
  expect(stdout).toContain('STRATALOG_SCAN')
  const args = ['sql', '--explain', 'FROM events', '--format', 'csv', ...place.where]
  expect((await runCli(args)).status).toBe(2)
  const wrong = await runCli(['sql', '--explain', 'DROP TABLE events', ...place.where, '--json'])
  expect(wrong.status).toBe(2)
  expect(jsonLines(wrong.stderr)[0]).toMatchObject({ error: { code: 'query_forbidden' } })
})

test('--max-bytes bounds the rows of an answer, of a directory and of a server', async () => {
  const long = "SELECT repeat('x', 1000) AS v FROM range(100)"
  for (const where of [place.where, ['--url', server.url]]) {
    const failed = await runCli(['sql', ...where, '--json', '--max-bytes', '10KB', long])
    expect([failed.status, failed.stderr]).toEqual([6, expect.stringContaining('"maxBytes":10240')])
    expect(await runJson(['sql', ...where, '--max-bytes', '200KB', long])).toMatchObject({
      stats: { rows: 100 },
    })
  }
})
