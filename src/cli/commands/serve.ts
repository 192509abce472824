/**
 * `serve`: an engine behind HTTP until a signal ends it. The one line on standard output says that it takes requests.
 */
import { StratalogError } from '../../base/errors.ts'
import { parseDuration } from '../../base/units.ts'
import { systemRandom } from '../../base/random.ts'
import type { StratalogOptions } from '../../engine/config.ts'
import { resolvePorts } from '../../engine/ports.ts'
import { Stratalog } from '../../engine/stratalog.ts'
import type { EnginePlaces } from '../../server/api/file-routes.ts'
import { CorsPolicy } from '../../server/cors.ts'
import { PrometheusMetrics } from '../../server/prometheus.ts'
import { type ServeOptions, type ServePorts, startServer } from '../../server/serve.ts'
import type { FlagValues } from '../config-flags.ts'
import { readServerConfiguration } from '../read-configuration.ts'
import type { ServerKeys } from '../server-keys.ts'
import type { Session } from '../session.ts'
import type { TlsFiles } from '../tls-files.ts'

export async function serve(session: Session, flags: FlagValues): Promise<void> {
  // Clients are not to be trusted with this process.
  const { config: given, server: keys } = readServerConfiguration(flags)
  const config = { queryIsolation: 'process' as const, ...given }
  assertPlace(config, keys)
  const { host = '127.0.0.1', port = 8080, tokens, rateLimit = null, corsOrigin = [] } = keys
  const cors = CorsPolicy.of(corsOrigin, tokens !== undefined)
  const drill = drillOf(config, keys)
  const tls = await tlsOf(keys)
  const { logger } = resolvePorts({ logLevel: 'info', ...config }, {})
  const { clock } = session
  const metrics = new PrometheusMetrics()
  const db = await Stratalog.open(config, { logger, clock, metrics })
  try {
    const isDurable = config.dataDir !== undefined
    const readTokens = tokens === undefined ? null : await tokenReader(tokens)
    const server = await startServer(
      db,
      {
        host,
        port,
        allowedHosts: listOf(keys.allowHost),
        cors,
        places: await placesOf(config),
        rateLimit,
        jobs: { ...rulesOf(keys), queryIsolation: config.queryIsolation },
        drill,
      },
      {
        clock,
        random: systemRandom,
        logger,
        metrics,
        readTokens,
        tls: tls?.listener ?? null,
        saveDrillPage: pagesOf(keys),
      },
    )
    const stopRenewing = tls?.renewOnHangup(logger)
    const { url } = server
    await session.terminal.write(
      `${JSON.stringify({ event: 'listening', url, pid: process.pid })}\n`,
    )
    if (!isDurable && keys.memoryOnly !== true)
      logger.info('without --data-dir records are in memory only', {})
    await signalled(session.signal)
    logger.info('stopping', {})
    await server.stop()
    stopRenewing?.()
  } finally {
    await db.close()
  }
}

async function tokenReader(path: string): Promise<() => Promise<string>> {
  const { readTokenFile } = await import('../token-file.ts')
  return () => readTokenFile(path)
}

async function placesOf(options: StratalogOptions): Promise<EnginePlaces> {
  const { dataDir, archive, s3 } = options
  let snapshots = archive
  if (options.snapshotLocation !== undefined) {
    // A start without a place of its own for them does not load it.
    const { snapshotUrl } = await import('../../engine/snapshot-url.ts')
    snapshots = snapshotUrl(options) ?? archive
  }
  return {
    ...(snapshots === undefined ? {} : { snapshots }),
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(archive === undefined ? {} : { archive }),
    ...(s3 === undefined ? {} : { s3 }),
  }
}

/** @throws StratalogError `argument_invalid` for flags that contradict one another. */
function assertPlace({ dataDir, archive }: StratalogOptions, { memoryOnly }: ServerKeys): void {
  if (memoryOnly === true && (dataDir !== undefined || archive !== undefined)) {
    throw new StratalogError(
      'argument_invalid',
      '--memory-only goes without a data directory and without an archive.',
    )
  }
}

function rulesOf(keys: ServerKeys): Omit<ServeOptions['jobs'], 'queryIsolation'> {
  const { jobArchives, jobDir, jobHosts, jobPrivateHosts } = keys
  return {
    archives: listOf(jobArchives),
    folder: jobDir ?? null,
    hosts: listOf(jobHosts),
    allowPrivate: jobPrivateHosts === true,
  }
}

function listOf(given: string | readonly string[] | undefined): readonly string[] {
  return typeof given === 'string' ? [given] : (given ?? [])
}

/** @throws StratalogError `argument_invalid`. */
function drillOf(
  { archive, snapshotLocation }: StratalogOptions,
  { drillInterval, drillSample, drillReports }: ServerKeys,
): ServeOptions['drill'] {
  if (drillInterval === undefined) {
    if (drillSample === undefined && drillReports === undefined) return null
    throw new StratalogError(
      'argument_invalid',
      '--drill-sample and --drill-reports are for drills by --drill-interval.',
    )
  }
  const sample = drillSample ?? null
  const intervalMs = parseDuration(drillInterval, '--drill-interval')
  if (archive === undefined && snapshotLocation === undefined)
    throw new StratalogError(
      'argument_invalid',
      '--drill-interval needs an --archive, or a --snapshot-location.',
    )
  if (intervalMs < DRILL_INTERVAL_MIN_MS)
    throw new StratalogError('argument_invalid', '--drill-interval is at least a second.')
  if (sample !== null && (sample <= 0 || sample > 1))
    throw new StratalogError('argument_invalid', '--drill-sample is above 0 and at most 1.')
  return { intervalMs, sample }
}

/** A drill after a drill without a pause would be all that the server does. */
const DRILL_INTERVAL_MIN_MS = 1_000

function pagesOf({ drillReports }: ServerKeys): ServePorts['saveDrillPage'] {
  if (drillReports === undefined) return null
  return async (endedAt, page) => {
    const { saveDrillPage } = await import('../drill-pages.ts')
    await saveDrillPage(drillReports, endedAt, page)
  }
}

/** @throws StratalogError `argument_invalid`, and those of the files. */
async function tlsOf({ tlsCert: cert, tlsKey: key }: ServerKeys): Promise<TlsFiles | null> {
  if (cert === undefined && key === undefined) return null
  if (cert === undefined || key === undefined) {
    throw new StratalogError(
      'argument_invalid',
      'A certificate and its key go together: give --tls-cert and --tls-key, or none of them.',
    )
  }
  const { TlsFiles } = await import('../tls-files.ts')
  return TlsFiles.open(cert, key)
}

function signalled(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
