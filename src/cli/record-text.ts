import type { JsonRecord } from '../engine/json-record.ts'

/** Text as a JSON value; in every Node that this runs on, in TypeScript's library later. */
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => unknown }

/** A record as a line of NDJSON that `parseJsonRecord` reads as the same: integers keep their digits. */
export function recordText(record: JsonRecord): string {
  return JSON.stringify(record, (_key, value: unknown) =>
    typeof value === 'bigint' ? rawJSON(String(value)) : value,
  )
}
