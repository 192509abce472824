/** The composition root of the server: from an open engine to a socket that answers. */
import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { Random } from '../base/random.ts'
import type { Stratalog } from '../engine/stratalog.ts'
import { healthRoutes } from './health-routes.ts'
import { HostList, isLoopback } from './host-list.ts'
import { HttpServer } from './http-server.ts'
import { Readiness } from './readiness.ts'
import { Router } from './router.ts'
import { StreamRegistry } from './streams/stream-registry.ts'
import { streamRoutes } from './streams/stream-routes.ts'

export interface ServeOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Names that requests may give as their Host, besides addresses and `localhost`. */
  readonly allowedHosts: readonly string[]
  /** Whether the engine has a data directory. */
  readonly isDurable: boolean
}

export interface ServePorts {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface RunningServer {
  readonly url: string
  /** Lets requests end and closes the sockets. The engine stays open. */
  readonly stop: () => Promise<void>
}

/** @throws StratalogError `argument_invalid` for an address that may not, or cannot, be listened on. */
export async function startServer(
  db: Stratalog,
  options: ServeOptions,
  { clock, random, logger }: ServePorts,
): Promise<RunningServer> {
  const { host, port, allowedHosts, isDurable } = options
  if (!isLoopback(host)) {
    throw new StratalogError(
      'argument_invalid',
      `${host} can be reached from other machines, and there is no token: create one, or listen on 127.0.0.1.`,
      { details: { host } },
    )
  }
  const ports = { clock, random, logger: logger.child('server') }
  const readiness = new Readiness(db, clock, isDurable)
  const server = new HttpServer({
    router: new Router([
      ...healthRoutes(readiness),
      ...streamRoutes(() => StreamRegistry.open(db, isDurable, ports), ports),
    ]),
    hosts: new HostList([host, ...allowedHosts]),
    ...ports,
    authorize: () => {},
    onAnswer: () => {},
  })
  const bound = await server.listen(host, port)
  const shownHost = host.includes(':') ? `[${host}]` : host
  return { url: `http://${shownHost}:${bound}`, stop: () => server.stop() }
}
