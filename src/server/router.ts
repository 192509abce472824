/**
 * Routes as data: what is served, what OpenAPI says of it and what a token needs for it are one list. A path is made of
 * fixed parts and of `{name}`; `{name...}` at its end takes the rest.
 */
import type { Exchange } from './exchange.ts'
import { RequestProblem } from './http-error.ts'
import type { Scope } from './rights.ts'

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE' | 'OPTIONS'

export interface Route {
  readonly method: Method
  readonly path: string
  /** Null: open to everyone who reaches the server. */
  readonly scope: Scope | null
  /** The log that the request is about; null: the whole engine, which needs a token for all logs. */
  readonly logOf?: (exchange: Exchange) => string | null
  /** It asks by itself whether the logs that it is about are the token's: a body names them, or they are listed. */
  readonly asksItself?: true
  /** Another log that the request reads; null: none. */
  readonly readsOf?: (exchange: Exchange) => string | null
  /** It is answered however much a client asks. */
  readonly isUnlimited?: true
  /** One sentence for people. */
  readonly summary: string
  readonly run: (exchange: Exchange) => Promise<void> | void
}

interface CompiledRoute {
  readonly route: Route
  readonly parts: readonly string[]
  readonly rest: string | null
}

export class Router {
  readonly routes: readonly Route[]
  /** By the first two parts of their paths, which are fixed in all of them. */
  readonly #compiled: ReadonlyMap<string, readonly CompiledRoute[]>

  constructor(routes: readonly Route[]) {
    this.routes = routes
    this.#compiled = Map.groupBy(routes.map(compile), ({ route }) => beginOf(route.path))
  }

  /**
   * The route of a request, whose parameters are set.
   * @throws RequestProblem `route_not_found`, `method_not_allowed`, `request_invalid` for a path that does not decode.
   */
  find(exchange: Exchange): Route {
    const parts = exchange.path.split('/').slice(1)
    const near = this.#compiled.get(beginOf(exchange.path)) ?? []
    const { method } = exchange
    // A HEAD is a GET whose body is left out.
    const found = find(near, parts, method) ?? (method === 'HEAD' ? find(near, parts, 'GET') : null)
    if (found !== null) {
      exchange.setParameters(parametersOf(found, parts, exchange.path))
      return found.route
    }
    const matching = near.filter((compiled) => matches(compiled, parts))
    if (matching.length === 0)
      throw new RequestProblem('route_not_found', 'There is nothing at this path.')
    const allowed = matching.map(({ route }) => route.method)
    throw new RequestProblem('method_not_allowed', `This path takes ${allowed.join(', ')}.`, {
      allow: allowed.join(', '),
    })
  }
}

function beginOf(path: string): string {
  const end = path.indexOf('/', path.indexOf('/', 1) + 1)
  return end > 0 ? path.slice(0, end) : path
}

function find(
  routes: readonly CompiledRoute[],
  parts: readonly string[],
  method: string,
): CompiledRoute | null {
  for (const compiled of routes)
    if (compiled.route.method === method && matches(compiled, parts)) return compiled
  return null
}

function compile(route: Route): CompiledRoute {
  const parts = route.path.split('/').slice(1)
  const last = parts.at(-1) ?? ''
  if (!last.endsWith('...}')) return { route, parts, rest: null }
  return { route, parts: parts.slice(0, -1), rest: last.slice(1, -4) }
}

function matches({ parts, rest }: CompiledRoute, given: readonly string[]): boolean {
  if (rest === null ? given.length !== parts.length : given.length <= parts.length) return false
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index] ?? ''
    if (part.startsWith('{') ? given[index] === '' : part !== given[index]) return false
  }
  return true
}

function parametersOf(
  { parts, rest }: CompiledRoute,
  given: readonly string[],
  path: string,
): Readonly<Record<string, string>> {
  const found: Record<string, string> = {}
  let position = 1
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index] ?? ''
    const text = given[index] ?? ''
    if (part.startsWith('{')) found[part.slice(1, -1)] = decoded(text)
    position += text.length + 1
  }
  if (rest !== null) found[rest] = decoded(path.slice(position))
  return found
}

function decoded(part: string): string {
  if (!part.includes('%')) return part
  try {
    return decodeURIComponent(part)
  } catch {
    throw new RequestProblem('request_invalid', 'The path has a % that no two hex digits follow.')
  }
}
