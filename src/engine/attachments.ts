import { attachLog } from './attach-log.ts'
import type { TieringContext } from '../tiering/context.ts'
import { detachLog } from '../tiering/detach.ts'
import type { TieringScheduler } from '../tiering/scheduler.ts'
import type { LogRegistry } from './log-registry.ts'
import type { Attachments } from './lower-tiers.ts'

/** How logs of a data directory come from its archive and go there; null without one. */
export function attachmentsOf(
  context: TieringContext,
  scheduler: TieringScheduler,
  registry: LogRegistry,
): Attachments | null {
  const { archive, disk } = context
  if (archive === null || disk === null) return null
  const { manifest } = disk
  return {
    attach: (name) => attachLog({ manifest, archive, registry }, name),
    detach: (log) =>
      scheduler.exclusively(log, () => detachLog(context, log, () => registry.remove(log))),
  }
}
