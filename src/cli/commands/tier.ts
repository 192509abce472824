/** `tier now`, `tier compact`, `tier collect`. */
import { formatBytes, formatCount } from '../../base/units.ts'
import { StratalogError } from '../../base/errors.ts'
import type { CollectReport } from '../../tiering/collect.ts'
import type { TierReport, TierTarget } from '../../tiering/scheduler.ts'
import type { FlagValues } from '../config-flags.ts'
import { withWriter } from '../engine-access.ts'
import { renderTable } from '../output/table.ts'
import { type Session, note, writeDocument } from '../session.ts'

export interface TierFlags extends FlagValues {
  readonly log?: readonly string[]
  readonly to?: TierTarget
}

/** @throws StratalogError `store_unavailable` when a partition could not move, after the report. */
export async function tierNow(session: Session, flags: TierFlags): Promise<void> {
  const report = await withWriter(session, flags, (db) =>
    db.tier.now({
      ...(flags.log === undefined ? {} : { logs: flags.log }),
      ...(flags.to === undefined ? {} : { to: flags.to }),
    }),
  )
  await showReport(session, report)
}

/** @throws StratalogError as `tierNow`. */
export async function tierCompact(session: Session, flags: TierFlags): Promise<void> {
  const { log } = flags
  const report = await withWriter(session, flags, (db) =>
    db.tier.compact(log === undefined ? {} : { logs: log }),
  )
  await showReport(session, report)
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
  const report = await withWriter(session, flags, (db) =>
    db.tier.collect({ dryRun, ...(grace === undefined ? {} : { grace }) }),
  )
  const { collected, bytes, pinned, waiting } = report
  if (session.json) {
    await writeDocument(session, { moved: [], pending: waiting, failed: [], ...report })
    return
  }
  await session.terminal.write(collectedTable(collected))
  const removed = `${formatCount(collected.length)} objects, ${formatBytes(bytes)}`
  const kept = `${formatCount(waiting)} wait for their grace, ${formatCount(pinned)} are held by snapshots`
  note(session, `${removed} ${dryRun ? 'would be removed' : 'removed'}; ${kept}`)
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
