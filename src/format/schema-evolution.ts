/** Schemas as logs store them: the user's fields, then the stamped time where the engine keeps it. Pure. */
import { StratalogError } from '../base/errors.ts'
import { COLUMNS_MAX } from './limits.ts'
import {
  type Field,
  type Schema,
  STAMPED_TIME_COLUMN,
  TOMBSTONE_COLUMN,
  isColumnType,
  isWidening,
  timestampUnit,
} from './schema.ts'
import { assertColumnName } from './schema-inference.ts'

const STAMPED_TIME_FIELD: Field = { name: STAMPED_TIME_COLUMN, type: 'timestamp[ms]', nullable: false }

/** The stored schema of a log: `fields`, and `_time` unless the log names a time column. */
export function storedSchema(id: number, fields: readonly Field[], timeColumn: string | null): Schema {
  return { id, fields: timeColumn === null ? [...fields, STAMPED_TIME_FIELD] : fields }
}

/** The fields that the user sees. */
export function userFields(schema: Schema): readonly Field[] {
  return schema.fields.filter((field) => field.name !== STAMPED_TIME_COLUMN)
}

export function sameFields(a: readonly Field[], b: readonly Field[]): boolean {
  return (
    a.length === b.length &&
    a.every((field, index) => {
      const other = b[index]
      return other?.name === field.name && other.type === field.type && other.nullable === field.nullable
    })
  )
}

/**
 * Checks declared fields. @throws StratalogError `schema_invalid` naming the column and what is wrong with it.
 */
export function assertFields(fields: readonly Field[], timeColumn: string | null, keyColumn: string | null): void {
  const names = new Set<string>()
  if (fields.length > COLUMNS_MAX) throw invalid(`A log has at most ${COLUMNS_MAX} columns; got ${fields.length}.`)
  for (const field of fields) {
    assertColumnName(field.name)
    if (names.has(field.name)) throw invalid(`Column ${JSON.stringify(field.name)} is declared twice.`)
    if (!isColumnType(field.type)) {
      throw invalid(`Column ${JSON.stringify(field.name)}: ${JSON.stringify(field.type)} is not a column type.`)
    }
    if (field.name === TOMBSTONE_COLUMN && field.type !== 'bool') throw invalid(`${TOMBSTONE_COLUMN} is of type bool.`)
    names.add(field.name)
  }
  assertRole(fields, timeColumn, 'timeColumn')
  assertRole(fields, keyColumn, 'keyColumn')
  const time = fields.find((field) => field.name === timeColumn)
  if (time !== undefined && timestampUnit(time.type) === null) {
    throw invalid(`The time column ${JSON.stringify(time.name)} is ${time.type}; it needs to be a timestamp.`)
  }
}

function assertRole(fields: readonly Field[], name: string | null, role: string): void {
  if (name !== null && !fields.some((field) => field.name === name)) {
    throw invalid(`${role} names ${JSON.stringify(name)}, which is not among the columns.`)
  }
}

/**
 * The fields a log needs to take columns of `given`: its own, widened where needed, then new nullable ones.
 * @throws StratalogError `schema_mismatch` naming the column and both types.
 */
export function mergeFields(own: readonly Field[], given: readonly Field[]): readonly Field[] {
  const fields = new Map(own.map((field) => [field.name, field]))
  for (const field of given) {
    const known = fields.get(field.name)
    if (known === undefined) {
      assertColumnName(field.name)
      fields.set(field.name, { ...field, nullable: own.length > 0 || field.nullable })
    } else if (isWidening(known.type, field.type)) {
      fields.set(field.name, { ...known, type: field.type })
    } else if (known.type !== field.type && !isWidening(field.type, known.type)) {
      throw new StratalogError(
        'schema_mismatch',
        `Column ${JSON.stringify(field.name)}: expected ${known.type}, got ${field.type}. Nothing of this append was applied.`,
        { details: { column: field.name, expected: known.type, given: field.type } },
      )
    }
  }
  return [...fields.values()]
}

function invalid(message: string): StratalogError {
  return new StratalogError('schema_invalid', message)
}
