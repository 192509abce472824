/** The engine over HTTP: its status, its snapshots and its tier moves. */
import { StratalogError } from '../../base/errors.ts'
import type { Stratalog } from '../../engine/stratalog.ts'
import type { TierControl } from '../../engine/tier-control.ts'
import { VALUE_BYTES_MAX } from '../../format/limits.ts'
import type { Exchange } from '../exchange.ts'
import { RequestProblem } from '../http-error.ts'
import type { Route } from '../router.ts'
import { assertKnownKeys, given } from './parameters.ts'

/** `drillOf` gives what the status says of drills. */
export function engineRoutes(db: Stratalog, drillOf: () => object | null): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/status',
      scope: 'read',
      summary: 'Every log, partition and tier: offsets, records, bytes, lag, last error.',
      run: (exchange) =>
        exchange.sendJson(200, { ...db.status(), source: 'server', drill: drillOf() }),
    },
    {
      method: 'GET',
      path: '/v1/memory',
      scope: 'read',
      summary: 'What the memory tier holds, against its budget, and what it let go of.',
      run: (exchange) => exchange.sendJson(200, db.memoryMetrics()),
    },
    ...snapshotRoutes(db),
    ...tierRoutes(db),
  ]
}

function snapshotRoutes(db: Stratalog): readonly Route[] {
  const path = '/v1/snapshots/{snapshot}'
  const nameOf = (exchange: Exchange): string => exchange.parameters['snapshot'] ?? ''
  return [
    {
      method: 'GET',
      path: '/v1/snapshots',
      scope: 'read',
      summary: 'All snapshots, oldest first.',
      run: async (exchange) => exchange.sendJson(200, { snapshots: await db.snapshots() }),
    },
    {
      method: 'POST',
      path: '/v1/snapshots',
      scope: 'admin',
      summary: 'Name this moment of all logs, or of some.',
      run: async (exchange) => {
        const { name, logs } = await bodyOf(exchange, ['name', 'logs'])
        if (name !== undefined && typeof name !== 'string')
          throw new RequestProblem('request_invalid', 'name is text.')
        const snapshot = await db.snapshot(given({ name, logs: namesOf(logs) }))
        exchange.sendJson(201, snapshot)
      },
    },
    {
      method: 'GET',
      path,
      scope: 'read',
      summary: 'One snapshot, by its name or its id.',
      run: async (exchange) => {
        const asked = nameOf(exchange)
        const all = await db.snapshots()
        const found = all.find(({ name, id }) => name === asked || id === asked)
        if (found === undefined)
          throw new StratalogError('snapshot_not_found', 'There is no such snapshot.')
        exchange.sendJson(200, found)
      },
    },
    {
      method: 'DELETE',
      path,
      scope: 'admin',
      summary: 'Forget a snapshot; what only it held is collected later.',
      run: async (exchange) => exchange.sendJson(200, await db.deleteSnapshot(nameOf(exchange))),
    },
  ]
}

type TierStep = (tier: TierControl, body: Readonly<Record<string, unknown>>) => Promise<object>

function tierRoutes({ tier }: Stratalog): readonly Route[] {
  const route = (step: string, summary: string, keys: readonly string[], run: TierStep): Route => ({
    method: 'POST',
    path: `/v1/tier/${step}`,
    scope: 'admin',
    summary,
    run: async (exchange) => {
      exchange.sendJson(200, await run(tier, await bodyOf(exchange, keys)))
    },
  })
  return [
    route(
      'now',
      'Bring all that was appended before to a tier; answers when it is there.',
      ['logs', 'to'],
      (control, { logs, to }) => control.now(given({ logs: namesOf(logs), to: targetOf(to) })),
    ),
    route(
      'compact',
      'Make one segment of each run of small neighbours.',
      ['logs'],
      (control, { logs }) => control.compact(given({ logs: namesOf(logs) })),
    ),
    route(
      'collect',
      'Remove objects from the archive that nothing needs any more.',
      ['grace', 'dryRun'],
      (control, { grace, dryRun }) =>
        control.collect(given({ grace: durationOf(grace), dryRun: flagOf(dryRun, 'dryRun') })),
    ),
    route(
      'scrub',
      'Look at every byte of every copy, and repair what can be.',
      ['logs', 'repair'],
      (control, { logs, repair }) =>
        control.scrub(given({ logs: namesOf(logs), repair: flagOf(repair, 'repair') })),
    ),
    route('attach', 'Make a log of the archive one of the engine.', ['log'], (control, { log }) =>
      control.attach(nameOf(log)),
    ),
    route('detach', 'Forget a log that lies wholly in the archive.', ['log'], (control, { log }) =>
      control.detach(nameOf(log)),
    ),
    route(
      'pause',
      'Pause the scheduler for some logs, or for all.',
      ['logs'],
      async (control, { logs }) => {
        await control.pause(given({ logs: namesOf(logs) }))
        return { paused: true }
      },
    ),
    route('resume', 'Let the scheduler go on.', ['logs'], async (control, { logs }) => {
      await control.resume(given({ logs: namesOf(logs) }))
      return { paused: false }
    }),
  ]
}

async function bodyOf(
  exchange: Exchange,
  keys: readonly string[],
): Promise<Readonly<Record<string, unknown>>> {
  const body = await exchange.jsonBody(VALUE_BYTES_MAX)
  assertKnownKeys(body, keys)
  return body
}

function namesOf(value: unknown): readonly string[] | undefined {
  if (value === undefined) return undefined
  if (Array.isArray(value) && value.every((name) => typeof name === 'string')) return value
  throw new RequestProblem('request_invalid', 'logs is an array of names.')
}

function targetOf(value: unknown): 'disk' | 'object' | undefined {
  if (value === undefined || value === 'disk' || value === 'object') return value
  throw new RequestProblem('request_invalid', 'to is disk or object.')
}

function durationOf(value: unknown): string | number | undefined {
  if (value === undefined || typeof value === 'string' || typeof value === 'number') return value
  throw new RequestProblem('request_invalid', 'grace is a duration, such as 1h.')
}

function flagOf(value: unknown, name: string): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value
  throw new RequestProblem('request_invalid', `${name} is true or false.`)
}

function nameOf(value: unknown): string {
  if (typeof value === 'string') return value
  throw new RequestProblem('request_invalid', 'log is the name of a log.')
}
