/** Jobs of a server as a program begins them, looks at them and waits for them. */
import { expect, test } from 'vitest'
import { Client } from '../../../src/client/client.ts'
import { expectError } from '../../support/expect-error.ts'
import { type Scripted, ScriptedServer, answer, problem } from '../../support/scripted-server.ts'

const RUNNING = { id: 'm-7', state: 'running', progress: null, problem: null, result: null }
const REPORT = { verdict: 'PASS' }
const DONE = { ...RUNNING, state: 'done', result: REPORT }

const at = (done: number): object => ({ ...RUNNING, progress: { done, total: 9 } })

function served(...script: Scripted[]): { server: ScriptedServer; jobs: Client['jobs'] } {
  const server = new ScriptedServer(2, script)
  return { server, jobs: new Client(server.transport).jobs }
}

test('a job is begun once, and waited for through breaks, with each step told once', async () => {
  const broken = new Error('the line is down')
  const steps = [at(1), at(1), at(4), { ...DONE, progress: { done: 9, total: 9 } }].map(answer)
  const { server, jobs } = served(answer(RUNNING), broken, answer(RUNNING), ...steps)
  const job = await jobs.start({ kind: 'drill', sample: 0.5 })
  const told: number[] = []
  const report = await jobs.wait(job, { onProgress: ({ done }) => void told.push(done) })
  expect([report, told]).toEqual([REPORT, [1, 4, 9]])
  const [begun, ...looks] = server.exchanged
  expect([begun?.method, begun?.body]).toEqual(['POST', '{"kind":"drill","sample":0.5}'])
  const places = looks.map(({ method, url }) => `${method} ${url.pathname}${url.search}`)
  expect(new Set(places)).toEqual(new Set(['GET /v1/jobs/m-7?wait=500']))
  await expectError(
    served(broken, answer(RUNNING)).jobs.start({ kind: 'drill' }),
    'server_unavailable',
  )
})

test('waiting ends with what the job failed with, or by its signal, and the job goes on', async () => {
  const gone = { kind: 'not_found', code: 'snapshot_not_found', detail: 'None.', details: {} }
  const failed = { ...RUNNING, state: 'failed', problem: { ...gone, status: 404 } }
  await expectError(served(answer(failed)).jobs.wait('m-7'), 'snapshot_not_found')
  const controller = new AbortController()
  const { server, jobs } = served(answer(at(1)), answer(DONE))
  const onProgress = (): void => controller.abort()
  await expectError(jobs.wait('m-7', { onProgress, signal: controller.signal }), 'aborted')
  expect(server.exchanged.map(({ method }) => method)).toEqual(['GET'])
  expect(await jobs.wait('m-7')).toEqual(REPORT)
  expect(server.exchanged[1]?.url.search).toBe('?wait=15000')
})

test('jobs are listed through all pages, found, and ended again where an answer was lost', async () => {
  const pages = [
    { jobs: [{ id: 'c' }, { id: 'b' }], next: 'b' },
    { jobs: [{ id: 'a' }], next: null },
  ].map(answer)
  const listed = served(...pages)
  expect(await listed.jobs.list()).toEqual(['c', 'b', 'a'].map((id) => ({ id, result: null })))
  expect(listed.server.exchanged[1]?.url.search).toBe('?after=b')
  expect(await served(answer(DONE)).jobs.get('m-7')).toEqual(DONE)
  const none = problem(404, { kind: 'not_found', code: 'job_not_found', details: {} })
  await expectError(served(none).jobs.get('m-8'), 'job_not_found')
  const ended = served(new Error('the line is down'), answer({ ...RUNNING, state: 'cancelled' }))
  expect(await ended.jobs.cancel('m-7')).toMatchObject({ state: 'cancelled' })
  expect(ended.server.exchanged[1]?.method).toBe('DELETE')
})
