/** `serve --drill-interval`: the server drills its archive by itself, and says what came of it. */
import { readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliPlace } from '../support/cli-place.ts'
import { runCli } from '../support/cli.ts'
import { eventually } from '../support/eventually.ts'
import { TestServer } from '../support/server.ts'

const place = new CliPlace()
const pages = join(place.root, 'pages')

beforeAll(() => place.fill())
afterAll(() => place.remove())

interface Status {
  readonly drill: {
    readonly last: { readonly verdict: string; readonly reasons: readonly string[] } | null
  } | null
}

test('a verdict is in the status, the metrics, the jobs, a page, and a warning where it is FAIL', async () => {
  // Without what would make the lost object again.
  const flags = ['--drill-interval', '1s', '--drill-reports', pages, '--scrub-interval', '0']
  const server = await TestServer.start([...place.where, ...flags])
  const last = async (): Promise<unknown> => (await server.json<Status>('/v1/status')).drill?.last
  await eventually(async () => {
    expect(await last()).toMatchObject({ verdict: 'PASS', coverage: 1, rpoRecords: 0, reasons: [] })
  })
  const { jobs } = await server.json<{ jobs: readonly object[] }>('/v1/jobs')
  expect(jobs.at(-1)).toMatchObject({ kind: 'drill', isScheduled: true, request: {} })
  await eventually(() => {
    const [page = ''] = readdirSync(pages)
    expect(readFileSync(join(pages, page), 'utf8')).toContain('PASS')
  })
  rmSync(join(place.root, 'archive', 'segments'), { recursive: true })
  await eventually(async () => {
    expect(await last()).toMatchObject({ verdict: 'FAIL' })
  })
  const metrics = await (await server.fetch('/metrics')).text()
  expect(metrics).toMatch(/^stratalog_drill_passed 0$/m)
  expect(metrics).toMatch(/^stratalog_drills_total\{verdict="FAIL"\} [1-9]/m)
  const { status, stderr } = await server.stop()
  expect(status).toBe(0)
  expect(stderr).toMatch(/"reasons":\["Object .* is missing.*A drill of the archive failed/)
})

test('a server without an archive has no drills, and flags that contradict one another are refused', async () => {
  const server = await TestServer.start([])
  expect(await server.json('/v1/status')).toMatchObject({ drill: null })
  await server.stop()
  const [dataDir = '', directory = ''] = place.fresh()
  for (const args of [
    [dataDir, directory, '--drill-interval', '1d'],
    [...place.where, '--drill-interval', '1ms'],
    [...place.where, '--drill-interval', '1d', '--drill-sample', '2'],
    [...place.where, '--drill-sample', '0.5'],
    [...place.where, '--drill-reports', pages],
    ['--job-archives', 'backups'],
  ]) {
    const { status } = await runCli(['serve', '--port', '0', ...args])
    expect([args, status]).toEqual([args, 2])
  }
})
