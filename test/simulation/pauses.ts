/** Clients that pause tier moves, and let them go on. */
import type { Dice } from './dice.ts'
import type { Life } from './life.ts'
import { ALL } from './pause-model.ts'

/** One at a time: of two at once nobody knows which comes last. */
export async function pauseOrResume(life: Life, dice: Dice): Promise<void> {
  const { db, model, process, checks, world } = life
  const { pauses } = model
  if (pauses.isBusy) return
  const there = model.logs.filter((log) => log.isCreated && !log.isDeleting && !log.isAway)
  const isAll = there.length === 0 || dice.chance(0.5)
  const log = isAll ? null : dice.pick(there)
  const name = log?.spec.name ?? ALL
  const departures = log?.departures
  const isPause = dice.chance(0.45)
  const doing = `${isPause ? 'pausing' : 'resuming'} ${name}`
  const options = isAll ? {} : { logs: [name] }
  pauses.isBusy = true
  try {
    const work = isPause ? db.tier.pause(options) : db.tier.resume(options)
    pauses.doubt(name, isPause, world.monotonic())
    if ((await checks.patiently(process, doing, work)) === 'dead') return
    // Where it went meanwhile, nobody knows which of both was first.
    const isThere = log?.departures === departures && log?.isDeleting !== true
    const state = isPause ? 'paused' : 'running'
    pauses.set(name, isThere ? state : 'unknown', world.monotonic())
    model.counts.pauses++
    world.trace.add(doing)
  } catch (error) {
    const isAllPaused = !isPause && !isAll && pauses.stateOf(ALL) !== 'running'
    // It may have been deleted since it was chosen.
    checks.explain(error, doing, [
      'engine_closed',
      'log_not_found',
      ...(isAllPaused ? (['argument_invalid'] as const) : []),
    ])
  } finally {
    pauses.isBusy = false
  }
}
