import { parseLogName } from '../base/log-name.ts'
import { PARTITIONS_MAX } from '../format/limits.ts'
import { assertFields, storedSchema } from '../format/schema-evolution.ts'
import type { ColumnType, Field } from '../format/schema.ts'
import type { LiveLog } from '../log/live-log.ts'
import { type ConfigProblem, type StorageOptions, configError } from './config.ts'
import type { Engine } from './engine.ts'
import { logExists } from './log-registry.ts'
import { resolvePolicy } from './storage-policy.ts'

export interface CreateLogOptions {
  /** Columns by name, or as fields. Left out, the log takes the schema of its first append. */
  readonly schema?: Readonly<Record<string, ColumnType>> | readonly Field[]
  /** Default 1. */
  readonly partitions?: number
  /** The column that holds each record's time; left out, the engine stamps `_time`. */
  readonly timeColumn?: string
  /** Records of one key go to one partition. */
  readonly keyColumn?: string
  readonly storage?: StorageOptions
}

const KNOWN_KEYS = ['schema', 'partitions', 'timeColumn', 'keyColumn', 'storage']

/**
 * Creates a log; when it resolves, the log survives a crash.
 * @throws StratalogError `log_exists`, `log_name_invalid`, `schema_invalid`, `config_invalid`.
 */
export async function createLog(
  engine: Engine,
  name: string,
  options: CreateLogOptions,
): Promise<LiveLog> {
  const logName = parseLogName(name)
  if (engine.registry.has(logName)) throw logExists(logName)
  const problems = optionProblems(options)
  if (problems.length > 0) throw configError(problems)
  const policy = resolvePolicy(options.storage ?? {}, engine.defaults, engine.surroundings)
  const timeColumn = options.timeColumn ?? null
  const keyColumn = options.keyColumn ?? null
  const fields = options.schema === undefined ? null : declaredFields(options.schema, timeColumn)
  if (fields !== null) assertFields(fields, timeColumn, keyColumn)
  const partitions = options.partitions ?? 1
  // Two creations may meet while the commit is under way: this stretch decides.
  const release = engine.registry.reserve(logName)
  if (release === null) throw logExists(logName)
  try {
    const state = await engine.commitLog((id) => ({
      definition: {
        id,
        name: logName,
        partitions,
        timeColumn,
        keyColumn,
        policy,
        createdAt: engine.ports.clock.now(),
      },
      schemas: fields === null ? [] : [storedSchema(0, fields, timeColumn)],
      partitions: Array.from({ length: partitions }, () => ({ startOffset: 0, segments: [] })),
    }))
    return engine.registry.add(state)
  } finally {
    release()
  }
}

function declaredFields(
  schema: NonNullable<CreateLogOptions['schema']>,
  timeColumn: string | null,
): readonly Field[] {
  const fields: readonly Field[] = Array.isArray(schema)
    ? (schema as readonly Field[]).map(({ name, type, nullable }) => ({
        name,
        type,
        nullable: nullable ?? true,
      }))
    : Object.entries(schema as Readonly<Record<string, ColumnType>>).map(([name, type]) => ({
        name,
        type,
        nullable: true,
      }))
  return fields.map((field) => (field.name === timeColumn ? { ...field, nullable: false } : field))
}

function optionProblems(options: CreateLogOptions): readonly ConfigProblem[] {
  const problems: ConfigProblem[] = []
  const { partitions, timeColumn, keyColumn, schema } = options
  for (const key of Object.keys(options)) {
    if (KNOWN_KEYS.includes(key)) continue
    const given = (options as Readonly<Record<string, unknown>>)[key]
    problems.push({
      path: key,
      given,
      allowed: `no such key; the keys are ${KNOWN_KEYS.join(', ')}`,
    })
  }
  if (
    partitions !== undefined &&
    !(Number.isInteger(partitions) && partitions >= 1 && partitions <= PARTITIONS_MAX)
  ) {
    problems.push({
      path: 'partitions',
      given: partitions,
      allowed: `a whole number from 1 to ${PARTITIONS_MAX}`,
    })
  }
  for (const [path, given] of Object.entries({ timeColumn, keyColumn })) {
    if (given !== undefined && typeof given !== 'string')
      problems.push({ path, given, allowed: 'the name of a column' })
  }
  if (schema !== undefined && (typeof schema !== 'object' || schema === null)) {
    problems.push({
      path: 'schema',
      given: schema,
      allowed: `columns by name, such as { user_id: 'int64' }`,
    })
  }
  return problems
}
