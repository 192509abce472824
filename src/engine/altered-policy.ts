/** From a policy and the keys that change to the policy after it. Pure. */
import type { StorageMode, StoragePolicy } from '../format/manifest.ts'
import type { StorageChanges, StorageOptions } from './config.ts'
import { type StorageSurroundings, resolvePolicy } from './storage-policy.ts'

/** What a mode keeps of the policy that a log had in the same mode. */
const OWN_KEYS: Readonly<Record<StorageMode, readonly (keyof StorageOptions)[]>> = {
  memory: ['ttl', 'priority', 'maxMemoryBytes', 'evictionWatermark', 'evictionPolicy'],
  persistent: [
    'memoryTtl',
    'diskAfter',
    'memoryFirst',
    'diskFallback',
    'retention',
    'retentionBytes',
    'segmentFormat',
    'parquetAfter',
    'keep',
    'ack',
    'evictionPolicy',
  ],
  hybrid: [
    'memoryTtl',
    'diskAfter',
    'archiveAfter',
    'diskTtl',
    'localDisk',
    'retention',
    'retentionBytes',
    'segmentFormat',
    'parquetAfter',
    'keep',
    'ack',
    'wal',
    'memoryFirst',
    'diskFallback',
    'evictionPolicy',
  ],
}

/** What means the same in two modes with lower tiers, and between any two. */
const TIER_KEYS: readonly (keyof StorageOptions)[] = [
  'memoryTtl',
  'diskAfter',
  'memoryFirst',
  'diskFallback',
  'retention',
  'retentionBytes',
  'segmentFormat',
  'parquetAfter',
  'keep',
  'evictionPolicy',
]
const SHARED_KEYS: readonly (keyof StorageOptions)[] = ['evictionPolicy']

/**
 * Keys that are not named stay as they are where they mean the same in the new mode; the rest have the defaults of that
 * mode, and so has `ack` when the mode or the WAL changes and it is not named.
 * @throws StratalogError `config_invalid` with every combination that cannot be.
 */
export function alteredPolicy(
  current: StoragePolicy,
  changes: StorageChanges,
  around: StorageSurroundings,
): StoragePolicy {
  const mode = changes.mode === null ? undefined : (changes.mode ?? current.mode)
  const kept: Record<string, unknown> = {}
  for (const key of keptKeys(current, changes, mode)) {
    const value = current[key]
    if (value !== null) kept[key] = value
  }
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) delete kept[key]
    else if (value !== undefined) kept[key] = value
  }
  const storage = { ...kept, ...(mode === undefined ? {} : { mode }) } as StorageOptions
  return resolvePolicy(storage, {}, around)
}

function keptKeys(
  current: StoragePolicy,
  changes: StorageChanges,
  mode: StorageMode | undefined,
): readonly (keyof StorageOptions)[] {
  const isMemory = mode === 'memory' || current.mode === 'memory'
  const keys = mode === current.mode ? OWN_KEYS[mode] : isMemory ? SHARED_KEYS : TIER_KEYS
  const hasOtherWal = changes.wal !== undefined && changes.wal !== current.wal
  // Of records that RAM holds first these say how long; of others they are 0.
  const hasOtherFirst =
    changes.memoryFirst !== undefined && (changes.memoryFirst ?? true) !== current.memoryFirst
  return keys.filter((key) => {
    if (key === 'ack') return !hasOtherWal
    return !hasOtherFirst || (key !== 'memoryTtl' && key !== 'diskAfter')
  })
}
