import { parseDuration } from '../base/units.ts'
import type { Closers } from './closers.ts'
import type { StratalogOptions } from './config.ts'
import type { ArchiveWriter } from '../tiering/archive-writer.ts'
import type { TieringContext } from '../tiering/context.ts'
import { heldBySnapshots } from './held-by-snapshot.ts'
import type { LostInSnapshot } from './load-snapshot.ts'
import type { SnapshotKeeper } from './snapshot-keeper.ts'
import type { SnapshotPlace } from './snapshot-place.ts'
import { SnapshotSchedule } from './snapshot-schedule.ts'
import {
  type SnapshotSource,
  createAutomaticSnapshot,
  createSnapshot,
  deleteSnapshot,
  listSnapshots,
  newestAutomaticTime,
  retireSnapshots,
} from './snapshots.ts'

/** Keeps snapshots as the configuration asks; the schedule that it may ask for runs until it is closed. */
export function keepSnapshots(
  source: SnapshotSource,
  lost: readonly LostInSnapshot[],
  options: StratalogOptions,
  closers: Closers,
): SnapshotKeeper {
  const schedule = scheduled(source, options)
  if (schedule !== null) {
    closers.push(() => schedule.close())
    schedule.start()
  }
  return {
    create: (wanted) => createSnapshot(source, wanted),
    delete: (nameOrId) => deleteSnapshot(source, nameOrId),
    list: () => listSnapshots(source.archive),
    held: (log) => heldBySnapshots(source.archive, log, () => source.ports.clock.now()),
    status: () => schedule?.status ?? null,
    lost: () =>
      lost.flatMap(({ logId, problem }) => (source.registry.byId.has(logId) ? [problem] : [])),
  }
}

/** What an engine with a data directory has that snapshots are made of; without a scheduler it only reads. */
export interface DirectorySource extends Omit<SnapshotSource, 'archive' | 'place'> {
  readonly archive: ArchiveWriter | null
  readonly place: SnapshotPlace | null
  readonly tiering: TieringContext
  readonly lost: readonly LostInSnapshot[]
}

/** Null where snapshots have no place, and for reading. */
export function keptSnapshots(
  options: StratalogOptions,
  closers: Closers,
  { archive, place, tiering, lost, ...source }: DirectorySource,
): SnapshotKeeper | null {
  const keeping = place?.archive ?? archive
  if (keeping === null || source.scheduler === null) return null
  const context = place === null ? null : { ...tiering, archive: place.archive }
  return keepSnapshots({ ...source, archive: keeping, place: context }, lost, options, closers)
}

function scheduled(
  source: SnapshotSource,
  { snapshotInterval, snapshotOnClose, snapshotKeep, snapshotMaxAge }: StratalogOptions,
): SnapshotSchedule | null {
  if (snapshotInterval === undefined && snapshotOnClose !== true) return null
  const { clock, logger } = source.ports
  const ms = (value: StratalogOptions['snapshotInterval'], key: string): number | null =>
    value === undefined ? null : parseDuration(value, key)
  const automatic = {
    keep: snapshotKeep ?? null,
    maxAge: ms(snapshotMaxAge, 'snapshotMaxAge'),
    known: new Map<string, number>(),
    sound: new Set<string>(),
  }
  const interval = ms(snapshotInterval, 'snapshotInterval')
  return new SnapshotSchedule(
    clock,
    logger.child('snapshot'),
    { interval, onClose: snapshotOnClose === true },
    {
      newestTime: () => newestAutomaticTime(source.archive),
      make: () => createAutomaticSnapshot(source),
      retire: () => retireSnapshots(source, automatic),
    },
  )
}
