/** Logs that come to keep only what is new, while they are used; what may be gone then says `retired.ts`. */
import type { Dice } from './dice.ts'
import type { Life } from './life.ts'
import type { KeptAtLeast, LogModel } from './log-model.ts'

/** Has a log that has lower tiers keep less, or all again: then what went before may still be missed. */
export async function retain(life: Life, dice: Dice, log: LogModel): Promise<void> {
  const { db, process, checks, model, world } = life
  if (!log.isCreated || log.isDeleting || log.isAway || log.isChanging || log.isInMemory) return
  const kind = dice.pick(['age', 'bytes', 'both', 'none'] as const)
  const retention = kind === 'age' || kind === 'both' ? dice.int(1_000, 30_000) : null
  const retentionBytes = kind === 'bytes' || kind === 'both' ? dice.int(4, 64) * 1_024 : null
  const { name } = log.spec
  const before: KeptAtLeast = log.kept ?? { ms: Infinity, bytes: Infinity }
  // From now on it may be done, whatever is answered.
  log.kept = {
    ms: Math.min(before.ms, retention ?? Infinity),
    bytes: Math.min(before.bytes, retentionBytes ?? Infinity),
  }
  log.change(log.spec, model.life)
  const doing = `${name} keeps ${retention} ms and ${retentionBytes} bytes`
  world.trace.add(`${doing}: begun`)
  try {
    const altered = db.alterLog(name, { storage: { retention, retentionBytes } })
    if ((await checks.patiently(process, doing, altered)) !== 'dead') {
      log.changed()
      world.trace.add(`${doing}: done`)
    }
  } catch (error) {
    checks.explain(error, doing, ['engine_closed'])
  }
}
