/** Jobs of a real server through the client: a replay and a restore to their end, and one that is ended. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Client, connect } from '../../src/client/index.ts'
import { CliPlace } from '../support/cli-place.ts'
import { expectError } from '../support/expect-error.ts'
import { TestServer } from '../support/server.ts'

const place = new CliPlace()
let server: TestServer
let db: Client

beforeAll(async () => {
  server = await TestServer.start(place.where)
  db = await connect(server.url)
  const days = await db.createLog('days', { timeColumn: 'at' })
  await days.append({ at: new Date('2026-01-01') })
  await db.snapshot({ name: 'first' })
  await days.append({ at: new Date('2026-01-02') })
  await db.snapshot({ name: 'both' })
})
afterAll(async () => {
  await db.close()
  await server.stop()
  place.remove()
})

test('a replay, a restore and its plan give what they are asked for', async () => {
  const replay = await db.jobs.start({ kind: 'replay', logs: ['days'] })
  expect(await db.jobs.wait(replay)).toMatchObject({ records: 2, missing: [], corrupt: [] })
  const terms = { snapshot: 'first', logs: ['days'], rename: { days: 'then' } }
  const restore = await db.jobs.start({ kind: 'restore', ...terms })
  expect(await db.jobs.wait(restore)).toMatchObject({ records: 1, verified: true })
  expect(await db.log('then').read().toArray()).toHaveLength(1)
  const plan = await db.jobs.start({ kind: 'restore', snapshot: 'both', plan: true })
  expect((await db.jobs.wait(plan)).plan).toMatchObject({ logs: 1, segments: 2 })
  expect((await db.jobs.list()).map(({ id }) => id)).toEqual([plan.id, restore.id, replay.id])
})

test('a job that does not end is looked at, ended, and says so', async () => {
  const endless = await db.jobs.start({ kind: 'replay', logs: ['days'], speed: 'realtime' })
  const failing = expectError(db.jobs.wait(endless), 'aborted')
  expect(await db.jobs.get(endless.id)).toMatchObject({ id: endless.id, kind: 'replay' })
  expect(await db.jobs.cancel(endless.id)).toMatchObject({ state: 'cancelled' })
  await failing
  await expectError(db.jobs.get('none'), 'job_not_found')
  await expectError(db.jobs.start({ kind: 'drill', sample: 7 }), 'argument_invalid')
})
