/** `tier now`, `pause`, `resume`, `describe`, `compact`, `collect`, `attach`, `detach`. */
import { formatBytes, formatCount, formatDuration } from '../../base/units.ts'
import { StratalogError } from '../../base/errors.ts'
import type { EngineStatus, LogStatus } from '../../engine/status.ts'
import type { TierControl } from '../../engine/tier-control.ts'
import type { CollectReport } from '../../tiering/collect.ts'
import type { TierReport, TierTarget } from '../../tiering/steps.ts'
import type { FlagValues } from '../config-flags.ts'
import { withWriter } from '../engine-access.ts'
import { renderTable } from '../output/table.ts'
import { Remote } from '../remote.ts'
import { type Session, note, writeDocument } from '../session.ts'
import { statusOf } from './status.ts'

/** Does a step in a directory, or asks a server for it: its body there has the same keys. */
export async function tierStep<T extends object>(
  session: Session,
  flags: FlagValues,
  step: string,
  asked: object,
  run: (tier: TierControl) => Promise<T>,
): Promise<T> {
  const remote = Remote.of(session, flags)
  if (remote !== null) return await askTier<T>(remote, step, asked)
  return await withWriter(session, flags, (db) => run(db.tier))
}

async function askTier<T>(remote: Remote, step: string, asked: object): Promise<T> {
  return await remote.json<T>(`/v1/tier/${step}`, { method: 'POST', body: asked })
}

export interface TierFlags extends FlagValues {
  readonly log?: readonly string[]
  readonly to?: TierTarget
}

/** @throws StratalogError `store_unavailable` when a partition could not move, after the report. */
export async function tierNow(session: Session, flags: TierFlags): Promise<void> {
  const asked = {
    ...(flags.log === undefined ? {} : { logs: flags.log }),
    ...(flags.to === undefined ? {} : { to: flags.to }),
  }
  const report = await tierStep(session, flags, 'now', asked, (tier) => tier.now(asked))
  await showReport(session, report)
}

/** Pauses what moves by itself, or lets it go on. @throws StratalogError `log_not_found`, `argument_invalid`. */
export async function tierPause(
  session: Session,
  flags: TierFlags,
  how: 'pause' | 'resume',
): Promise<void> {
  const { log } = flags
  const asked = log === undefined ? {} : { logs: log }
  const remote = Remote.of(session, flags)
  if (remote !== null) await askTier(remote, how, asked)
  const { paused, logs } =
    remote === null
      ? await withWriter(session, flags, async (db) => {
          await db.tier[how](asked)
          return db.status()
        })
      : await remote.json<EngineStatus>('/v1/status')
  const pending = logs.reduce((sum, { pendingRecords }) => sum + pendingRecords, 0)
  if (session.json) {
    const shown = logs.map(({ name, paused: own }) => ({ name, paused: own }))
    await writeDocument(session, { moved: [], pending, failed: [], paused, logs: shown })
    return
  }
  const still = logs.filter((entry) => entry.paused !== null).map(({ name }) => name)
  const which = paused !== null ? 'all logs' : still.length === 0 ? 'no log' : still.join(', ')
  note(session, `paused: ${which}`)
}

export interface OneLogFlags extends FlagValues {
  readonly log: string
}

/** @throws StratalogError `argument_invalid` without an archive, `log_exists`, `log_not_found`. */
export async function tierAttach(session: Session, { log, ...flags }: OneLogFlags): Promise<void> {
  const attached = await tierStep(session, flags, 'attach', { log }, (tier) => tier.attach(log))
  if (session.json) {
    await writeDocument(session, { moved: [], pending: 0, failed: [], ...attached })
    return
  }
  const { records, segments, bytes } = attached
  const what = `${formatCount(records)} records, ${formatCount(segments)} segments`
  note(session, `attached ${log}: ${what}, ${formatBytes(bytes)} in the archive`)
}

/** @throws StratalogError `argument_invalid` without an archive, `log_not_found`, `log_not_archived`. */
export async function tierDetach(session: Session, { log, ...flags }: OneLogFlags): Promise<void> {
  const report = await tierStep(session, flags, 'detach', { log }, (tier) => tier.detach(log))
  if (session.json) await writeDocument(session, { ...report, log })
  else note(session, `detached ${log}: ${formatCount(report.moved.length)} files are removed`)
}

/** @throws StratalogError as `tierNow`. */
export async function tierCompact(session: Session, flags: TierFlags): Promise<void> {
  const { log } = flags
  const asked = log === undefined ? {} : { logs: log }
  const report = await tierStep(session, flags, 'compact', asked, (tier) => tier.compact(asked))
  await showReport(session, report)
}

/** @throws StratalogError `log_not_found`. */
export async function tierDescribe(session: Session, flags: TierFlags): Promise<void> {
  const status = await statusOf(session, flags)
  const names = new Set(flags.log)
  for (const name of names) {
    if (status.logs.some((log) => log.name === name)) continue
    throw new StratalogError('log_not_found', `There is no log '${name}'.`, {
      details: { log: name, logs: status.logs.map((log) => log.name) },
    })
  }
  const logs = status.logs.filter(({ name }) => names.size === 0 || names.has(name))
  const pending = logs.reduce((sum, log) => sum + log.pendingRecords, 0)
  if (session.json) await writeDocument(session, { moved: [], pending, failed: [], logs })
  else await session.terminal.write(movesAhead(logs))
}

function movesAhead(logs: readonly LogStatus[]): string {
  const right = 'right' as const
  const columns = [
    { name: 'log' },
    { name: 'partition', align: right },
    { name: 'next' },
    { name: 'in', align: right },
    { name: 'because' },
    { name: 'flush lag', align: right },
    { name: 'upload lag', align: right },
    { name: 'last error' },
  ]
  const rows = logs.flatMap(({ name, partitions }) =>
    partitions.map(({ partition, next, lag, lastError }) => [
      name,
      String(partition),
      next?.action ?? 'nothing',
      next === null ? '' : formatDuration(next.inMs),
      next?.why ?? '',
      formatDuration(lag.flushMs),
      formatDuration(lag.uploadMs),
      lastError ?? '',
    ]),
  )
  return rows.length === 0 ? '' : renderTable(columns, rows)
}

async function showReport(session: Session, report: TierReport): Promise<void> {
  if (session.json) {
    await writeDocument(session, report)
  } else {
    await session.terminal.write(movesTable(report.moved))
    note(
      session,
      `${formatCount(report.moved.length)} moved, ${formatCount(report.pending)} pending, ${formatCount(report.failed.length)} failed`,
    )
  }
  const first = report.failed[0]
  if (first !== undefined) {
    throw new StratalogError(
      'store_unavailable',
      `${first.log}/${first.partition} could not move: ${first.message}`,
      {
        details: { failed: report.failed },
      },
    )
  }
}

export interface CollectFlags extends FlagValues {
  readonly dryRun?: boolean
  readonly grace?: string
}

/** @throws StratalogError `argument_invalid` without an archive, `store_unavailable`. */
export async function tierCollect(session: Session, flags: CollectFlags): Promise<void> {
  const { dryRun = false, grace } = flags
  const asked = { dryRun, ...(grace === undefined ? {} : { grace }) }
  const report = await tierStep(session, flags, 'collect', asked, (tier) => tier.collect(asked))
  const { collected, bytes, pinned, waiting, rewritten, orphans } = report
  if (session.json) {
    await writeDocument(session, { moved: [], pending: waiting, failed: [], ...report })
    return
  }
  await session.terminal.write(collectedTable(collected))
  const removed = `${formatCount(collected.length)} objects, ${formatBytes(bytes)}`
  const kept = `${formatCount(waiting)} wait for their grace, ${formatCount(pinned)} are held by snapshots`
  note(session, `${removed} ${dryRun ? 'would be removed' : 'removed'}; ${kept}`)
  if (rewritten > 0)
    note(session, `${formatCount(rewritten)} packs ${dryRun ? 'would be' : 'were'} written anew`)
  await session.terminal.write(orphansTable(orphans))
  note(session, `${formatCount(orphans.length)} that nothing names`)
}

function orphansTable(orphans: CollectReport['orphans']): string {
  const columns = [
    { name: 'left over' },
    { name: 'what' },
    { name: 'bytes', align: 'right' as const },
    { name: 'object' },
  ]
  const rows = orphans.map(({ key, kind, bytes, state }) => [
    state,
    kind,
    bytes === null ? '' : formatBytes(bytes),
    key,
  ])
  return rows.length === 0 ? '' : renderTable(columns, rows)
}

function collectedTable(objects: CollectReport['collected']): string {
  const right = 'right' as const
  const columns = [
    { name: 'log' },
    { name: 'partition', align: right },
    { name: 'from', align: right },
    { name: 'to', align: right },
    { name: 'bytes', align: right },
    { name: 'object' },
  ]
  const rows = objects.map(({ log, partition, from, to, bytes, key }) => [
    log,
    String(partition),
    formatCount(from),
    formatCount(to),
    formatBytes(bytes),
    key,
  ])
  return rows.length === 0 ? '' : renderTable(columns, rows)
}

interface Move {
  readonly log: string
  readonly partition: number
  readonly from: number
  readonly to: number
  readonly fromTier: string
  readonly toTier: string
  readonly bytes: number
}

function movesTable(moved: readonly Move[]): string {
  const right = 'right' as const
  const columns = [
    { name: 'log' },
    { name: 'partition', align: right },
    { name: 'from', align: right },
    { name: 'to', align: right },
    { name: 'tiers' },
    { name: 'bytes', align: right },
  ]
  const rows = moved.map((move) => [
    move.log,
    String(move.partition),
    formatCount(move.from),
    formatCount(move.to),
    `${move.fromTier} → ${move.toTier}`,
    formatBytes(move.bytes),
  ])
  return rows.length === 0 ? '' : renderTable(columns, rows)
}
