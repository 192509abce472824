import { StratalogError } from '../base/errors.ts'
import { type Schema, timestampUnit } from '../format/schema.ts'

/** A time column is of times and is never null: every record has its place in time. */
export function withTimeColumn(
  fields: Schema['fields'],
  timeColumn: string | null,
): Schema['fields'] {
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
