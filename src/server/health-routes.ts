/** `/healthz`: the process answers. `/readyz`: the engine takes records. */
import { isStratalogError } from '../base/errors.ts'
import { RequestProblem } from './http-error.ts'
import type { Readiness } from './readiness.ts'
import type { Route } from './router.ts'

export function healthRoutes(readiness: Readiness): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/healthz',
      scope: null,
      isUnlimited: true,
      summary: 'Whether the process answers.',
      run: (exchange) => exchange.sendJson(200, { status: 'ok' }),
    },
    {
      method: 'GET',
      path: '/readyz',
      scope: null,
      isUnlimited: true,
      summary: 'Whether the engine takes records: one is appended, synced and read back.',
      run: async (exchange) => {
        if (exchange.stopping.aborted)
          throw new RequestProblem('server_stopping', 'The server is stopping.')
        try {
          await readiness.check()
        } catch (error) {
          const code = isStratalogError(error) ? error.code : 'internal'
          throw new RequestProblem('not_ready', `The probe of the engine failed: ${code}.`)
        }
        exchange.sendJson(200, { status: 'ready' })
      },
    },
  ]
}
