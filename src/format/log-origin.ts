/** A log that a fork shares segments with, in the definition of the fork: `{"logId","endOffsets"}`. */
import type { JsonFields } from './json-fields.ts'
import type { LogOrigin } from './manifest.ts'

export function logOriginJson({ logId, endOffsets }: LogOrigin): unknown {
  return { logId, endOffsets }
}

export function logOriginOf(fields: JsonFields): LogOrigin {
  const origin = { logId: fields.integer('logId', 1), endOffsets: fields.integers('endOffsets') }
  fields.end()
  return origin
}
