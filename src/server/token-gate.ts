/**
 * Who is let in: by the file of tokens as it is now, which is read at most once a second. So soon a new token works,
 * and a revoked one ends, with the reads that it has open.
 *
 * A file that cannot be read lets nobody in. What it said before would do for most, but who took the file away may have
 * done it to end every token in it.
 */
import type { Clock } from '../base/clock.ts'
import { toStratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { Exchange } from './exchange.ts'
import { RequestProblem } from './http-error.ts'
import { TOKENS_FRESH_MS } from './limits.ts'
import type { Route } from './router.ts'
import { type StoredToken, TOKEN_PATTERN, decodeTokens, digestOf, isSame } from './tokens.ts'

export class TokenGate {
  readonly #read: () => Promise<string>
  readonly #clock: Clock
  readonly #logger: Logger
  #tokens: ReadonlyMap<string, StoredToken> = new Map()
  /** Why the file could not be read the last time. */
  #failure: string | null = null
  #readAt = -Infinity
  #reading: Promise<void> | null = null
  /** Reads that are open, with the tokens that let them in. */
  readonly #open = new Map<Exchange, StoredToken>()
  #isWatching = false

  private constructor(read: () => Promise<string>, clock: Clock, logger: Logger) {
    this.#read = read
    this.#clock = clock
    this.#logger = logger
  }

  /**
   * `read` gives the file of tokens as it is now. @throws StratalogError `config_invalid`, and what reading the file
   * throws: a server does not start without it.
   */
  static async open(read: () => Promise<string>, clock: Clock, logger: Logger): Promise<TokenGate> {
    const gate = new TokenGate(read, clock, logger)
    await gate.#load()
    return gate
  }

  /**
   * The id of the token, whose rights the exchange has then; null where none is needed. Should the token end before a
   * read that it lets in, the exchange is revoked.
   * @throws RequestProblem `token_missing`, `token_invalid`, `scope_missing`, `tokens_unreadable`.
   */
  async authorize(exchange: Exchange, route: Route): Promise<string | null> {
    const { scope, logOf, readsOf, asksItself } = route
    if (scope === null) return null
    if (this.#clock.monotonic() - this.#readAt >= TOKENS_FRESH_MS) await this.#refresh()
    if (this.#failure !== null) throw unreadable()
    const token = this.#tokenOf(exchange.header('authorization'))
    const log = asksItself === true ? token.logs : (logOf?.(exchange) ?? null)
    const read = readsOf?.(exchange) ?? null
    exchange.rights = token
    exchange.assertAllowed(scope, log)
    if (read !== null) exchange.assertAllowed('read', read)
    if (isRead(route)) this.#watch(exchange, token)
    return token.id
  }

  async #load(): Promise<void> {
    const readAt = this.#clock.monotonic()
    const tokens = decodeTokens(await this.#read())
    this.#tokens = new Map(tokens.map((token) => [token.id, token]))
    this.#readAt = readAt
  }

  #refresh(): Promise<void> {
    this.#reading ??= this.#reload().finally(() => {
      this.#reading = null
    })
    return this.#reading
  }

  async #reload(): Promise<void> {
    try {
      await this.#load()
      if (this.#failure !== null) this.#logger.info('the tokens can be read again', {})
      this.#failure = null
    } catch (error) {
      const { code, message: reason } = toStratalogError(error)
      if (reason !== this.#failure)
        this.#logger.error('the tokens cannot be read: nobody is let in', { code, reason })
      this.#failure = reason
      this.#readAt = this.#clock.monotonic()
    }
  }

  #tokenOf(header: string | undefined): StoredToken {
    if (header === undefined) {
      throw new RequestProblem('token_missing', 'A token is needed: Authorization: Bearer …', {
        'www-authenticate': 'Bearer',
      })
    }
    const given = /^Bearer +(\S+)$/i.exec(header)?.[1] ?? ''
    const [, id = '', secret = ''] = TOKEN_PATTERN.exec(given) ?? []
    const token = this.#tokens.get(id)
    // Compared whether there is such a token or not, so that both take as long.
    const isRight = isSame(digestOf(secret), token?.digest ?? digestOf(''))
    if (token !== undefined && isRight && secret !== '' && !this.#isOver(token)) return token
    throw invalid()
  }

  #isOver({ expiresAt }: StoredToken): boolean {
    return expiresAt !== null && Date.parse(expiresAt) <= this.#clock.now()
  }

  #watch(exchange: Exchange, token: StoredToken): void {
    const { response } = exchange
    if (response.closed) return
    this.#open.set(exchange, token)
    response.once('close', () => this.#open.delete(exchange))
    if (!this.#isWatching) this.#lookAgain()
  }

  /** Goes on for as long as there are reads to look after. */
  #lookAgain(): void {
    this.#isWatching = this.#open.size > 0
    if (this.#isWatching) this.#clock.setTimer(TOKENS_FRESH_MS, () => void this.#revoke())
  }

  async #revoke(): Promise<void> {
    if (this.#open.size > 0) await this.#refresh()
    for (const [exchange, token] of this.#open)
      if (this.#failure !== null) exchange.revoke(unreadable())
      else if (!this.#isStill(token)) exchange.revoke(invalid())
    this.#lookAgain()
  }

  /** Whether a token still allows what it allowed. */
  #isStill(token: StoredToken): boolean {
    const now = this.#tokens.get(token.id)
    return (
      now?.digest === token.digest &&
      now.logs === token.logs &&
      String(now.scopes) === String(token.scopes) &&
      !this.#isOver(now)
    )
  }
}

/** What changes nothing, and so can end at any time. */
function isRead({ method, scope }: Route): boolean {
  return method === 'GET' || method === 'HEAD' || scope === 'read' || scope === 'sql'
}

function invalid(): RequestProblem {
  return new RequestProblem(
    'token_invalid',
    'The token is not known, has expired or was revoked.',
    { 'www-authenticate': 'Bearer error="invalid_token"' },
  )
}

function unreadable(): RequestProblem {
  return new RequestProblem(
    'tokens_unreadable',
    'The server cannot tell at present who may do this; its logs say why.',
  )
}
