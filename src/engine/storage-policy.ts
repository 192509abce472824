/** From what the user wrote to a policy with every default filled in, and what cannot be combined. Pure. */
import { tryParseBytes, tryParseDuration } from '../base/units.ts'
import type { EvictionPolicy, StorageMode, StoragePolicy } from '../format/manifest.ts'
import { type ConfigProblem, configError } from './config-error.ts'
import type { StorageOptions, StratalogOptions } from './config.ts'

/** What the engine around a log has, which decides defaults and what is possible. */
export interface StorageSurroundings {
  readonly hasDataDir: boolean
  readonly hasArchive: boolean
  /** Snapshots lie beside the archive. */
  readonly hasSnapshotPlace: boolean
  readonly evictionPolicy: EvictionPolicy
  readonly evictionWatermark: number
}

/** @param hasSnapshotPlace of an engine with a data directory; one in RAM would load more to know. */
export function surroundingsOf(
  options: StratalogOptions,
  hasSnapshotPlace = false,
): StorageSurroundings {
  return {
    hasDataDir: options.dataDir !== undefined,
    hasArchive: options.archive !== undefined,
    hasSnapshotPlace,
    evictionPolicy: options.evictionPolicy ?? 'fifo',
    evictionWatermark: options.evictionWatermark ?? 0.9,
  }
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/**
 * Fills in the defaults of docs/configuration.md. Each key of `storage` is right by itself (`validateStorage`).
 * @throws StratalogError `config_invalid` with every combination that cannot be, each with its path below `path`.
 */
export function resolvePolicy(
  storage: StorageOptions,
  defaults: StorageOptions,
  around: StorageSurroundings,
  path = 'storage',
): StoragePolicy {
  const given = { ...inherited(storage, defaults, around), ...storage }
  const policy = withDefaults(given, around)
  const problems = conflicts(given, policy, around, path)
  if (problems.length > 0) throw configError(problems)
  return policy
}

/** What of a log's options, each right by itself, cannot be combined. */
export function policyProblems(
  storage: StorageOptions,
  around: StorageSurroundings,
  path: string,
): readonly ConfigProblem[] {
  const given = { ...inherited(storage, {}, around), ...storage }
  return conflicts(given, withDefaults(given, around), around, path)
}

/** Which of the engine's defaults mean something in a mode; the rest do not reach a log that chose that mode. */
const INHERITED_KEYS: Readonly<Record<StorageMode, readonly (keyof StorageOptions)[]>> = {
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

function inherited(
  storage: StorageOptions,
  defaults: StorageOptions,
  around: StorageSurroundings,
): StorageOptions {
  const mode = storage.mode ?? defaults.mode ?? defaultMode(around)
  const entries = INHERITED_KEYS[mode].map((key) => [key, defaults[key]] as const)
  return { mode, ...Object.fromEntries(entries.filter(([, value]) => value !== undefined)) }
}

function defaultMode(around: StorageSurroundings): StorageMode {
  return around.hasDataDir ? 'hybrid' : 'memory'
}

function withDefaults(given: StorageOptions, around: StorageSurroundings): StoragePolicy {
  const mode = given.mode ?? defaultMode(around)
  const memoryFirst = given.memoryFirst ?? true
  const localDisk = given.localDisk ?? true
  const memoryTtl = ms(given.memoryTtl) ?? (memoryFirst ? HOUR_MS : 0)
  const archiveAfter = memoryFirst || localDisk ? 15 * MINUTE_MS : 0
  const tiersToArchive = mode === 'hybrid' && around.hasArchive
  const wal = given.wal ?? mode !== 'memory'
  return {
    mode,
    memoryTtl,
    diskAfter: ms(given.diskAfter) ?? Math.min(5 * MINUTE_MS, memoryTtl),
    archiveAfter: ms(given.archiveAfter) ?? (tiersToArchive ? archiveAfter : null),
    diskTtl: ms(given.diskTtl) ?? (tiersToArchive ? DAY_MS : null),
    localDisk,
    retention: ms(given.retention),
    retentionBytes: given.retentionBytes === undefined ? null : tryParseBytes(given.retentionBytes),
    ack: given.ack ?? (wal ? 'disk' : 'memory'),
    wal,
    memoryFirst,
    diskFallback: given.diskFallback ?? true,
    ttl: ms(given.ttl),
    priority: given.priority ?? 0,
    maxMemoryBytes: given.maxMemoryBytes === undefined ? null : tryParseBytes(given.maxMemoryBytes),
    evictionPolicy: given.evictionPolicy ?? around.evictionPolicy,
    evictionWatermark: given.evictionWatermark ?? around.evictionWatermark,
    segmentFormat: given.segmentFormat ?? 'arrow',
    parquetAfter: ms(given.parquetAfter),
    keep: given.keep ?? 'all',
  }
}

function conflicts(
  given: StorageOptions,
  policy: StoragePolicy,
  around: StorageSurroundings,
  path: string,
): readonly ConfigProblem[] {
  const problems: ConfigProblem[] = []
  const problem = (key: keyof StorageOptions, allowed: string): void => {
    problems.push({ path: `${path}.${key}`, given: given[key] ?? policy[key], allowed })
  }
  if (policy.mode !== 'memory' && !around.hasDataDir)
    problem('mode', `'memory', because the engine has no dataDir`)
  if (policy.mode === 'memory') {
    if (policy.wal) problem('wal', `false in mode 'memory'`)
    if (policy.ack !== 'memory') problem('ack', `'memory' in mode 'memory'`)
    for (const key of LOWER_TIER_KEYS) {
      if (given[key] === undefined || given[key] === NO_LOWER_TIER[key]) continue
      problem(
        key,
        `nothing in mode 'memory', which has no lower tier; ttl says how long records stay`,
      )
    }
    return problems
  }
  if (policy.keep === 'latest' && around.hasSnapshotPlace)
    problem(
      'keep',
      `'all' beside a snapshotLocation, where snapshots cannot keep old versions; leave that out and have an archive, where they can`,
    )
  problems.push(...memoryOnlyProblems(given, policy.mode, path))
  if (!around.hasArchive) {
    if (given.archiveAfter !== undefined)
      problem('archiveAfter', 'nothing, because the engine has no archive')
    if (given.diskTtl !== undefined)
      problem('diskTtl', 'nothing, because the engine has no archive')
    if (policy.ack === 'object')
      problem('ack', `'memory' or 'disk', because the engine has no archive`)
    if (!policy.localDisk) problem('localDisk', 'true, because the engine has no archive')
  }
  if (policy.mode === 'persistent') {
    if (!policy.wal) problem('wal', `true in mode 'persistent'; mode 'hybrid' can go without`)
    if (given.archiveAfter !== undefined)
      problem('archiveAfter', `nothing in mode 'persistent'; use mode 'hybrid'`)
    if (given.diskTtl !== undefined)
      problem('diskTtl', `nothing in mode 'persistent'; use mode 'hybrid'`)
    if (!policy.localDisk) problem('localDisk', `true in mode 'persistent'`)
    if (policy.ack === 'object' && around.hasArchive)
      problem('ack', `'memory' or 'disk' in mode 'persistent'; mode 'hybrid' has an archive`)
  }
  if (!policy.memoryFirst) {
    for (const key of ['memoryTtl', 'diskAfter'] as const)
      if (policy[key] > 0) problem(key, '0, or nothing, when memoryFirst is false')
  }
  if (!policy.wal && policy.ack === 'disk') problem('ack', `'memory' or 'object' when wal is false`)
  if (!policy.wal && policy.diskAfter > policy.memoryTtl) {
    problem('diskAfter', `at most memoryTtl (${policy.memoryTtl} ms) when wal is false`)
  }
  if (
    policy.archiveAfter !== null &&
    policy.diskTtl !== null &&
    policy.diskTtl < policy.archiveAfter
  ) {
    problem('diskTtl', `at least archiveAfter (${policy.archiveAfter} ms)`)
  }
  return problems
}

/** Keys that would be left out without a word where RAM holds the only copy. */
const LOWER_TIER_KEYS = [
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
  'memoryFirst',
  'diskFallback',
] as const
const NO_LOWER_TIER: StorageOptions = {
  localDisk: true,
  segmentFormat: 'arrow',
  keep: 'all',
  memoryFirst: true,
  diskFallback: true,
}

/** Keys that mean something only where RAM holds the only copy, with what does their work elsewhere. */
const MEMORY_KEYS = {
  ttl: 'memoryTtl and diskTtl say when copies go',
  priority: 'nothing is evicted from its only copy',
  maxMemoryBytes: `the engine's maxMemoryBytes and memoryTtl bound what is in RAM`,
  evictionWatermark: `the engine's evictionWatermark says when RAM is full`,
} as const

function memoryOnlyProblems(
  given: StorageOptions,
  mode: StorageMode,
  path: string,
): readonly ConfigProblem[] {
  return (['ttl', 'priority', 'maxMemoryBytes', 'evictionWatermark'] as const).flatMap((key) =>
    given[key] === undefined
      ? []
      : [
          {
            path: `${path}.${key}`,
            given: given[key],
            allowed: `nothing in mode '${mode}', where ${MEMORY_KEYS[key]}; mode 'memory' takes it`,
          },
        ],
  )
}

function ms(value: number | string | undefined): number | null {
  return value === undefined ? null : tryParseDuration(value)
}
