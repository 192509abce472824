/** `tier now`. */
import { formatBytes, formatCount } from '../../base/units.ts'
import { StratalogError } from '../../base/errors.ts'
import type { TierTarget } from '../../tiering/scheduler.ts'
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
