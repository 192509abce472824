/** Making a log from flags, and finding the one that is there. */
import { readFile } from 'node:fs/promises'
import { StratalogError } from '../base/errors.ts'
import { parseLogName } from '../base/log-name.ts'
import { tryParseBytes, tryParseDuration } from '../base/units.ts'
import { type ColumnType, type Field, isColumnType } from '../format/schema.ts'
import type { StorageOptions } from '../engine/config.ts'
import type { Log } from '../engine/log.ts'
import type { Stratalog } from '../engine/stratalog.ts'

/** The flags of every command that can make a log. */
export interface CreateFlags {
  readonly partitions?: number
  readonly timeColumn?: string
  readonly keyColumn?: string
  readonly schema?: string
}

/** What an input knows of the log it would like: used where the flags say nothing. */
export interface LogHints {
  readonly fields?: readonly Field[]
  readonly timeColumn?: string
}

export async function createLogFromFlags(
  db: Stratalog,
  name: string,
  flags: CreateFlags,
  storage: StorageOptions,
  hints: LogHints = {},
): Promise<Log> {
  const schema = flags.schema === undefined ? hints.fields : await readSchemaFile(flags.schema)
  const timeColumn = flags.timeColumn ?? hints.timeColumn
  return await db.createLog(name, {
    storage,
    ...(schema === undefined ? {} : { schema }),
    ...(timeColumn === undefined ? {} : { timeColumn }),
    ...(flags.partitions === undefined ? {} : { partitions: flags.partitions }),
    ...(flags.keyColumn === undefined ? {} : { keyColumn: flags.keyColumn }),
  })
}

export interface LogWishes {
  /** The policy of a log that is made. */
  readonly storage: StorageOptions
  /** What flags alone say of the policy: it must hold for a log that is there. */
  readonly given: Readonly<Record<string, unknown>>
  readonly hints?: LogHints
}

/** @throws StratalogError `argument_invalid` when the log is there and flags say that it is another one. */
export async function openOrCreateLog(
  db: Stratalog,
  name: string,
  flags: CreateFlags,
  { storage, given, hints }: LogWishes,
): Promise<Log> {
  const wanted = parseLogName(name)
  const isThere = db.logs().some((log) => log.name === wanted)
  if (!isThere) return await createLogFromFlags(db, name, flags, storage, hints)
  const log = db.log(name)
  assertIsAsAsked(log, flags, given)
  return log
}

function assertIsAsAsked(log: Log, flags: CreateFlags, given: LogWishes['given']): void {
  const { policy, partitions, timeColumn, keyColumn } = log.describe()
  const actual: Readonly<Record<string, unknown>> = { ...policy, partitions, timeColumn, keyColumn }
  const asked = {
    ...given,
    partitions: flags.partitions,
    timeColumn: flags.timeColumn,
    keyColumn: flags.keyColumn,
  }
  for (const [key, value] of Object.entries(asked)) {
    if (value === undefined || isSame(value, actual[key])) continue
    throw new StratalogError(
      'argument_invalid',
      `The log '${log.name}' exists with its own policy: its ${key} is ${String(actual[key])}, not ${String(value)}. Leave the flag out, or name another log.`,
      { details: { log: log.name, key, given: value, actual: actual[key] } },
    )
  }
}

/** Durations and sizes are given as text such as `1h` and `4MB`, and kept as milliseconds and bytes. */
function isSame(given: unknown, actual: unknown): boolean {
  if (given === actual) return true
  if (typeof given !== 'string' || typeof actual !== 'number') return false
  return tryParseDuration(given) === actual || tryParseBytes(given) === actual
}

/** `{"a":"int64","b":"utf8"}`, all nullable, or `[{"name":"a","type":"int64","nullable":false}]`. */
async function readSchemaFile(path: string): Promise<readonly Field[]> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new StratalogError(
      'file_not_found',
      `The schema ${path} cannot be read: ${(error as Error).message}.`,
      {
        cause: error,
        details: { path },
      },
    )
  })
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new StratalogError(
      'schema_invalid',
      `The schema ${path} is not JSON: ${(error as Error).message}.`,
      { cause: error },
    )
  }
  return parseSchema(value, path)
}

export function parseSchema(value: unknown, where: string): readonly Field[] {
  const entries: readonly unknown[] | null = Array.isArray(value)
    ? value
    : typeof value === 'object' && value !== null
      ? Object.entries(value).map(([name, type]) => ({ name, type: type as unknown }))
      : null
  if (entries === null)
    throw new StratalogError(
      'schema_invalid',
      `${where} is neither an object nor an array of columns.`,
    )
  return entries.map((entry, index) => parseField(entry, `${where}: column ${index}`))
}

function parseField(entry: unknown, where: string): Field {
  const given = (typeof entry === 'object' && entry !== null ? entry : {}) as Readonly<
    Record<string, unknown>
  >
  const {
    name,
    type,
    nullable = true,
  } = given as { name?: unknown; type?: unknown; nullable?: unknown }
  if (typeof name !== 'string') throw new StratalogError('schema_invalid', `${where} has no name.`)
  if (!isColumnType(type)) {
    throw new StratalogError(
      'schema_invalid',
      `${where} (${name}): ${JSON.stringify(type)} is not a column type.`,
      {
        details: { column: name, given: type },
      },
    )
  }
  if (typeof nullable !== 'boolean')
    throw new StratalogError('schema_invalid', `${where} (${name}): nullable is true or false.`)
  return { name, type: type satisfies ColumnType, nullable }
}
