/**
 * Clients that ask as of snapshots, and fork there, while everything else goes on: whatever moved, was compacted,
 * retired or let go of since, a snapshot of a log gives what it gave.
 */
import type { Dice } from './dice.ts'
import type { Life } from './life.ts'
import type { HeldLog, HeldSnapshot } from './model.ts'
import type { Values } from './records.ts'
import { isSuperseded } from './superseded.ts'
import { Violation } from './violation.ts'

/** A snapshot is let go of by nobody here, but its log may be, and another may have its name by then. */
const GONE_CODES = ['engine_closed', 'log_not_found', 'snapshot_not_found'] as const

export async function askOfSnapshot(life: Life, dice: Dice): Promise<void> {
  const { model, process } = life
  const asked = model.snapshots.flatMap((snapshot) =>
    snapshot.held.filter(isThere).map((held) => ({ snapshot, held })),
  )
  if (asked.length === 0) return
  const { snapshot, held } = dice.pick(asked)
  const rows = await readAsOf(life, snapshot.name, held)
  if (rows === null || !process.isAlive || !isThere(held)) return
  check(life, snapshot, held, rows)
  model.counts.moments++
  if (!life.setting.deletesLogs && dice.chance(0.3))
    await forkThere(life, dice, snapshot, held, rows)
}

function isThere({ log }: HeldLog): boolean {
  // What waits for an archive is not shown.
  return log.isCreated && !log.isDeleting && !log.isAway && !log.wasHidden
}

async function readAsOf(
  { db, checks, process }: Life,
  asOf: string,
  { log }: HeldLog,
): Promise<readonly Values[] | null> {
  const { name } = log.spec
  const doing = `reading ${name} as of ${asOf}`
  try {
    const found = await checks.patiently(process, doing, db.log(name).read({ asOf }).toArray())
    return found === 'dead' ? null : found
  } catch (error) {
    checks.explain(error, doing, GONE_CODES)
    return null
  }
}

function check(
  { model, world }: Life,
  snapshot: HeldSnapshot,
  { log, required }: HeldLog,
  rows: readonly Values[],
): void {
  const what = `${log.spec.name} as of ${snapshot.name}`
  const ids = new Set(rows.map((row) => Number(row['id'])))
  // Since it was asked for, a retention may have taken what lay before its first record.
  const startOf = (partition: number | undefined): number =>
    Number(rows.find((row) => row['_partition'] === partition)?.['_offset'] ?? Infinity)
  const lost = required.find(
    (submission) =>
      !ids.has(submission.id) &&
      !isSuperseded(log, submission, rows) &&
      !model.isRetired(log, submission, startOf(submission.place?.partition)),
  )
  if (lost !== undefined) throw new Violation('I1', `${what} does not hold append ${lost.id}`)
  const foreign = [...ids].find((id) => !log.byId.has(id))
  if (foreign !== undefined) throw new Violation('I2', `${what} holds append ${foreign}`)
  world.trace.add(`${what} holds ${rows.length} records`)
  if (log.spec.keepsLatest === true) return
  const text = textOfAll(rows)
  const before = snapshot.seen.get(log)
  snapshot.seen.set(log, text)
  if (before !== undefined && before !== text)
    throw new Violation('I10', `${what} is not what it was when it was asked before`)
}

/** Tiers are where it lies now, and the newest schema shows columns that came since. */
function textOfAll(rows: readonly Values[]): string {
  return rows
    .map(({ _partition, _offset, id, index, text }) =>
      [_partition, _offset, id, index, text].map(String).join(),
    )
    .join('\n')
}

async function forkThere(
  life: Life,
  dice: Dice,
  { name: snapshot }: HeldSnapshot,
  { log }: HeldLog,
  rows: readonly Values[],
): Promise<void> {
  const { db, checks, process } = life
  const name = `fork-${process.number}-${dice.uint32()}`
  const doing = `forking ${log.spec.name} at ${snapshot}`
  try {
    const forking = db.fork(log.spec.name, name, { snapshot })
    const fork = await checks.patiently(process, doing, forking)
    if (fork === 'dead') return
    const found = await checks.patiently(process, `reading ${name}`, fork.read().toArray())
    if (found === 'dead') return
    if (log.spec.keepsLatest !== true && textOfAll(found) !== textOfAll(rows))
      throw new Violation('I10', `a fork of ${log.spec.name} at ${snapshot} is another`)
    await checks.patiently(process, `deleting ${name}`, db.deleteLog(name))
  } catch (error) {
    // What is shared is flushed first, and the disk's budget may have no room.
    const full = checks.isDiskBounded ? (['file_system_failed'] as const) : []
    checks.explain(error, doing, [...GONE_CODES, ...full])
  }
}
