/** A command follows a job of a server through breaks of the line. */
import { type Server, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import { Remote } from '../../src/cli/remote.ts'
import { runRemoteJob } from '../../src/cli/remote-jobs.ts'
import type { Session } from '../../src/cli/session.ts'
import { expectError } from '../support/expect-error.ts'

const JOB = { id: 'm-7', state: 'running', progress: null, problem: null, result: null }

/** A clock that does not wait. */
class Pauses extends VirtualClock {
  readonly slept: number[] = []

  override async sleep(delayMs: number): Promise<void> {
    this.slept.push(delayMs)
  }
}

/** A server whose answers to who asks for the job are these, and then the last one again; 0 breaks the line. */
async function follow(answers: readonly (readonly [number, object])[]): Promise<{
  readonly clock: Pauses
  readonly work: Promise<object>
}> {
  let asked = 0
  const server: Server = createServer((request, response) => {
    const next = answers[Math.min(asked, answers.length - 1)] ?? [0, {}]
    const [status, body] = request.method === 'POST' ? ([202, JOB] as const) : next
    if (request.method === 'GET') asked++
    if (status === 0) request.destroy()
    else response.writeHead(status, { connection: 'close' }).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const clock = new Pauses()
  const terminal = { notesAreSeen: false } as Session['terminal']
  const session = { terminal, clock, signal: new AbortController().signal, json: true }
  const remote = Remote.of(session, { url: `http://127.0.0.1:${port}` }) as Remote
  return { clock, work: runRemoteJob(session, remote, { kind: 'drill' }) }
}

test('it is asked for again where the server or a proxy is away or busy', async () => {
  const done = { ...JOB, state: 'done', result: { verdict: 'PASS' } }
  const { clock, work } = await follow([
    [0, {}],
    [503, {}],
    [200, JOB],
    [429, {}],
    [502, {}],
    [200, done],
  ])
  expect(await work).toEqual({ verdict: 'PASS' })
  expect(clock.slept).toEqual([1_000, 2_000, 1_000, 2_000])
})

test('at last the error names the job', async () => {
  const { clock, work } = await follow([[503, {}]])
  const error = await expectError(work, 'server_unavailable')
  expect(error.message).toContain('/v1/jobs/m-7')
  expect(error.details).toMatchObject({ job: 'm-7', status: 503 })
  expect(clock.slept).toHaveLength(7)
})

test('what is no passing trouble ends it at once, and so does the failure of the job', async () => {
  const gone = await follow([[404, { code: 'job_not_found', detail: 'There is none.' }]])
  await expectError(gone.work, 'job_not_found')
  const problem = { code: 'store_unavailable', detail: 'The store is away.', status: 503 }
  const failed = await follow([[200, { ...JOB, state: 'failed', problem }]])
  await expectError(failed.work, 'store_unavailable')
  expect([...gone.clock.slept, ...failed.clock.slept]).toEqual([])
})
