/** What a drill holds an archive against: the live logs, and hashes of their records. Loaded when it is asked for. */
import type { Stratalog } from '../../engine/stratalog.ts'
import { VALUE_BYTES_MAX } from '../../format/limits.ts'
import type { OffsetRange } from '../../replay/live-side.ts'
import type { Exchange } from '../exchange.ts'
import { RequestProblem } from '../http-error.ts'
import type { Route } from '../router.ts'
import { assertKnownKeys } from './parameters.ts'

export function liveRoutes(db: Stratalog): readonly Route[] {
  const logOf = (exchange: Exchange): string => exchange.parameters['log'] ?? ''
  return [
    {
      method: 'GET',
      path: '/v1/live',
      scope: 'read',
      summary:
        'Whose logs they are, and what every log is at this point: offsets, schema, and the objects that it counts on.',
      run: async (exchange) => {
        const { liveLogs } = await import('../../engine/live-logs.ts')
        exchange.sendJson(200, liveLogs(db))
      },
    },
    {
      method: 'POST',
      path: '/v1/logs/{log}/hash',
      scope: 'read',
      logOf,
      summary: 'The content hash of ranges of offsets.',
      run: async (exchange) => {
        const body = await exchange.jsonBody(VALUE_BYTES_MAX)
        assertKnownKeys(body, ['id', 'schemaId', 'ranges', 'latest'])
        const { id, schemaId, ranges, latest = false } = body
        if (typeof latest !== 'boolean')
          throw new RequestProblem('request_invalid', 'latest is true or false.')
        const asked = {
          id: wholeOf(id),
          schemaId: wholeOf(schemaId),
          ranges: rangesOf(ranges),
          isLatest: latest,
        }
        const { hashOfLog } = await import('../../engine/live-logs.ts')
        exchange.sendJson(200, { hash: await hashOfLog(db, logOf(exchange), asked, exchange.gone) })
      },
    },
  ]
}

function rangesOf(value: unknown): readonly OffsetRange[] {
  if (!Array.isArray(value)) throw new RequestProblem('request_invalid', 'ranges is an array.')
  return value.map((range: unknown) => {
    const { partition, from, to } = Object(range) as Readonly<Record<string, unknown>>
    return { partition: wholeOf(partition), from: wholeOf(from), to: wholeOf(to) }
  })
}

function wholeOf(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new RequestProblem(
    'request_invalid',
    'id and schemaId, and partition, from and to of each range, are whole numbers.',
  )
}
