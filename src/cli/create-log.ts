/** Making a log from flags, and finding the one that is there. */
import { readFile } from 'node:fs/promises'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { parseLogName } from '../base/log-name.ts'
import { tryParseBytes, tryParseDuration } from '../base/units.ts'
import { type ColumnType, type Field, isColumnType } from '../format/schema.ts'
import type { StorageOptions } from '../engine/config.ts'
import type { CreateLogOptions } from '../engine/create-log.ts'
import type { LogDescription } from '../engine/log-description.ts'
import { type AppendTarget, localTarget, remoteTarget } from './append-target.ts'
import { type FlagValues, givenConfiguration, givenPolicy } from './config-flags.ts'
import { withWriter } from './engine-access.ts'
import { type RemoteLog, remoteLog } from './remote-logs.ts'
import { Remote } from './remote.ts'
import type { Session } from './session.ts'

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

/** What the flags say of a log that is made. */
export async function createOptions(
  flags: CreateFlags,
  storage: StorageOptions,
  hints: LogHints = {},
): Promise<CreateLogOptions> {
  const schema = flags.schema === undefined ? hints.fields : await readSchemaFile(flags.schema)
  const timeColumn = flags.timeColumn ?? hints.timeColumn
  return {
    storage,
    ...(schema === undefined ? {} : { schema }),
    ...(timeColumn === undefined ? {} : { timeColumn }),
    ...(flags.partitions === undefined ? {} : { partitions: flags.partitions }),
    ...(flags.keyColumn === undefined ? {} : { keyColumn: flags.keyColumn }),
  }
}

/**
 * Opens the log that records go to; one that is not there is made.
 * @throws StratalogError `argument_invalid` when it is there and flags say that it is another one.
 */
export type OpenTarget = (name: string, hints?: LogHints) => Promise<AppendTarget>

/** Runs with what opens logs of a server or of a data directory, whichever the flags name. */
export async function withTargets<T>(
  session: Session,
  flags: CreateFlags & FlagValues,
  use: (open: OpenTarget) => Promise<T>,
): Promise<T> {
  const remote = Remote.of(session, flags)
  if (remote !== null) return await use((name, hints) => openRemote(remote, name, flags, hints))
  return await withWriter(session, flags, (db, { defaults = {} }) =>
    use(async (name, hints) => {
      const wanted = parseLogName(name)
      const isThere = db.logs().some((log) => log.name === wanted)
      if (!isThere)
        return localTarget(await db.createLog(name, await createOptions(flags, defaults, hints)))
      assertIsAsAsked(db.log(name).describe(), flags)
      return localTarget(db.log(name))
    }),
  )
}

async function openRemote(
  remote: Remote,
  name: string,
  flags: CreateFlags & FlagValues,
  hints: LogHints | undefined,
): Promise<AppendTarget> {
  const there = await remoteLog(remote, name).catch((error: unknown) => {
    if (isStratalogError(error) && error.code === 'log_not_found') return null
    throw error
  })
  if (there === null) return remoteTarget(remote, await createRemoteLog(remote, name, flags, hints))
  assertIsAsAsked(there, flags)
  return remoteTarget(remote, there)
}

export async function createRemoteLog(
  remote: Remote,
  name: string,
  flags: CreateFlags & FlagValues,
  hints: LogHints = {},
): Promise<RemoteLog> {
  const options = await createOptions(flags, policyOf(flags), hints)
  return await remote.json<RemoteLog>('/v1/logs', { method: 'POST', body: { name, ...options } })
}

/** The policy of flags and file; the server looks at it. */
function policyOf(flags: FlagValues): StorageOptions {
  const { defaults } = givenConfiguration(flags)
  const given: object = typeof defaults === 'object' && defaults !== null ? defaults : {}
  return { ...given, ...givenPolicy(flags) }
}

function assertIsAsAsked(log: LogDescription, flags: CreateFlags & FlagValues): void {
  const { policy, partitions, timeColumn, keyColumn } = log
  const actual: Readonly<Record<string, unknown>> = { ...policy, partitions, timeColumn, keyColumn }
  const asked = {
    ...givenPolicy(flags),
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
