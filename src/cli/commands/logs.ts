/** `logs create|list|describe|alter|delete`, and `fork`. */
import { StratalogError } from '../../base/errors.ts'
import type { LogDescription } from '../../engine/log-description.ts'
import type { Log } from '../../engine/log.ts'
import { formatBytes, formatCount, formatDuration } from '../../base/units.ts'
import type { StoragePolicy } from '../../format/manifest.ts'
import type { StorageChanges } from '../../engine/config.ts'
import { type FlagValues, givenPolicy, withoutPolicy } from '../config-flags.ts'
import { type CreateFlags, createOptions, createRemoteLog } from '../create-log.ts'
import { withReader, withWriter } from '../engine-access.ts'
import { renderTable } from '../output/table.ts'
import { type RemoteLog, descriptionOf, logPath, remoteLog, remoteLogs } from '../remote-logs.ts'
import { Remote, type RemoteRequest } from '../remote.ts'
import { type Session, writeDocument } from '../session.ts'

export async function createLog(
  session: Session,
  name: string,
  flags: FlagValues & CreateFlags,
): Promise<void> {
  const remote = Remote.of(session, flags)
  const log =
    remote === null
      ? await withWriter(session, flags, async (db, { defaults = {} }) => {
          const made = await db.createLog(name, await createOptions(flags, defaults))
          return made.describe()
        })
      : descriptionOf(await createRemoteLog(remote, name, flags))
  await showLog(session, log)
}

export async function describeLog(
  session: Session,
  name: string,
  flags: FlagValues,
): Promise<void> {
  const remote = Remote.of(session, flags)
  const log =
    remote === null
      ? await withReader(session, flags, async (reading) => reading.log(name).describe())
      : descriptionOf(await remoteLog(remote, name))
  await showLog(session, log)
}

/** The policy flags that are given change; those named by `--reset` go back to their defaults. */
export async function alterLog(
  session: Session,
  name: string,
  flags: FlagValues & { readonly reset?: readonly string[] },
): Promise<void> {
  const resets = (flags.reset ?? []).map((key) => [camelCase(key), null] as const)
  const storage: StorageChanges = { ...Object.fromEntries(resets), ...givenPolicy(flags) }
  const remote = Remote.of(session, flags)
  const log =
    remote === null
      ? await withWriter(session, withoutPolicy(flags), async (db) =>
          (await db.alterLog(name, { storage })).describe(),
        )
      : await changedLog(remote, logPath(name), { method: 'PATCH', body: { storage } })
  await showLog(session, log)
}

/**
 * Asks first, unless it was told not to.
 * @throws StratalogError `aborted`, `argument_invalid` where nobody can answer.
 */
export async function deleteLog(
  session: Session,
  name: string,
  { yes, ...flags }: FlagValues & { readonly yes?: boolean },
): Promise<void> {
  const confirmed = async (log: LogDescription): Promise<LogDescription> => {
    if (yes !== true) await confirmDeletion(session, log.name)
    return log
  }
  const remote = Remote.of(session, flags)
  const log =
    remote === null
      ? await withWriter(session, flags, async (db) => {
          const deleted = await confirmed(db.log(name).describe())
          await db.deleteLog(name)
          return deleted
        })
      : await deleteRemoteLog(remote, await confirmed(await remoteLog(remote, name)))
  if (session.json) await writeDocument(session, log)
  else await session.terminal.write(`${log.name} is deleted\n`)
}

async function confirmDeletion({ terminal, signal }: Session, name: string): Promise<void> {
  if (!terminal.isInteractive) {
    throw new StratalogError(
      'argument_invalid',
      `Log '${name}' is deleted with all its records only with --yes: there is no terminal to ask on.`,
      { details: { log: name } },
    )
  }
  const answer = await terminal.ask(`Delete log '${name}' with all its records? [y/N] `, signal)
  if (/^y(es)?$/i.test(answer.trim())) return
  throw new StratalogError('aborted', 'Nothing was deleted.')
}

async function deleteRemoteLog(remote: Remote, log: LogDescription): Promise<LogDescription> {
  const answer = await remote.ask(`/v1/logs/${encodeURIComponent(log.name)}`, { method: 'DELETE' })
  // Its connection is free once it was read to its end, and holds up the process until then.
  answer.resume()
  return log
}

export interface ForkFlags extends FlagValues {
  readonly log?: string
  readonly as?: string
  readonly atOffset?: number
  readonly at?: number
  readonly snapshot?: string
}

export async function forkLog(session: Session, flags: ForkFlags): Promise<void> {
  const { log: source, as, atOffset, at, snapshot, ...rest } = flags
  if (source === undefined || as === undefined)
    throw new StratalogError(
      'argument_invalid',
      'Name the log with --log and the new one with --as.',
    )
  const options = {
    ...(atOffset === undefined ? {} : { atOffset }),
    ...(at === undefined ? {} : { at }),
    ...(snapshot === undefined ? {} : { snapshot }),
  }
  const remote = Remote.of(session, rest)
  const fork = { method: 'POST', body: { as, ...options } } as const
  const log =
    remote === null
      ? await withWriter(session, rest, async (db) =>
          (await db.fork(source, as, options)).describe(),
        )
      : await changedLog(remote, `${logPath(source)}/fork`, fork)
  await showLog(session, log)
}

async function changedLog(
  remote: Remote,
  path: string,
  request: RemoteRequest,
): Promise<LogDescription> {
  return descriptionOf(await remote.json<RemoteLog>(path, request))
}

function camelCase(key: string): string {
  return key.trim().replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

export async function listLogs(session: Session, flags: FlagValues): Promise<void> {
  const remote = Remote.of(session, flags)
  const logs =
    remote === null
      ? await withReader(session, flags, async (reading) =>
          reading.logs().map((log: Pick<Log, 'describe'>) => log.describe()),
        )
      : await remoteLogs(remote)
  if (session.json) {
    await writeDocument(session, logs)
    return
  }
  const rows = logs.map(({ name, partitions, schema, policy }) => [
    name,
    formatCount(partitions),
    formatCount(schema.length),
    policyText(policy),
  ])
  const columns = [
    { name: 'log' },
    { name: 'partitions', align: 'right' as const },
    { name: 'columns', align: 'right' as const },
    { name: 'policy' },
  ]
  await session.terminal.write(renderTable(columns, rows))
}

async function showLog(session: Session, log: LogDescription): Promise<void> {
  if (session.json) {
    await writeDocument(session, log)
    return
  }
  const partitions =
    log.partitions === 1 ? '1 partition' : `${formatCount(log.partitions)} partitions`
  const loss = log.rpoMs === null || log.rpoMs === 0 ? '' : `, RPO ${formatDuration(log.rpoMs)}`
  await session.terminal.write(`${log.name}: ${policyText(log.policy)}${loss}; ${partitions}\n`)
  const rows = log.schema.map(({ name, type, nullable }) => [
    name,
    type,
    nullable ? 'yes' : 'no',
    roleOf(log, name),
  ])
  const head = [{ name: 'column' }, { name: 'type' }, { name: 'nullable' }, { name: 'role' }]
  if (rows.length > 0) await session.terminal.write(renderTable(head, rows))
  else await session.terminal.write('Its columns come with its first record.\n')
}

function roleOf(log: LogDescription, column: string): string {
  const roles = [column === log.timeColumn ? 'time' : '', column === log.keyColumn ? 'key' : '']
  return roles.filter((role) => role !== '').join(', ')
}

/** A policy in a line: the mode and when records move. */
export function policyText(policy: StoragePolicy): string {
  if (policy.mode === 'memory') return `memory, eviction ${policy.evictionPolicy}`
  const after = (label: string, ms: number | null): string =>
    ms === null ? '' : `${label} ${formatDuration(ms)}`
  const steps = [
    after('disk after', policy.diskAfter),
    after('out of RAM after', policy.memoryTtl),
    after('archive after', policy.archiveAfter),
    after('off disk after', policy.diskTtl),
    policy.segmentFormat === 'parquet' ? 'as Parquet' : '',
    after('as Parquet after', policy.parquetAfter),
    policy.keep === 'latest' ? 'keeps the latest of each key' : '',
    after('gone after', policy.retention),
    policy.retentionBytes === null
      ? ''
      : `gone above ${formatBytes(policy.retentionBytes)} a partition`,
  ]
  return [policy.mode, `ack ${policy.ack}`, ...steps].filter((step) => step !== '').join(', ')
}
