import { parseDuration } from '../base/units.ts'
import type { StratalogOptions } from './config.ts'
import { SnapshotSchedule } from './snapshot-schedule.ts'
import {
  type SnapshotSource,
  createAutomaticSnapshot,
  newestAutomaticTime,
  retireSnapshots,
} from './snapshots.ts'

/** The schedule that a configuration asks for, not started; null when it asks for none. */
export function scheduleSnapshots(
  source: SnapshotSource,
  { snapshotInterval, snapshotOnClose, snapshotKeep, snapshotMaxAge }: StratalogOptions,
): SnapshotSchedule | null {
  if (snapshotInterval === undefined && snapshotOnClose !== true) return null
  const { clock, logger } = source.ports
  const automatic = {
    keep: snapshotKeep ?? null,
    maxAge: snapshotMaxAge === undefined ? null : parseDuration(snapshotMaxAge, 'snapshotMaxAge'),
    known: new Map<string, number>(),
  }
  return new SnapshotSchedule(
    clock,
    logger.child('snapshot'),
    {
      interval:
        snapshotInterval === undefined ? null : parseDuration(snapshotInterval, 'snapshotInterval'),
      onClose: snapshotOnClose === true,
    },
    {
      newestTime: () => newestAutomaticTime(source.archive),
      make: () => createAutomaticSnapshot(source),
      retire: () => retireSnapshots(source, automatic),
    },
  )
}
