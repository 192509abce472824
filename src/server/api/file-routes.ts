/** What is done with the files below the engine, and the state as a whole: verifying, comparing, dumping. */
import { StratalogError } from '../../base/errors.ts'
import { verifyFiles } from '../../engine/archive-operations.ts'
import type { S3Options } from '../../engine/config.ts'
import { Stratalog } from '../../engine/stratalog.ts'
import { VALUE_BYTES_MAX } from '../../format/limits.ts'
import type { Exchange } from '../exchange.ts'
import type { Route } from '../router.ts'
import { assertKnownKeys, assertKnownParameters, given, listParameter } from './parameters.ts'
import { MEDIA_TYPES } from './record-answer.ts'

/** Where the engine has its files. */
export interface EnginePlaces {
  readonly dataDir?: string
  readonly archive?: string
  /** Where its snapshots lie: in the archive, or beside it. */
  readonly snapshots?: string
  readonly s3?: S3Options
}

export function fileRoutes(db: Stratalog, places: EnginePlaces): readonly Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/verify',
      scope: 'admin',
      summary: 'Look at every file of the data directory and the archive, and say what is wrong.',
      run: async (exchange) => {
        assertKnownKeys(await exchange.jsonBody(VALUE_BYTES_MAX), [])
        assertHasFiles(places)
        const { snapshots: _, ...files } = places
        exchange.sendJson(200, await verifyFiles({ ...files, signal: exchange.gone }))
      },
    },
    {
      method: 'POST',
      path: '/v1/snapshots/{snapshot}/verify',
      scope: 'admin',
      summary: 'Look at every byte that a restore of a snapshot needs.',
      run: async (exchange) => {
        assertKnownKeys(await exchange.jsonBody(VALUE_BYTES_MAX), [])
        const snapshot = exchange.parameters['snapshot'] ?? ''
        const { s3 } = places
        const where = { archive: snapshotsOf(places), snapshot, ...given({ s3 }) }
        exchange.sendJson(200, await verifyFiles({ ...where, signal: exchange.gone }))
      },
    },
    {
      method: 'GET',
      path: '/v1/snapshots/{snapshot}/diff/{to}',
      scope: 'read',
      summary: 'What another snapshot has more and less than this one.',
      run: async (exchange) => {
        const { snapshot = '', to = '' } = exchange.parameters
        const { s3 } = places
        const archive = await Stratalog.openArchive(snapshotsOf(places), given({ s3 }))
        try {
          exchange.sendJson(200, await archive.compareSnapshots(snapshot, to))
        } finally {
          await archive.close()
        }
      },
    },
    {
      method: 'GET',
      path: '/v1/dump',
      scope: 'read',
      summary: 'The whole state as JSON Lines.',
      run: (exchange) => sendDump(exchange, db),
    },
  ]
}

/** Characters of lines that are written at once: a write a line would cost more than the line. */
const WRITE_CHARACTERS = 64 * 1024

async function sendDump(exchange: Exchange, db: Stratalog): Promise<void> {
  assertKnownParameters(exchange.query, ['logs'])
  const logs = listParameter(exchange.query, 'logs')
  const lines = db.dump({ signal: exchange.gone, ...given({ logs }) })
  exchange.begin(200, {
    'content-type': MEDIA_TYPES.ndjson,
    'cache-control': 'no-store',
  })
  let text = ''
  for await (const line of lines) {
    text += line
    if (text.length < WRITE_CHARACTERS) continue
    if (!(await exchange.write(text))) return
    text = ''
  }
  exchange.response.end(text)
}

function assertHasFiles({ dataDir, archive }: EnginePlaces): void {
  if (dataDir === undefined && archive === undefined)
    throw new StratalogError(
      'argument_invalid',
      'This server has no files: its records are in RAM.',
    )
}

/** @throws StratalogError `argument_invalid` where there is none. */
function snapshotsOf({ snapshots }: EnginePlaces): string {
  if (snapshots !== undefined) return snapshots
  throw new StratalogError(
    'argument_invalid',
    'Snapshots lie in an archive or at a snapshotLocation, and this server has neither.',
  )
}
