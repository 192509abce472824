/**
 * Errors as HTTP answers: one exhaustive table from kinds to statuses, and the failures that only HTTP has. The body is
 * `application/problem+json`; it never holds a stack, a path of the machine or the text of a statement.
 */
import {
  type ErrorCode,
  type ErrorKind,
  type StratalogError,
  toStratalogError,
} from '../base/errors.ts'
import type { Rights } from './rights.ts'

/** A kind without a status does not compile. */
export const STATUS_OF_KIND: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  not_found: 404,
  conflict: 409,
  fenced: 403,
  overloaded: 429,
  unavailable: 503,
  aborted: 504,
  closed: 503,
  corrupt: 500,
  internal: 500,
}

/** What is wrong with a request before it comes to the engine. docs/http-api.md has the same list. */
export const REQUEST_PROBLEMS = {
  request_invalid: 400,
  token_missing: 401,
  token_invalid: 401,
  scope_missing: 403,
  origin_refused: 403,
  route_not_found: 404,
  method_not_allowed: 405,
  producer_stale: 403,
  stream_conflict: 409,
  stream_gone: 410,
  body_too_large: 413,
  media_type_unsupported: 415,
  host_refused: 421,
  rate_limited: 429,
  server_busy: 503,
  server_stopping: 503,
  not_ready: 503,
  tokens_unreadable: 503,
} as const

export type RequestProblemCode = keyof typeof REQUEST_PROBLEMS

type Headers = Readonly<Record<string, string>>

export class RequestProblem extends Error {
  override readonly name = 'RequestProblem'
  readonly code: RequestProblemCode
  readonly headers: Headers

  constructor(code: RequestProblemCode, message: string, headers: Headers = {}) {
    super(message)
    this.code = code
    this.headers = headers
  }
}

export interface Problem {
  readonly status: number
  readonly headers: Headers
  readonly body: Readonly<Record<string, unknown>>
}

/** Kinds whose messages may name files, keys or what the disk said. */
const PRIVATE_KINDS: readonly ErrorKind[] = ['internal', 'corrupt', 'unavailable', 'closed']

const PUBLIC_MESSAGES: Readonly<Record<string, string>> = {
  internal: 'Something went wrong on the server; its logs say more under the id of the request.',
  corrupt:
    'What the server holds of this is damaged; its logs say more under the id of the request.',
  unavailable: 'The server cannot do this at present; try again later.',
  closed: 'The server is stopping.',
}

/**
 * The engine helps whoever mistyped a name with the nearest log and with all snapshots. Who may not list all of these
 * is told the same whatever there is: a name that is left out only where it is another's says that there is one.
 */
const WITHOUT_NAMES: Readonly<Partial<Record<ErrorCode, string>>> = {
  log_not_found: 'There is no such log, or there was none at that moment.',
  snapshot_not_found: 'There is no such snapshot.',
}

/** Seconds after which a request that was refused for load is worth another try. */
const RETRY_AFTER = '1'

/** `rights` are of whom it is told. */
export function problemOf(thrown: unknown, requestId: string, rights: Rights): Problem {
  if (thrown instanceof RequestProblem) {
    const { code, message, headers } = thrown
    const status = REQUEST_PROBLEMS[code]
    const retry: Headers = status === 503 ? { 'retry-after': RETRY_AFTER } : {}
    return {
      status,
      headers: { ...retry, ...headers },
      body: { title: code, status, code, detail: message, requestId },
    }
  }
  const error = toStratalogError(thrown)
  const { kind, code } = error
  const status = STATUS_OF_KIND[kind]
  const reduced = rights.logs === '' ? undefined : WITHOUT_NAMES[code]
  const isPrivate = PRIVATE_KINDS.includes(kind) || reduced !== undefined
  const detail = reduced ?? (isPrivate ? (PUBLIC_MESSAGES[kind] ?? '') : publicText(error))
  return {
    status,
    headers: status === 429 || status === 503 ? { 'retry-after': RETRY_AFTER } : {},
    body: {
      title: code,
      status,
      kind,
      code,
      detail,
      requestId,
      ...(isPrivate ? {} : { details: jsonSafe(error.details) }),
    },
  }
}

/** The engine quotes the statement below its message. */
function publicText({ message }: StratalogError): string {
  return message.split('\nLINE ')[0] ?? ''
}

/** Details may hold bigints, which JSON does not. */
function jsonSafe(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, part: unknown) =>
      typeof part === 'bigint' ? String(part) : part,
    ),
  ) as unknown
}
