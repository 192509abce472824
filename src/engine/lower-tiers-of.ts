import { present } from '../base/assert.ts'
import type { TieringContext } from '../tiering/context.ts'
import { detachLog } from '../tiering/detach.ts'
import { pauseEdits, pausedSince, resumeEdits } from '../tiering/pause.ts'
import type { TieringScheduler } from '../tiering/scheduler.ts'
import type { Scrubber } from '../tiering/scrubber.ts'
import { attachLog } from './attach-log.ts'
import type { LogRegistry } from './log-registry.ts'
import type { Attachments, LowerTiers } from './lower-tiers.ts'
import { commitPolicy } from './policy-committer.ts'
import type { SnapshotPlace } from './snapshot-place.ts'

/** What an engine over a directory does with its lower tiers. */
export function lowerTiersOf(
  context: TieringContext,
  scheduler: TieringScheduler,
  registry: LogRegistry,
  scrubber: Scrubber | null,
  place: SnapshotPlace | null,
): LowerTiers {
  const disk = present(context.disk, 'a directory has a manifest')
  const { manifest } = disk
  return {
    scheduler,
    scrubber,
    commitPolicy: (change) => commitPolicy(manifest, context.archive, change),
    setPaused: async (logs, isPaused) => {
      const now = context.clock.now()
      await manifest.commit((state) =>
        isPaused ? pauseEdits(state, logs, now) : resumeEdits(state, logs),
      )
    },
    pausedSince: (logId) => pausedSince(manifest.state, logId),
    attachments: attachmentsOf(context, scheduler, registry, place),
    bringAllToDisk: async () => {
      const { bringAllToDisk } = await import('../tiering/all-to-disk.ts')
      await bringAllToDisk(context)
    },
    writeHistory: async (log, partition, rows, range) => {
      const { writeHistory } = await import('../tiering/write-history.ts')
      await writeHistory(context, log, partition, rows, range)
    },
    delete: async (log) => {
      const { deleteLog } = await import('../tiering/delete-log.ts')
      const forget = (isSure: boolean): void => registry.remove(log, isSure)
      await scheduler.exclusively(log, () =>
        deleteLog(context, place?.archive ?? null, log, forget),
      )
    },
    fork: async (engine, source, name, options) => {
      const { forkLog } = await import('./fork-log.ts')
      return forkLog({ engine, context, disk, scheduler }, source, name, options)
    },
  }
}

/** How logs of a data directory come from its archive and go there; null without one. */
function attachmentsOf(
  context: TieringContext,
  scheduler: TieringScheduler,
  registry: LogRegistry,
  place: SnapshotPlace | null,
): Attachments | null {
  const { archive, disk } = context
  if (archive === null || disk === null) return null
  const { manifest } = disk
  return {
    attach: (name) => attachLog({ manifest, archive, registry, place }, name),
    detach: (log) =>
      scheduler.exclusively(log, () =>
        detachLog(context, log, (isSure) => registry.remove(log, isSure)),
      ),
  }
}
