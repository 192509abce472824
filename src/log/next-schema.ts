/** Which schema a log has once it takes columns of these fields: the one it has, or the one after it. */
import { StratalogError } from '../base/errors.ts'
import type { LogDefinition } from '../format/manifest.ts'
import { mergeFields, sameFields, storedSchema, userFields } from '../format/schema-evolution.ts'
import { type Schema, STAMPED_TIME_COLUMN, timestampUnit } from '../format/schema.ts'

/**
 * For fields that are merged into those of the current schema.
 * @throws StratalogError `schema_mismatch`, `schema_invalid`.
 */
export function schemaWith(
  definition: LogDefinition,
  current: Schema | null,
  fields: Schema['fields'],
): Schema {
  const given = fields.filter((field) => field.name !== STAMPED_TIME_COLUMN)
  const merged = mergeFields(current === null ? null : userFields(current), given)
  return nextSchema(definition, current, merged)
}

/**
 * For all fields that there are to be.
 * @throws StratalogError `schema_mismatch` where a column with a role is missing.
 */
export function nextSchema(
  { name: log, timeColumn, keyColumn }: LogDefinition,
  current: Schema | null,
  fields: Schema['fields'],
): Schema {
  if (current !== null && sameFields(userFields(current), fields)) return current
  for (const [role, name] of Object.entries({ timeColumn, keyColumn })) {
    if (name === null || fields.some((field) => field.name === name)) continue
    throw new StratalogError(
      'schema_mismatch',
      `The first records of '${log}' lack ${role} '${name}'.`,
      { details: { log, column: name } },
    )
  }
  const id = current === null ? 0 : current.id + 1
  return storedSchema(id, withTimeColumn(fields, timeColumn), timeColumn, keyColumn)
}

/** A time column is of times and is never null: every record has its place in time. */
function withTimeColumn(fields: Schema['fields'], timeColumn: string | null): Schema['fields'] {
  return fields.map((field) => {
    if (field.name !== timeColumn) return field
    if (timestampUnit(field.type) === null) {
      throw new StratalogError(
        'schema_mismatch',
        `Column ${JSON.stringify(field.name)} is the time column and needs to be a timestamp; got ${field.type}.`,
        { details: { column: field.name, expected: 'timestamp[ms]', given: field.type } },
      )
    }
    return { ...field, nullable: false }
  })
}
