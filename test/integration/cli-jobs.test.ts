/** `restore`, `replay` and `drill` with `--url`: the server does what they do here, and they say the same. */
import { cpSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CliPlace } from '../support/cli-place.ts'
import { jsonLines, runCli, runJson, spawnCli } from '../support/cli.ts'
import { eventually } from '../support/eventually.ts'
import { TestServer } from '../support/server.ts'

const place = new CliPlace()
const restored = join(place.root, 'restored')
let server: TestServer
let there: readonly string[]
let headers: Readonly<Record<string, string>>

beforeAll(async () => {
  await place.fill()
  const tokens = place.file('x', '').replace(/x$/, 'tokens.json')
  const flags = ['--tokens', tokens, '--name', 'all', '--scopes', 'read,append,sql,admin']
  const { token } = await runJson<{ token: string }>(['token', 'create', ...flags])
  const jobs = ['--job-dir', restored, '--job-archives', pathToFileURL(place.root).href]
  server = await TestServer.start([...place.where, '--tokens', tokens, ...jobs])
  there = ['--url', server.url, '--token', token]
  headers = { authorization: `Bearer ${token}` }
})
afterAll(async () => {
  await server.stop()
  place.remove()
})

/** Without what is measured, and what the place of the archive is. */
function facts(report: object): object {
  const measured = /Ms$|PerSecond$|^limitedBy$|^timeline$|^manifest$|^archive$/
  const entries = Object.entries(report).filter(([key]) => !measured.test(key))
  return Object.fromEntries(
    entries.map(([key, value]: [string, unknown]) => [
      key,
      typeof value === 'object' && value !== null && !Array.isArray(value) ? facts(value) : value,
    ]),
  )
}

async function failure(...args: readonly string[]): Promise<readonly unknown[]> {
  const { status, stderr, stdout } = await runCli([...args, '--json', ...there])
  expect(stdout).toBe('')
  const { error } = jsonLines(stderr)[0] as { error: { code: string } }
  return [status, error.code]
}

describe('the same as without --url', () => {
  test('drill: the report, its page, and the exit status of a FAIL', async () => {
    const page = join(place.root, 'drill.md')
    const sql = ['--check', 'SELECT count(*) FROM events', '--expect']
    const remote = await runJson<object>(['drill', ...there, ...sql, '[[1000]]', '--report', page])
    const against = ['--archive', place.archive, '--against', server.url, ...there.slice(2)]
    const local = await runJson<object>(['drill', ...against, ...sql, '[[1000]]'])
    expect(facts(remote)).toEqual(facts(local))
    expect(readFileSync(page, 'utf8')).toContain('# Restore drill: PASS')
    const failed = await runCli(['drill', ...there, ...sql, '[[7]]'])
    expect([failed.status, failed.stdout]).toEqual([10, expect.stringContaining('FAIL')])
  })

  test('replay: the report, of a part by time and offsets', async () => {
    const flags = ['--logs', 'events', '--from', '10', '--to', '600', '--until', '2100-01-01']
    const remote = await runJson<object>(['replay', ...flags, ...there])
    const local = await runJson<object>(['replay', ...flags, '--archive', place.archive])
    expect(facts(remote)).toEqual(facts(local))
    expect(remote).toMatchObject({ records: 590 })
  })

  test('restore: the plan, a directory, and what is in it', async () => {
    const flags = ['--snapshot', 'first', '--rename', 'events=again']
    const plan = await runJson<object>(['restore', ...flags, '--plan', ...there])
    const localPlan = ['restore', ...flags, '--archive', place.archive, '--plan', '--eager']
    expect(facts(plan)).toEqual(facts(await runJson<object>(localPlan)))
    const { engineId: _, ...remote } = facts(
      await runJson<object>(['restore', ...flags, '--data-dir', 'mine', ...there]),
    ) as Record<string, unknown>
    const here = ['--archive', place.archive, '--data-dir', join(place.root, 'here')]
    const local = await runJson<object>(['restore', ...flags, ...here])
    expect(facts(local)).toMatchObject(remote)
    const directory = ['--data-dir', join(restored, 'mine')]
    const counted = await runJson(['sql', 'SELECT count(*) FROM again', ...directory])
    expect(counted).toMatchObject({ rows: [[1_000]] })
  })

  test('restore into the server says its plan first, and what came', async () => {
    const flags = ['--logs', 'events', '--rename', 'events=copy', '--to-offset', 'events/0=10']
    const { status, stdout, stderr } = await runCli(['restore', ...flags, ...there])
    expect([status, stderr]).toEqual([0, expect.stringContaining('restoring 1 logs, 1 segments')])
    expect(stdout).toContain('10 records')
    const counted = await runJson(['sql', 'SELECT count(*) FROM copy', ...there])
    expect(counted).toMatchObject({ rows: [[10]] })
  })
})

describe('what fails there fails here', () => {
  test('with the exit status of its kind', async () => {
    expect(await failure('restore', '--logs', 'events')).toEqual([4, 'log_exists'])
    expect(await failure('restore', '--snapshot', 'none', '--logs', 'a', '--plan')).toEqual([
      3,
      'snapshot_not_found',
    ])
    expect(await failure('drill', '--archive', 'file:///etc')).toEqual([2, 'url_invalid'])
    expect(await failure('restore', '--data-dir', '../data')).toEqual([2, 'argument_invalid'])
    expect(await failure('replay', '--into', 'http://127.0.0.1:1/')).toEqual([2, 'url_invalid'])
  })

  test('damage too: what is sound comes, the report says the rest, and the status is 8', async () => {
    const lost = join(place.root, 'lost')
    cpSync(join(place.root, 'archive'), lost, { recursive: true })
    rmSync(join(lost, 'segments'), { recursive: true })
    const archive = ['--archive', pathToFileURL(lost).href]
    for (const args of [['replay'], ['restore', '--data-dir', 'part', '--eager']]) {
      const { status, stdout } = await runCli([...args, ...archive, ...there, '--json'])
      const report = JSON.parse(stdout) as object
      expect([status, report]).toEqual([8, expect.objectContaining({ records: 0, corrupt: [] })])
      expect(report).toMatchObject({ missing: [{ log: 'events', from: 0, to: 1_000 }] })
    }
  })

  test.each([
    ['replay', '--into', '-'],
    ['replay', '--into', 'directory'],
    ['replay', '--speed', 'stepped'],
    ['replay', '--resume', 'file'],
    ['replay', '--data-dir', 'data'],
    ['drill', '--against', 'data'],
    ['drill', '--data-dir', 'data'],
    ['restore', '--s3-region', 'eu-west-1'],
  ])('and what only works here is refused: %s %s %s', async (...args) => {
    expect(await failure(...args)).toEqual([2, 'argument_invalid'])
  })
})

describe('a command that is asked to end', () => {
  interface Job {
    readonly state: string
    readonly progress: object | null
  }

  async function newestJob(): Promise<Job | undefined> {
    return (await server.json<{ jobs: Job[] }>('/v1/jobs?limit=1', { headers })).jobs[0]
  }

  test('ends its job, and says so by its exit status', async () => {
    const schema = place.file('schema.json', '{"at":"timestamp[ms]"}')
    await runJson(['logs', 'create', 'slow', '--schema', schema, '--time-column', 'at', ...there])
    for (const day of ['01', '02']) {
      const input = `{"at":"2026-01-${day}T00:00:00Z"}\n`
      await runCli(['append', '--log', 'slow', ...there], { input })
      await runJson(['tier', 'now', ...there])
    }
    const child = spawnCli(['replay', '--logs', 'slow', '--speed', 'realtime', ...there])
    const status = new Promise((resolve) => child.on('close', resolve))
    await eventually(async () => {
      expect(await newestJob()).toMatchObject({ state: 'running', request: { logs: ['slow'] } })
    })
    child.kill('SIGINT')
    expect(await status).toBe(130)
    expect(await newestJob()).toMatchObject({ state: 'cancelled' })
  })

  test('is told when somebody else ended the job', async () => {
    const flags = ['--logs', 'slow', '--speed', 'realtime', '--json']
    const running = runCli(['replay', ...flags, ...there])
    const id = await eventually(async () => {
      const job = await newestJob()
      expect(job).toMatchObject({ state: 'running' })
      return (job as unknown as { id: string }).id
    })
    await server.fetch(`/v1/jobs/${id}`, { method: 'DELETE', headers })
    const { status, stderr } = await running
    expect([status, stderr]).toEqual([130, expect.stringContaining('It was cancelled.')])
  })
})
