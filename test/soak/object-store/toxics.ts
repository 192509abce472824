/** What is done to the operations of a store: all of the first to each of the second. */
import type { StoreOperation, Toxic } from '../../support/toxic-proxy.ts'

export interface PlannedToxic {
  readonly operation: StoreOperation
  readonly toxic: Toxic
  /** Which call of that operation, from 0. */
  readonly index: number
}

export const TOXICS: readonly Toxic[] = [
  { kind: 'error-before' },
  { kind: 'reply-lost' },
  { kind: 'late', afterMs: 700 },
  { kind: 'truncated' },
  { kind: 'dripping' },
  { kind: 'wrong-bytes' },
  { kind: 'status', status: 403, code: 'AccessDenied' },
  { kind: 'status', status: 404, code: 'NoSuchKey' },
  { kind: 'status', status: 409, code: 'ConditionalRequestConflict' },
  { kind: 'status', status: 412, code: 'PreconditionFailed' },
  { kind: 'status', status: 429, code: 'TooManyRequests' },
  { kind: 'status', status: 500, code: 'InternalError' },
  { kind: 'status', status: 503, code: 'SlowDown' },
]

export const OPERATIONS: readonly StoreOperation[] = [
  'put',
  'put-if-absent',
  'get',
  'range',
  'head',
  'list',
  'delete',
]

/** Of a put in parts. */
export const PART_OPERATIONS: readonly StoreOperation[] = [
  'begin',
  'part',
  'end',
  'abort',
  'list-uploads',
]

export function nameOf(toxic: Toxic): string {
  return toxic.kind === 'status' ? `${toxic.status}` : toxic.kind
}
