/** What tier moves may take of the disk and of the way to the archive, as the configuration has it. */
import type { Clock } from '../base/clock.ts'
import { parseBytes } from '../base/units.ts'
import { MANIFEST_DIRECTORY, isPackPath } from '../format/paths.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { PacedObjectStore } from '../storage/paced-object-store.ts'
import { DiskBudget } from '../tiering/disk-budget.ts'
import { TIER_LIMITS, type TierLimits } from '../tiering/tier-limits.ts'
import type { StratalogOptions } from './config.ts'
import { surroundingsOf } from './storage-policy.ts'

export function diskBudgetOf(options: StratalogOptions): DiskBudget {
  const { maxDiskBytes } = options
  return new DiskBudget({
    maxBytes: maxDiskBytes === undefined ? null : parseBytes(maxDiskBytes, 'maxDiskBytes'),
    watermark: surroundingsOf(options).evictionWatermark,
  })
}

export function tierLimitsOf({ maxFlushes, maxUploads }: StratalogOptions): TierLimits {
  return {
    maxFlushes: maxFlushes ?? TIER_LIMITS.maxFlushes,
    maxUploads: maxUploads ?? TIER_LIMITS.maxUploads,
  }
}

/** The store within the bandwidth; null where none is set. */
export function pacedStore(
  store: ObjectStore,
  { maxUploadBytesPerSecond }: StratalogOptions,
  clock: Clock,
): PacedObjectStore | null {
  if (maxUploadBytesPerSecond === undefined) return null
  return new PacedObjectStore(store, {
    bytesPerSecond: parseBytes(maxUploadBytesPerSecond, 'maxUploadBytesPerSecond'),
    unpaced: `${MANIFEST_DIRECTORY}/`,
    clock,
  })
}

/** Bytes of the segment files that the logs have on disk. */
export function bytesOnDisk(logs: Iterable<LiveLog>): number {
  const all = [...logs]
  const isForked = all.some(({ definition }) => definition.origins !== undefined)
  // What a fork shares lies there once.
  const seen = new Set<string>()
  let bytes = 0
  for (const { partitions } of all) {
    for (const { segments } of partitions) {
      for (const { length, disk } of segments.having('disk')) {
        const place = isForked ? `${disk?.object} ${disk?.position}` : ''
        if (isForked && seen.has(place)) continue
        if (isForked) seen.add(place)
        bytes += length
      }
    }
  }
  return bytes
}

/** Whether some of them lie in packs. */
export function hasPacks(logs: Iterable<LiveLog>): boolean {
  for (const { partitions } of logs)
    for (const { segments } of partitions)
      for (const { disk } of segments.having('disk'))
        if (disk !== null && isPackPath(disk.object)) return true
  return false
}
