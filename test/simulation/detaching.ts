/**
 * Logs that are detached from the directory, and attached again from the archive. What was acknowledged of a log that
 * was detached is in the archive: it is there again when the log is. What was answered with an error may be done or
 * not, and the next life says.
 */
import type { Dice } from './dice.ts'
import type { LogModel } from './log-model.ts'
import type { Life } from './life.ts'
import { Violation } from './violation.ts'

/** @param bringDown brings everything to the archive, as far as that can be had. */
export async function detachOrAttach(
  life: Life,
  dice: Dice,
  bringDown: () => Promise<void>,
): Promise<void> {
  const { logs } = life.model
  const away = logs.filter((log) => log.away === 'surely')
  if (away.length > 0 && dice.chance(0.6)) return attach(life, dice.pick(away))
  const log = dice.pick(logs)
  const isArchived = log.spec.storage.mode === 'hybrid'
  const isThere = log.isCreated && !log.isDeleting && !log.isAway && !log.isChanging
  if (!isArchived || !isThere) return
  if (dice.chance(0.8)) await bringDown()
  if (!log.isDeleting && !log.isAway && !log.isChanging && life.process.isAlive)
    await detach(life, log)
}

async function detach(life: Life, log: LogModel): Promise<void> {
  const { db, model, process, checks, world } = life
  const { name } = log.spec
  log.away = 'perhaps'
  log.departures++
  model.pauses.forget(name)
  world.trace.add(`${name} is detached: begun`)
  try {
    const detaching = db.tier.detach(name)
    if ((await checks.patiently(process, `detaching ${name}`, detaching)) === 'dead') return
    log.away = 'surely'
    model.counts.detachedLogs++
    world.trace.add(`${name} is detached`)
    // Appends that were under way may be answered later: they were refused, or came before.
    for (const submission of model.acknowledgedNow(log)) submission.isDurable = true
  } catch (error) {
    checks.explain(error, `detaching ${name}`, ['log_not_archived', 'engine_closed'])
    if (process.isAlive && isListed(life, log)) log.away = null
  }
}

async function attach(life: Life, log: LogModel): Promise<void> {
  const { db, process, checks, world } = life
  const { name } = log.spec
  log.away = 'perhaps'
  try {
    const attaching = db.tier.attach(name)
    if ((await checks.patiently(process, `attaching ${name}`, attaching)) === 'dead') return
    log.away = null
    world.trace.add(`${name} is attached`)
  } catch (error) {
    checks.explain(error, `attaching ${name}`, ['engine_closed'])
    if (process.isAlive && isListed(life, log)) log.away = null
  }
}

function isListed({ db }: Life, { spec }: LogModel): boolean {
  return db.logs().some(({ name }) => name === spec.name)
}

/** A new life says whether it is there. Whether it is away. */
export function isFoundAway(log: LogModel, isThere: boolean): boolean {
  if (!log.isAway) return false
  if (isThere && log.away === 'surely')
    throw new Violation('I2', `${log.spec.name} was detached, and is there`)
  log.away = isThere ? null : 'surely'
  return !isThere
}

/** With nothing wrong any more all come back. */
export async function attachAll(life: Life): Promise<void> {
  for (const log of life.model.logs) {
    if (!log.isAway) continue
    await attach(life, log)
    if (log.isAway) throw new Violation('I12', `${log.spec.name} cannot be attached`)
  }
}
