/** The errors that every object store gives for the same event, in the same words. */
import { StratalogError } from '../base/errors.ts'

export function objectNotFound(url: string, key: string, cause?: unknown): StratalogError {
  return new StratalogError('object_not_found', `${url} has no object ${key}.`, {
    cause,
    details: { url, key },
  })
}

export function objectExists(url: string, key: string, cause?: unknown): StratalogError {
  return new StratalogError('object_exists', `${url} already has an object ${key}.`, {
    cause,
    details: { url, key },
  })
}

export function objectCorrupt(
  url: string,
  key: string,
  reason: string,
  details: Readonly<Record<string, unknown>> = {},
): StratalogError {
  return new StratalogError(
    'object_corrupt',
    `The object ${key} in ${url} came back wrong: ${reason}.`,
    {
      details: { url, key, ...details },
    },
  )
}

/** A range that the object does not have. */
export function rangeOutside(
  url: string,
  key: string,
  range: { readonly start: number; readonly end: number },
  length: number,
): StratalogError {
  return objectCorrupt(
    url,
    key,
    `it has ${length} bytes; bytes ${range.start} to ${range.end} were expected`,
    {
      start: range.start,
      end: range.end,
      length,
    },
  )
}

export function storeUnavailable(url: string, reason: string, cause?: unknown): StratalogError {
  return new StratalogError(
    'store_unavailable',
    `The object store ${url} is not available: ${reason}.`,
    {
      cause,
      details: { url },
    },
  )
}

/** The store did not answer lately, and this request was not sent. */
export function circuitOpen(
  url: string,
  retryAfterMs: number,
  lastError: string | null,
): StratalogError {
  const reason = lastError === null ? '' : ` Last: ${lastError}`
  return new StratalogError(
    'store_unavailable',
    `The object store ${url} did not answer lately; nothing is asked of it for ${retryAfterMs} ms.${reason}`,
    { details: { url, circuit: 'open', retryAfterMs } },
  )
}

/** Whether a request failed without being sent. */
export function isCircuitOpen(error: StratalogError): boolean {
  return error.code === 'store_unavailable' && error.details['circuit'] === 'open'
}
