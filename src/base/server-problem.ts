/** The error that an answer of a server stands for, as its body (`application/problem+json`) and its status say. */
import { ERROR_CODES, type ErrorCode, StratalogError } from './errors.ts'

export function errorOfProblem(text: string, status: number): StratalogError {
  return problemError(problemIn(text), status)
}

/** @param status of the answer; a problem that comes behind the head of one says its own. */
export function problemError(
  problem: Readonly<Record<string, unknown>>,
  status: number = Number(problem['status']),
): StratalogError {
  const { code, kind, detail, details } = problem
  const message = typeof detail === 'string' ? detail : `The server answered ${status}.`
  // Only errors of the engine have a kind.
  const isOfEngine = typeof kind === 'string' && typeof details === 'object' && details !== null
  const own: Readonly<Record<string, unknown>> = isOfEngine
    ? { ...details }
    : { problem: code ?? null }
  return new StratalogError(codeOf(code, status), message, { details: { ...own, status } })
}

function problemIn(text: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text) as unknown) as Readonly<Record<string, unknown>>
  } catch {
    return {}
  }
}

/** Problems that only HTTP has are the caller's, one of too many requests, or the server's trouble. */
function codeOf(code: unknown, status: number): ErrorCode {
  if (typeof code === 'string' && Object.hasOwn(ERROR_CODES, code)) return code as ErrorCode
  if (status === 413) return 'append_too_large'
  if (status === 429) return 'queue_full'
  return status >= 500 ? 'server_unavailable' : 'argument_invalid'
}
