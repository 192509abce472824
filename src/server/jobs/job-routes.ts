/** Restore, replay and drill over HTTP: begun, looked at, ended. */
import { tryParseDuration } from '../../base/units.ts'
import type { Exchange } from '../exchange.ts'
import { RequestProblem } from '../http-error.ts'
import { JOB_BODY_BYTES_MAX, LONG_POLL_MS } from '../limits.ts'
import type { Route } from '../router.ts'
import { assertKnownParameters, pageParameter } from '../api/parameters.ts'
import type { JobList } from './job-list.ts'
import type { JobWorks } from './job-work.ts'

const PAGE_MAX = 100

export function jobRoutes(jobs: JobList, works: JobWorks): readonly Route[] {
  const path = '/v1/jobs/{id}'
  const scope = 'admin'
  return [
    {
      method: 'GET',
      path: '/v1/jobs',
      scope,
      summary: 'Jobs, the newest first, without their results.',
      run: (exchange) => listJobs(exchange, jobs),
    },
    {
      method: 'POST',
      path: '/v1/jobs',
      scope,
      summary: 'Begin a restore, a replay or a drill.',
      run: (exchange) => startJob(exchange, jobs, works),
    },
    {
      method: 'GET',
      path,
      scope,
      summary: 'One job: how far it is, and its result; waits for its end where that is asked for.',
      run: async (exchange) => {
        assertKnownParameters(exchange.query, ['wait'])
        const id = idOf(exchange)
        await jobs.wait(id, waitOf(exchange), exchange.gone)
        sendJob(exchange, 200, jobs, id)
      },
    },
    {
      method: 'DELETE',
      path,
      scope,
      summary: 'End a job that waits or runs.',
      run: async (exchange) => {
        const id = idOf(exchange)
        jobs.cancel(id)
        await jobs.wait(id, LONG_POLL_MS, exchange.gone)
        sendJob(exchange, 200, jobs, id)
      },
    },
  ]
}

function listJobs(exchange: Exchange, jobs: JobList): void {
  const { query } = exchange
  assertKnownParameters(query, ['limit', 'after'])
  const limit = pageParameter(query, PAGE_MAX)
  // One more says whether there is another page.
  const found = jobs.list(limit + 1, query.get('after'))
  const page = found.slice(0, limit)
  exchange.sendJson(200, {
    jobs: page,
    next: found.length > page.length ? (page.at(-1)?.id ?? null) : null,
  })
}

async function startJob(exchange: Exchange, jobs: JobList, works: JobWorks): Promise<void> {
  const body = await exchange.jsonBody(JOB_BODY_BYTES_MAX)
  // A start does not wait for what only jobs need.
  const { validateJob } = await import('../../engine/job-request.ts')
  const request = validateJob(body)
  const { kind, ...terms } = request
  const id = jobs.start({ kind, request: terms }, works.of(request))
  sendJob(exchange, 202, jobs, id, { location: `/v1/jobs/${id}` })
}

function idOf(exchange: Exchange): string {
  return exchange.parameters['id'] ?? ''
}

/** ms. @throws RequestProblem `request_invalid`. */
function waitOf({ query }: Exchange): number {
  const text = query.get('wait')
  if (text === null) return 0
  const ms = tryParseDuration(/^\d{1,9}$/.test(text) ? Number(text) : text)
  if (ms === null) throw new RequestProblem('request_invalid', 'wait is a duration, such as 15s.')
  return Math.min(ms, LONG_POLL_MS)
}

function sendJob(
  exchange: Exchange,
  status: number,
  jobs: JobList,
  id: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  // The result is JSON already, and may be long.
  const facts = JSON.stringify(jobs.facts(id))
  exchange.send(
    status,
    { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers },
    `${facts.slice(0, -1)},"result":${jobs.result(id) ?? 'null'}}`,
  )
}
