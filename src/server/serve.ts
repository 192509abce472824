/** The composition root of the server: from an open engine to a socket that answers. */
import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { Random } from '../base/random.ts'
import { LineParser } from '../engine/line-parser.ts'
import { publishFigures } from '../engine/publish-figures.ts'
import { removeUnfinishedRestores } from '../engine/restoring-logs.ts'
import type { Stratalog } from '../engine/stratalog.ts'
import { spawnParser } from '../engine/workers/spawn-parser.ts'
import { engineRoutes } from './api/engine-routes.ts'
import { type EnginePlaces, fileRoutes } from './api/file-routes.ts'
import { liveRoutes } from './api/live-routes.ts'
import { logRoutes } from './api/log-routes.ts'
import { sqlRoutes } from './api/sql-routes.ts'
import type { JobRules } from './jobs/job-places.ts'
import { type DrillOptions, ServerJobs } from './jobs/server-jobs.ts'
import type { CorsPolicy } from './cors.ts'
import { healthRoutes } from './health-routes.ts'
import { HostList, isLoopback } from './host-list.ts'
import { HttpServer, type HttpServerOptions } from './http-server.ts'
import { openApiOf } from './openapi.ts'
import type { PrometheusMetrics } from './prometheus.ts'
import { RateLimit, admission } from './rate-limit.ts'
import { Readiness } from './readiness.ts'
import { type Route, Router } from './router.ts'
import { StreamRegistry } from './streams/stream-registry.ts'
import { streamRoutes } from './streams/stream-routes.ts'
import type { TlsListener } from './tls.ts'
import { TokenGate } from './token-gate.ts'

export interface ServeOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Names that requests may give as their Host, besides addresses and `localhost`. */
  readonly allowedHosts: readonly string[]
  /** Whose pages may use the server. */
  readonly cors: CorsPolicy
  readonly places: EnginePlaces
  /** Requests a second of each client; null: without a limit. */
  readonly rateLimit: number | null
  /** What jobs may reach beside the engine. */
  readonly jobs: JobRules
  /** Drills that the server begins by itself; null: none. */
  readonly drill: DrillOptions | null
}

export interface ServePorts {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: PrometheusMetrics
  /** The file of tokens as it is now; null: none are needed. */
  readonly readTokens: (() => Promise<string>) | null
  /** Null: plain HTTP. */
  readonly tls: TlsListener | null
  /** Keeps the page of a drill that the server began by itself; null: nobody does. */
  readonly saveDrillPage: ((endedAt: number, page: string) => Promise<void>) | null
}

export interface RunningServer {
  readonly url: string
  /** Ends jobs, lets requests end and closes the sockets. The engine stays open. */
  readonly stop: () => Promise<void>
}

/** @throws StratalogError `argument_invalid` for an address that may not, or cannot, be listened on. */
export async function startServer(
  db: Stratalog,
  options: ServeOptions,
  ports: ServePorts,
): Promise<RunningServer> {
  const { host, port, allowedHosts, cors, rateLimit } = options
  const { clock, random, metrics, readTokens, tls } = ports
  const logger = ports.logger.child('server')
  if (readTokens === null && !isLoopback(host)) {
    throw new StratalogError(
      'argument_invalid',
      `${host} can be reached from other machines, and there is no token: make one with 'stratalog token create' and give its file as --tokens, or listen on 127.0.0.1.`,
      { details: { host } },
    )
  }
  const gate = readTokens === null ? null : await TokenGate.open(readTokens, clock, logger)
  await removeUnfinishedRestores(db)
  const lines = new LineParser(spawnParser)
  const jobs = new ServerJobs(db, options, { ...ports, logger })
  const server = new HttpServer({
    createServer: (...given) => (tls === null ? createPlain(...given) : tls.create(...given)),
    router: new Router(routesOf(db, options.places, { lines, jobs }, { ...ports, logger })),
    hosts: new HostList([host, ...allowedHosts]),
    cors,
    clock,
    random,
    logger,
    authorize: admission(gate, rateLimit === null ? null : new RateLimit(rateLimit, clock)),
    onAnswer: (route, status, elapsedMs) => {
      metrics.count('stratalog_http_requests_total', 1, { route, status: String(status) })
      metrics.observe('stratalog_http_request_ms', elapsedMs, { route })
    },
  })
  const bound = await server.listen(host, port)
  const shownHost = host.includes(':') ? `[${host}]` : host
  const scheme = tls === null ? 'http' : 'https'
  jobs.start()
  return {
    url: `${scheme}://${shownHost}:${bound}`,
    stop: async () => {
      await Promise.all([jobs.stop(), server.stop()])
      await lines.close()
    },
  }
}

/** Importing `node:http` reads all that it exports, and so loads the client behind `fetch`: 40 ms of a start. */
const createPlain: HttpServerOptions['createServer'] = (...given) =>
  process.getBuiltinModule('node:http').createServer(...given)

/** Everything that is served. */
function routesOf(
  db: Stratalog,
  places: EnginePlaces,
  { lines, jobs }: { readonly lines: LineParser; readonly jobs: ServerJobs },
  ports: ServePorts,
): readonly Route[] {
  const { metrics } = ports
  const isDurable = places.dataDir !== undefined
  const routes: readonly Route[] = [
    ...healthRoutes(new Readiness(db, ports.clock, isDurable)),
    {
      method: 'GET',
      path: '/metrics',
      scope: 'read',
      summary: 'What Prometheus scrapes.',
      run: async (exchange) => {
        publishFigures(db)
        const { contentType, body } = await metrics.text()
        exchange.send(200, { 'content-type': contentType, 'cache-control': 'no-store' }, body)
      },
    },
    {
      method: 'GET',
      path: '/openapi.json',
      scope: null,
      summary: 'This API as OpenAPI 3.1.',
      run: (exchange) => exchange.sendJson(200, openApiOf(routes)),
    },
    ...logRoutes(db, lines),
    ...sqlRoutes(db, ports.clock),
    ...engineRoutes(db, () => jobs.drillStatus),
    ...fileRoutes(db, places),
    ...liveRoutes(db),
    ...jobs.routes,
    ...streamRoutes(() => StreamRegistry.open(db, isDurable, ports), ports),
  ]
  return routes
}
