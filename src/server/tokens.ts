/**
 * Tokens: who may do what with which logs. A token is `stl_<id>_<secret>`; the file of tokens has a digest of the
 * secret, which has enough random bits that one pass of SHA-256 is as good as many. The file is read once a second:
 * so soon a new token works, and a revoked one ends.
 */
import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import { once } from '../base/once.ts'
import { secretBytes } from '../base/random.ts'
import type { Exchange } from './exchange.ts'
import { RequestProblem } from './http-error.ts'
import { type Rights, SCOPES, type Scope } from './rights.ts'
import type { Route } from './router.ts'

export interface StoredToken extends Rights {
  readonly id: string
  readonly name: string
  /** SHA-256 of the secret, in hex. */
  readonly digest: string
  /** ISO 8601. */
  readonly createdAt: string
  /** ISO 8601; null: never. */
  readonly expiresAt: string | null
}

/** Loaded with the first token: a server without them starts sooner. */
const crypto = once(() => process.getBuiltinModule('node:crypto'))

const FORMAT_VERSION = 1
const TOKEN_PATTERN = /^stl_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/
const SECRET_BYTES = 32
const FRESH_MS = 1_000

export interface TokenTerms {
  readonly name: string
  readonly scopes: readonly Scope[]
  readonly logs: string
  readonly createdAt: string
  readonly expiresAt: string | null
}

/** A new token: what is stored of it, and the text that is shown once. */
export function mintToken(terms: TokenTerms): {
  readonly stored: StoredToken
  readonly token: string
} {
  const id = Buffer.from(secretBytes(8)).toString('hex')
  const secret = Buffer.from(secretBytes(SECRET_BYTES)).toString('base64url')
  return { stored: { id, ...terms, digest: digestOf(secret) }, token: `stl_${id}_${secret}` }
}

export function encodeTokens(tokens: readonly StoredToken[]): string {
  return `${JSON.stringify({ format: 'stratalog-tokens', formatVersion: FORMAT_VERSION, tokens }, null, 2)}\n`
}

/** @throws StratalogError `config_invalid` for a file that is none of tokens. */
export function decodeTokens(text: string): readonly StoredToken[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw notTokens()
  }
  const { format, formatVersion, tokens } = Object(value) as Readonly<Record<string, unknown>>
  if (format !== 'stratalog-tokens' || formatVersion !== FORMAT_VERSION) throw notTokens()
  if (!Array.isArray(tokens) || !tokens.every(isStoredToken)) throw notTokens()
  return tokens
}

function isStoredToken(value: unknown): value is StoredToken {
  const { id, name, digest, scopes, logs, createdAt, expiresAt } = Object(
    value,
  ) as Partial<StoredToken>
  const isText = [id, name, digest, logs, createdAt].every((text) => typeof text === 'string')
  const isExpiry =
    expiresAt === null || (typeof expiresAt === 'string' && !Number.isNaN(Date.parse(expiresAt)))
  const areScopes =
    Array.isArray(scopes) && scopes.every((scope) => SCOPES.includes(scope as Scope))
  return isText && isExpiry && areScopes
}

function notTokens(): StratalogError {
  return new StratalogError('config_invalid', 'The file of tokens is not one.')
}

/** What a server asks of the tokens that there are now. */
export class TokenGate {
  readonly #read: () => Promise<string>
  readonly #clock: Clock
  #tokens: ReadonlyMap<string, StoredToken> = new Map()
  #readAt = -Infinity
  #reading: Promise<void> | null = null

  /** `read` gives the file of tokens as it is now. */
  constructor(read: () => Promise<string>, clock: Clock) {
    this.#read = read
    this.#clock = clock
  }

  /** @throws StratalogError `config_invalid`, and what reading the file throws. */
  async refresh(): Promise<void> {
    const tokens = decodeTokens(await this.#read())
    this.#tokens = new Map(tokens.map((token) => [token.id, token]))
    this.#readAt = this.#clock.monotonic()
  }

  /**
   * The id of the token, whose rights the exchange has then; null where none is needed.
   * @throws RequestProblem `token_missing`, `token_invalid`, `scope_missing`.
   */
  async authorize(exchange: Exchange, { scope, logOf, readsOf }: Route): Promise<string | null> {
    if (scope === null) return null
    if (this.#clock.monotonic() - this.#readAt >= FRESH_MS) {
      // Where the file cannot be read, nobody is let in by what it said before.
      this.#reading ??= this.refresh().finally(() => {
        this.#reading = null
      })
      await this.#reading
    }
    const token = this.#tokenOf(exchange.header('authorization'))
    const log = logOf?.(exchange) ?? null
    const read = readsOf?.(exchange) ?? null
    exchange.rights = token
    assertAllows(token, scope, log)
    if (read !== null) assertAllows(token, 'read', read)
    return token.id
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
    const isOver =
      token?.expiresAt !== null &&
      token !== undefined &&
      Date.parse(token.expiresAt) <= this.#clock.now()
    if (token !== undefined && isRight && secret !== '' && !isOver) return token
    throw new RequestProblem(
      'token_invalid',
      'The token is not known, has expired or was revoked.',
      {
        'www-authenticate': 'Bearer error="invalid_token"',
      },
    )
  }
}

/** `log` is null for what is about the whole engine. @throws RequestProblem `scope_missing`. */
function assertAllows({ logs, scopes }: StoredToken, scope: Scope, log: string | null): void {
  const isOfLog = logs === '' || log?.startsWith(logs) === true
  if (isOfLog && scopes.includes(scope)) return
  throw new RequestProblem('scope_missing', `The token does not allow '${scope}' here.`)
}

function digestOf(secret: string): string {
  return crypto().createHash('sha256').update(secret).digest('hex')
}

function isSame(a: string, b: string): boolean {
  const left = Buffer.from(a)
  const right = Buffer.from(b)
  return left.length === right.length && crypto().timingSafeEqual(left, right)
}
