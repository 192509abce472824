/**
 * Whose pages may use this server, beside those that it serves itself: cross-origin resource sharing, off unless
 * origins are configured. There are no cookies and no passwords that a browser adds by itself: a page shows a token in
 * `Authorization`, as every client does, so credentials are never allowed.
 *
 * - What an answer says of an origin depends on who asks, so with a list of origins all answers say `Vary: Origin`,
 *   also those to no page: or else a cache would hand a page what it has for another client, and may not read.
 * - `*` is any origin, and answers are the same for all. Only a server with tokens may have it: a page without a token
 *   gets nothing there, while a server without tokens would give every page that its user visits all that it has.
 */
import { type ConfigProblem, configError } from '../engine/config-error.ts'
import type { AnswerHeaders } from './exchange.ts'
import { CORS_MAX_AGE_S } from './limits.ts'

/** What a page may send beside what browsers let through anyway: all that the routes read. */
const REQUEST_HEADERS = [
  'accept',
  'authorization',
  'content-encoding',
  'content-type',
  'if-none-match',
  'producer-epoch',
  'producer-id',
  'producer-seq',
  'stream-closed',
  'stream-expires-at',
  'stream-fork-offset',
  'stream-fork-sub-offset',
  'stream-forked-from',
  'stream-seq',
  'stream-ttl',
]

/** What a page may read beside what browsers let it read anyway: all that the answers say. */
const ANSWER_HEADERS = [
  'allow',
  'etag',
  'location',
  'producer-epoch',
  'producer-expected-seq',
  'producer-received-seq',
  'producer-seq',
  'retry-after',
  'stream-closed',
  'stream-cursor',
  'stream-expires-at',
  'stream-next-offset',
  'stream-sse-data-encoding',
  'stream-ttl',
  'stream-up-to-date',
  'www-authenticate',
  'x-request-id',
]

/** What may be asked for, to whoever asks: without an allowed origin beside it, it permits nothing. */
export const PREFLIGHT_HEADERS: AnswerHeaders = {
  'access-control-allow-methods': 'GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS',
  'access-control-allow-headers': REQUEST_HEADERS.join(', '),
  'access-control-max-age': String(CORS_MAX_AGE_S),
}

const ANY = '*'

export class CorsPolicy {
  readonly #answers: ReadonlyMap<string, AnswerHeaders>
  readonly #otherwise: AnswerHeaders

  private constructor(origins: readonly string[]) {
    const isAny = origins.includes(ANY)
    const vary = isAny ? {} : { vary: 'Origin' }
    const allowing = (origin: string): AnswerHeaders => ({
      'access-control-allow-origin': origin,
      'access-control-expose-headers': ANSWER_HEADERS.join(', '),
      ...vary,
    })
    this.#answers = new Map(isAny ? [] : origins.map((origin) => [origin, allowing(origin)]))
    if (isAny) this.#otherwise = allowing(ANY)
    else this.#otherwise = origins.length > 0 ? vary : {}
  }

  /**
   * `given` is a list of origins as browsers write them, or one.
   * @throws StratalogError `config_invalid` with every one that is none, and for `*` without tokens.
   */
  static of(given: unknown, hasTokens: boolean): CorsPolicy {
    const origins: readonly unknown[] = Array.isArray(given) ? given : [given]
    const problems = origins.flatMap((origin) => problemsOf(origin, hasTokens))
    if (problems.length > 0) throw configError(problems)
    return new CorsPolicy(origins as readonly string[])
  }

  allows(origin: string): boolean {
    return this.headersFor(origin)['access-control-allow-origin'] !== undefined
  }

  /** What an answer says to a request with this `Origin`, or with none. */
  headersFor(origin: string | undefined): AnswerHeaders {
    return (origin === undefined ? undefined : this.#answers.get(origin)) ?? this.#otherwise
  }
}

function problemsOf(given: unknown, hasTokens: boolean): readonly ConfigProblem[] {
  const problem = (allowed: string): readonly ConfigProblem[] => [
    { path: 'corsOrigin', given, allowed },
  ]
  if (given === ANY)
    return hasTokens
      ? []
      : problem(
          "'*' with --tokens only: without them every page that someone visits on this machine could do all; name the origins",
        )
  const meant = typeof given === 'string' ? originOf(given) : null
  if (meant === null)
    return problem('an origin, http or https, such as https://app.example.com; without patterns')
  return meant === given ? [] : problem(`an origin as browsers write it: ${meant}`)
}

/** The origin of a URL, as browsers write it; null where it has none that a page is served from. */
function originOf(text: string): string | null {
  const url = URL.parse(text)
  if (url === null || url.hostname.includes('*')) return null
  return url.protocol === 'https:' || url.protocol === 'http:' ? url.origin : null
}
