/** Refusals that several parts of the protocol share. */
import { StratalogError } from '../../base/errors.ts'
import { RequestProblem } from '../http-error.ts'

type Headers = Readonly<Record<string, string>>

export function streamNotFound(path: string): StratalogError {
  return new StratalogError('log_not_found', `There is no stream '${path}'.`, {
    details: { stream: path },
  })
}

export function streamGone(): RequestProblem {
  return new RequestProblem('stream_gone', 'The stream was deleted.')
}

export function streamConflict(message: string, headers: Headers = {}): RequestProblem {
  return new RequestProblem('stream_conflict', message, headers)
}
