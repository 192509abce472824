import { parseLogName } from '../base/log-name.ts'
import { once } from '../base/once.ts'
import { PARTITIONS_MAX } from '../format/limits.ts'
import { SegmentEntries } from '../format/segment-entries.ts'
import type { PartitionState } from '../format/manifest.ts'
import { assertFields, storedSchema } from '../format/schema-evolution.ts'
import type { ColumnType, Field } from '../format/schema.ts'
import type { LiveLog } from '../log/live-log.ts'
import { assertObject } from './check-arguments.ts'
import { type ConfigProblem, configError } from './config-error.ts'
import type { StorageOptions } from './config.ts'
import type { Engine } from './engine.ts'
import { logExists } from './log-registry.ts'

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

const EMPTY_PARTITION: PartitionState = { startOffset: 0, segments: SegmentEntries.empty }

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
  assertObject(options, 'The options of createLog are an object')
  const { registry, policies, ports } = engine
  // Two creations may meet while a commit is under way: this decides.
  if (!registry.reserve(logName)) throw logExists(logName)
  try {
    const problems = optionProblems(options)
    if (problems.length > 0) throw configError(problems)
    const storage = options.storage === undefined ? {} : await checkedStorage(options.storage)
    const { partitions = 1, timeColumn = null, keyColumn = null, schema } = options
    const policy = policies.resolveFor(storage, keyColumn)
    const fields = schema === undefined ? null : declaredFields(schema, timeColumn)
    if (fields !== null) assertFields(fields, timeColumn, keyColumn)
    const createdAt = ports.clock.now()
    const state = await engine.commitLog((id) => ({
      definition: { id, name: logName, partitions, timeColumn, keyColumn, policy, createdAt },
      schemas: fields === null ? [] : [storedSchema(0, fields, timeColumn)],
      partitions: Array.from({ length: partitions }, () => EMPTY_PARTITION),
    }))
    return registry.add(state)
  } catch (error) {
    registry.release(logName)
    throw error
  }
}

/** The validator is loaded with the first options that need it. */
const loadConfig = once(() => import('./config.ts'))

async function checkedStorage(storage: unknown): Promise<StorageOptions> {
  const { validateStorage } = await loadConfig()
  return validateStorage(storage, 'storage')
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
  problems.push(...roleProblems('timeColumn', timeColumn), ...roleProblems('keyColumn', keyColumn))
  if (schema !== undefined && !isSchema(schema)) {
    problems.push({
      path: 'schema',
      given: schema,
      allowed: `columns by name, such as { user_id: 'int64' }`,
    })
  }
  return problems
}

/** Names and types are looked at with the schema as a whole. */
function isSchema(schema: unknown): boolean {
  if (!Array.isArray(schema)) return typeof schema === 'object' && schema !== null
  return schema.every((field: unknown) => typeof field === 'object' && field !== null)
}

function roleProblems(path: 'timeColumn' | 'keyColumn', given: unknown): readonly ConfigProblem[] {
  if (given === undefined || typeof given === 'string') return []
  return [{ path, given, allowed: 'the name of a column' }]
}
