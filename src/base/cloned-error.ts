/** Errors as data: what the boundary of a thread lets through. */
import { type ErrorCode, StratalogError, toStratalogError } from './errors.ts'

export interface ClonedError {
  readonly code: ErrorCode
  readonly message: string
  readonly details: Readonly<Record<string, unknown>>
}

export function toClonedError(error: unknown): ClonedError {
  const { code, message, details } = toStratalogError(error)
  return { code, message, details: plain(details) }
}

export function fromClonedError({ code, message, details }: ClonedError): StratalogError {
  return new StratalogError(code, message, { details })
}

/** Details are JSON-compatible by contract; what breaks that must not break the message. */
function plain(details: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return JSON.parse(JSON.stringify(details)) as Record<string, unknown>
}
