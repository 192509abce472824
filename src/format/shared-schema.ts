/**
 * One object for equal schemas: 100,000 logs of one shape hold one schema between them, and what is made for a schema
 * is found by its identity. An object that is not shared means no less.
 */
import type { Schema } from './schema.ts'

/** Schemas that are kept; of more, the ones that came first are forgotten, and are shared no further. */
const SCHEMAS_MAX = 512
/** A schema of more columns is not worth its key. */
const COLUMNS_MAX_SHARED = 64

const schemas = new Map<string, Schema>()

export function sharedSchema(schema: Schema): Schema {
  if (schema.fields.length > COLUMNS_MAX_SHARED) return schema
  let key = String(schema.id)
  // Texts come behind their lengths, so that no name can pass for more than one.
  for (const { name, type, nullable } of schema.fields)
    key += ` ${nullable ? 1 : 0} ${type.length} ${type} ${name.length} ${name}`
  const known = schemas.get(key)
  if (known !== undefined) return known
  if (schemas.size >= SCHEMAS_MAX) schemas.delete(schemas.keys().next().value ?? key)
  schemas.set(key, schema)
  return schema
}
