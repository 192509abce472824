/** `stratalog dump` as the page "What scripts rely on" has it. */
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CliPlace, EVENTS } from '../support/cli-place.ts'
import { jsonLines, runCli, runJson, spawnCli } from '../support/cli.ts'

const place = new CliPlace()
const { root, dataDir, archive } = place

beforeAll(async () => {
  await place.fill()
  await runJson(['logs', 'create', 'orders', ...place.where])
})
afterAll(() => place.remove())

test('a header, a line for each log, then the records, with --json and without', async () => {
  const { status, stdout, stderr } = await runCli(['dump', '--data-dir', dataDir])
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  const lines = jsonLines(stdout)
  expect(lines[0]).toMatchObject({ type: 'header', format: 'stratalog-dump', logs: 2 })
  expect(lines.slice(1, 3)).toMatchObject([
    {
      type: 'log',
      name: 'events',
      partitions: [{ partition: 0, startOffset: 0, endOffset: 1000 }],
    },
    { type: 'log', name: 'orders', partitions: [{ partition: 0, startOffset: 0, endOffset: 0 }] },
  ])
  const records = lines.slice(3)
  expect(records.map(({ type, log, offset }) => [type, log, offset])).toEqual(
    EVENTS.map((_, offset) => ['record', 'events', offset]),
  )
  expect(records.map(({ record }) => record)).toEqual(EVENTS)
  const json = await runCli(['dump', '--data-dir', dataDir, '--json'])
  expect(json.stdout.split('\n').slice(1)).toEqual(stdout.split('\n').slice(1))
})

test('an archive by itself, and the logs that are named', async () => {
  const { status, stdout } = await runCli(['dump', '--archive', archive, '--log', 'events'])
  expect(status).toBe(0)
  const lines = jsonLines(stdout)
  expect(lines[0]).toMatchObject({ source: 'archive', logs: 1 })
  expect(lines.slice(2).map(({ tier, record }) => [tier, record])).toEqual(
    EVENTS.map((event) => ['object', event]),
  )
  const one = await runCli(['dump', '--data-dir', dataDir, '--log', 'orders,orders'])
  expect(jsonLines(one.stdout).map(({ type }) => type)).toEqual(['header', 'log'])
})

test('what is not there ends with its status and says so', async () => {
  const missing = await runCli(['dump', '--data-dir', dataDir, '--log', 'event', '--json'])
  expect({ status: missing.status, stdout: missing.stdout }).toEqual({ status: 3, stdout: '' })
  expect(JSON.parse(missing.stderr)).toMatchObject({
    error: { kind: 'not_found', code: 'log_not_found', details: { nearest: 'events' } },
  })
  const nowhere = await runCli(['dump'])
  expect(nowhere.status).toBe(2)
  expect(nowhere.stderr).toContain('--data-dir DIR or --archive URL')
  const empty = await runCli(['dump', '--data-dir', join(root, 'none'), '--json'])
  expect(empty.status).toBeGreaterThan(0)
})

test('a reader that has seen enough ends it quietly', async () => {
  const child = spawnCli(['dump', '--data-dir', dataDir])
  let notes = ''
  child.stderr.on('data', (chunk: Buffer) => (notes += String(chunk)))
  const lines = createInterface({ input: child.stdout })
  const [first] = (await once(lines, 'line')) as [string]
  expect(JSON.parse(first)).toMatchObject({ type: 'header' })
  lines.close()
  child.stdout.destroy()
  const [status] = (await once(child, 'close')) as [number | null]
  expect({ status, notes }).toEqual({ status: 0, notes: '' })
})
