/** Schemas as logs store them: the user's fields, then the stamped time where the engine keeps it. Pure. */
import { StratalogError } from '../base/errors.ts'
import { COLUMNS_MAX } from './limits.ts'
import {
  type Field,
  type Schema,
  STAMPED_TIME_COLUMN,
  TOMBSTONE_COLUMN,
  countColumns,
  isColumnType,
  isNestedType,
  isWidening,
  timestampUnit,
} from './schema.ts'
import { assertColumnName } from './schema-inference.ts'
import { sharedSchema } from './shared-schema.ts'

const STAMPED_TIME_FIELD: Field = {
  name: STAMPED_TIME_COLUMN,
  type: 'timestamp[ms]',
  nullable: false,
}

/**
 * The stored schema of a log: `fields`, and `_time` unless the log names a time column.
 * @throws StratalogError `schema_invalid` for a key column of lists or structs.
 */
export function storedSchema(
  id: number,
  fields: readonly Field[],
  timeColumn: string | null,
  keyColumn: string | null = null,
): Schema {
  assertKeyType(fields, keyColumn)
  return sharedSchema({
    id,
    fields: timeColumn === null ? [...fields, STAMPED_TIME_FIELD] : fields,
  })
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
      return (
        other?.name === field.name && other.type === field.type && other.nullable === field.nullable
      )
    })
  )
}

/**
 * Checks declared fields. @throws StratalogError `schema_invalid` naming the column and what is wrong with it.
 */
export function assertFields(
  fields: readonly Field[],
  timeColumn: string | null,
  keyColumn: string | null,
): void {
  assertDistinct(fields)
  for (const field of fields) assertField(field)
  assertRole(fields, timeColumn, 'timeColumn')
  assertRole(fields, keyColumn, 'keyColumn')
  assertKeyType(fields, keyColumn)
  const time = fields.find((field) => field.name === timeColumn)
  if (time !== undefined && timestampUnit(time.type) === null) {
    throw invalid(
      `The time column ${JSON.stringify(time.name)} is ${time.type}; it needs to be a timestamp.`,
    )
  }
}

function assertField({ name, type }: Field): void {
  assertColumnName(name)
  if (!isColumnType(type))
    throw invalid(`Column ${JSON.stringify(name)}: ${JSON.stringify(type)} is not a column type.`)
  if (name === TOMBSTONE_COLUMN && type !== 'bool')
    throw invalid(`${TOMBSTONE_COLUMN} is of type bool.`)
}

function assertDistinct(fields: readonly Field[]): void {
  const count = countColumns(fields)
  if (count > COLUMNS_MAX)
    throw invalid(
      `A log has at most ${COLUMNS_MAX} columns, those inside of lists and structs included; got ${count}.`,
    )
  const names = new Set<string>()
  for (const { name } of fields) {
    if (names.has(name)) throw invalid(`Column ${JSON.stringify(name)} is declared twice.`)
    names.add(name)
  }
}

function assertRole(fields: readonly Field[], name: string | null, role: string): void {
  if (name !== null && !fields.some((field) => field.name === name)) {
    throw invalid(`${role} names ${JSON.stringify(name)}, which is not among the columns.`)
  }
}

/** Equal keys are equal texts, which lists and structs have not. */
function assertKeyType(fields: readonly Field[], keyColumn: string | null): void {
  const key = fields.find((field) => field.name === keyColumn)
  if (key === undefined || !isNestedType(key.type)) return
  throw invalid(
    `The key column ${JSON.stringify(key.name)} is ${key.type}; a key is a scalar, such as utf8 or int64.`,
  )
}

/**
 * The fields a log needs to take columns of `given`: its own, widened where needed, then new nullable ones. `own` is
 * null for a log that has no schema yet; then the new ones may be required.
 * @throws StratalogError `schema_mismatch` naming the column and both types; `schema_invalid` for names, types and
 * counts.
 */
export function mergeFields(
  own: readonly Field[] | null,
  given: readonly Field[],
): readonly Field[] {
  assertDistinct(given)
  const fields = new Map((own ?? []).map((field) => [field.name, field]))
  for (const field of given) {
    const known = fields.get(field.name)
    if (known === undefined) {
      assertField(field)
      fields.set(field.name, {
        name: field.name,
        type: field.type,
        nullable: own !== null || field.nullable,
      })
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
  const merged = [...fields.values()]
  assertDistinct(merged)
  return merged
}

function invalid(message: string): StratalogError {
  return new StratalogError('schema_invalid', message)
}

/** Why `next` cannot follow `last`: a value of a column of `last` would have no place in it. */
export function evolutionProblem(last: Schema | undefined, next: Schema): string | null {
  const types = new Map(next.fields.map((field) => [field.name, field.type]))
  if (types.size !== next.fields.length) return 'two columns have one name'
  for (const field of last?.fields ?? []) {
    const type = types.get(field.name)
    if (type === undefined) return `column ${field.name} is gone`
    if (type !== field.type && !isWidening(field.type, type))
      return `column ${field.name} was ${field.type}, not ${type}`
  }
  return null
}
