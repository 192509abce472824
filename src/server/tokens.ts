/**
 * Tokens: who may do what with which logs. A token is `stl_<id>_<secret>`; the file of tokens has a digest of the
 * secret, which has enough random bits that one pass of SHA-256 is as good as many.
 */
import { StratalogError } from '../base/errors.ts'
import { once } from '../base/once.ts'
import { secretBytes } from '../base/random.ts'
import { type Rights, SCOPES, type Scope } from './rights.ts'

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
export const TOKEN_PATTERN: RegExp = /^stl_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/
const SECRET_BYTES = 32

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

/** What a file of tokens begins with. */
export const TOKENS_BEGINNING = '{\n  "format": "stratalog-tokens"'

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

/** Of a secret, as the file has it. */
export function digestOf(secret: string): string {
  return crypto().createHash('sha256').update(secret).digest('hex')
}

/** Takes as long for any two of one length. */
export function isSame(a: string, b: string): boolean {
  const left = Buffer.from(a)
  const right = Buffer.from(b)
  return left.length === right.length && crypto().timingSafeEqual(left, right)
}
