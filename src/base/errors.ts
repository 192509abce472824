/**
 * The one error type that callers see. `kind` says what the caller should do next; `code` is stable, documented in
 * docs/errors.md and safe to branch on; the message is for people and may change.
 */

/** What the caller should do: fix the call, look elsewhere, retry with another state, stop, wait, retry later, … */
export const ERROR_KINDS = [
  'invalid',
  'not_found',
  'conflict',
  'fenced',
  'overloaded',
  'unavailable',
  'aborted',
  'closed',
  'corrupt',
  'internal',
] as const

export type ErrorKind = (typeof ERROR_KINDS)[number]

/** Every stable code with its kind. A code is added here and in docs/errors.md, which a test holds together. */
export const ERROR_CODES = {
  config_invalid: 'invalid',
  argument_invalid: 'invalid',
  log_name_invalid: 'invalid',
  schema_invalid: 'invalid',
  schema_mismatch: 'invalid',
  record_invalid: 'invalid',
  record_too_large: 'invalid',
  append_too_large: 'invalid',
  type_unsupported: 'invalid',
  url_invalid: 'invalid',
  directory_foreign: 'invalid',
  format_unsupported: 'invalid',
  query_invalid: 'invalid',
  query_forbidden: 'invalid',
  query_not_streamable: 'invalid',
  input_invalid: 'invalid',
  sink_refused: 'invalid',
  log_not_found: 'not_found',
  log_deleted: 'not_found',
  partition_not_found: 'not_found',
  offset_not_found: 'not_found',
  snapshot_not_found: 'not_found',
  moment_compacted: 'not_found',
  archive_not_found: 'not_found',
  file_not_found: 'not_found',
  object_not_found: 'not_found',
  bucket_not_found: 'not_found',
  job_not_found: 'not_found',
  log_exists: 'conflict',
  log_not_archived: 'conflict',
  snapshot_exists: 'conflict',
  directory_in_use: 'conflict',
  directory_not_empty: 'conflict',
  file_exists: 'conflict',
  object_exists: 'conflict',
  archive_diverged: 'conflict',
  archive_foreign: 'conflict',
  offset_unexpected: 'conflict',
  producer_sequence_gap: 'conflict',
  producer_append_differs: 'conflict',
  producer_append_gone: 'conflict',
  producer_append_old: 'conflict',
  writer_fenced: 'fenced',
  producer_fenced: 'fenced',
  memory_full: 'overloaded',
  disk_budget_full: 'overloaded',
  queue_full: 'overloaded',
  producers_full: 'overloaded',
  query_limit: 'overloaded',
  disk_full: 'unavailable',
  disk_read_only: 'unavailable',
  disk_stuck: 'unavailable',
  disk_failed: 'unavailable',
  file_system_failed: 'unavailable',
  store_unavailable: 'unavailable',
  store_unsupported: 'unavailable',
  store_denied: 'unavailable',
  server_unavailable: 'unavailable',
  object_offline: 'unavailable',
  sink_unavailable: 'unavailable',
  aborted: 'aborted',
  timeout: 'aborted',
  engine_closed: 'closed',
  wal_corrupt: 'corrupt',
  segment_corrupt: 'corrupt',
  manifest_corrupt: 'corrupt',
  object_corrupt: 'corrupt',
  file_corrupt: 'corrupt',
  snapshot_corrupt: 'corrupt',
  offset_gap: 'corrupt',
  query_failed: 'internal',
  internal: 'internal',
} as const

export type ErrorCode = keyof typeof ERROR_CODES

export interface StratalogErrorOptions {
  readonly cause?: unknown
  /** Facts a program can use: path, key, position, offsets, expected, given. JSON-compatible. */
  readonly details?: Readonly<Record<string, unknown>>
}

export class StratalogError extends Error {
  override readonly name = 'StratalogError'
  readonly kind: ErrorKind
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, options: StratalogErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.kind = ERROR_CODES[code]
    this.code = code
    this.details = options.details ?? {}
  }

  toJSON(): {
    kind: ErrorKind
    code: ErrorCode
    message: string
    details: Readonly<Record<string, unknown>>
  } {
    return { kind: this.kind, code: this.code, message: this.message, details: this.details }
  }
}

export function isStratalogError(error: unknown): error is StratalogError {
  return error instanceof StratalogError
}

/** Brings whatever was thrown to a StratalogError; what is not ours becomes `internal` with the original as cause. */
export function toStratalogError(error: unknown): StratalogError {
  if (error instanceof StratalogError) return error
  if (error instanceof Error && error.name === 'AbortError') {
    return new StratalogError('aborted', 'The operation was aborted.', { cause: error })
  }
  if (error instanceof Error && error.name === 'TimeoutError') {
    return new StratalogError('timeout', 'The operation took too long.', { cause: error })
  }
  const message = error instanceof Error ? error.message : String(error)
  return new StratalogError('internal', message, { cause: error })
}

/** Throws `aborted` when the signal has fired; call it at the start of a step that can be cancelled. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new StratalogError('aborted', 'The operation was aborted.', { cause: signal.reason })
  }
}

/** What an async function that throws `error` returns, for functions that answer at once where they can. */
export async function rejected(error: unknown): Promise<never> {
  throw error
}
