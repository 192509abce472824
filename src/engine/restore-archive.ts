import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { randomHex } from '../base/random.ts'
import { parseTime } from '../base/units.ts'
import type { NotedArchive, Writer } from '../format/manifest.ts'
import { LOCK_FILE, RESTORING_FILE } from '../format/paths.ts'
import { type RestoreForecast, forecastRestore } from '../snapshot/forecast-restore.ts'
import { type RestorePlan, planRestore } from '../snapshot/plan-restore.ts'
import { isBeforeRestore } from '../snapshot/restore-directory.ts'
import { LOOKED_FOR_MAX, restoreLazily } from '../snapshot/restore-lazily.ts'
import { type RestoreProgress, type RestoreResult, restore } from '../snapshot/restore.ts'
import type { DirectoryLock } from '../storage/directory-lock.ts'
import { connectArchive, unnamedIn } from './archive-store.ts'
import {
  FLAG,
  FUNCTION,
  LOOKED_AT_LATER,
  OBJECT,
  type OptionKind,
  SIGNAL,
  SOME_NAMES,
  TEXT,
  TEXTS_BY_NAME,
  assertOptions,
  assertWhole,
} from './check-arguments.ts'
import type { S3Options } from './config.ts'
import { type EnginePorts, resolvePorts } from './ports.ts'
import type { StoragePorts } from './storage-ports.ts'
import { storageOf } from './system-storage.ts'

export interface RestoreArchiveOptions {
  /** `s3://bucket/prefix` or `file:///path`. */
  readonly archive: string
  readonly s3?: S3Options
  /** A new or empty directory, or one where the same restore was interrupted. */
  readonly dataDir: string
  /** Name or id of a snapshot; at most one of `snapshot`, `at` and `toOffsets`. */
  readonly snapshot?: string
  /** A moment: what had been appended by then. */
  readonly at?: Date | string | number
  /** Offsets to stop before; partitions that are not named are restored whole. */
  readonly toOffsets?: readonly {
    readonly log: string
    readonly partition: number
    readonly offset: number
  }[]
  readonly logs?: readonly string[]
  /** New names by old ones. */
  readonly rename?: Readonly<Record<string, string>>
  /**
   * Copies and verifies every byte before it ends. Otherwise a restore of the whole archive ends at once: what is read
   * is fetched, and the engine that opens the directory fills its disk. A part of an archive is always copied.
   */
  readonly eager?: boolean
  /** Is told what will be done before anything is written, and what the store was measured at; false ends it there. */
  readonly confirm?: (forecast: RestoreForecast) => boolean | Promise<boolean>
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: RestoreProgress) => void
}

export type PlanRestoreOptions = Omit<RestoreArchiveOptions, 'dataDir' | 'confirm' | 'onProgress'>

const PLAN_KINDS: Readonly<Record<keyof PlanRestoreOptions, OptionKind>> = {
  ...{ archive: TEXT, s3: OBJECT, snapshot: TEXT, at: LOOKED_AT_LATER },
  toOffsets: {
    expected: 'an array of { log, partition, offset }',
    fits: (value) => Array.isArray(value) && value.length > 0,
  },
  ...{ logs: SOME_NAMES, rename: TEXTS_BY_NAME, eager: FLAG, signal: SIGNAL },
}

const KINDS: Readonly<Record<keyof RestoreArchiveOptions, OptionKind>> = {
  ...PLAN_KINDS,
  ...{ dataDir: TEXT, confirm: FUNCTION, onProgress: FUNCTION },
}

const TO_OFFSET_KINDS = { log: TEXT, partition: LOOKED_AT_LATER, offset: LOOKED_AT_LATER } as const

/** @throws StratalogError `argument_invalid`. */
function assertRestoreOptions<Options extends PlanRestoreOptions>(
  options: Options,
  kinds: Readonly<Record<keyof Options & string, OptionKind>>,
  call: string,
): void {
  assertOptions(options, kinds, call)
  for (const cut of options.toOffsets ?? []) {
    assertOptions(cut, TO_OFFSET_KINDS, 'toOffsets')
    assertWhole(cut.partition, 'partition of toOffsets')
    assertWhole(cut.offset, 'offset of toOffsets')
  }
}

/** See `planRestoreArchive` of `archive-operations.ts`. */
export function planRestoreOf(
  options: PlanRestoreOptions,
  given: Partial<EnginePorts>,
): Promise<RestoreForecast> {
  assertRestoreOptions(options, PLAN_KINDS, 'planRestoreArchive')
  const ports = resolvePorts({}, given)
  return withPlan(options, ports, (plan) =>
    forecastRestore(plan, isLazy(plan, options), ports.clock, options.signal),
  )
}

/** See `restoreArchive` of `archive-operations.ts`. */
export function runRestore(
  options: RestoreArchiveOptions,
  given: Partial<EnginePorts>,
): Promise<RestoreResult> {
  assertRestoreOptions(options, KINDS, 'restoreArchive')
  const ports = resolvePorts({}, given)
  const { clock, random } = ports
  const logger = ports.logger.child('restore')
  if (options.dataDir === undefined || options.dataDir === '')
    throw new StratalogError('argument_invalid', 'Name the directory to restore into.')
  const { signal, onProgress, dataDir } = options
  const storage = storageOf(ports)
  const { fileSystem } = storage
  const writer: Writer = {
    id: randomHex(random, 16),
    ...storage.processName,
    since: clock.now(),
  }
  return withPlan(options, ports, async (plan) => {
    const restoresLazily = isLazy(plan, options)
    if (options.confirm !== undefined) {
      const forecast = await forecastRestore(plan, restoresLazily, clock, signal)
      if (!(await options.confirm(forecast)))
        throw new StratalogError('aborted', 'It was not confirmed; nothing was restored.')
    }
    const lock = await lockTarget(storage, dataDir, writer, logger)
    try {
      const newEngineId = randomHex(random, 16)
      const target = { fileSystem, dataDir, clock, logger, writer, newEngineId }
      const result = restoresLazily
        ? await restoreLazily(plan, target, notedOf(plan, options.s3), { signal })
        : await restore(plan, target, { signal, onProgress })
      return await withUnnamed(plan, options, result, clock)
    } finally {
      await lock?.release()
    }
  })
}

/** A restore up to the end says what lies behind the end that its manifest knows. */
async function withUnnamed(
  plan: RestorePlan,
  { snapshot, toOffsets, logs }: RestoreArchiveOptions,
  result: RestoreResult,
  clock: Clock,
): Promise<RestoreResult> {
  if (snapshot !== undefined || toOffsets !== undefined) return result
  if (result.isLazy && result.plan.segments > LOOKED_FOR_MAX) return result
  const unnamed = await unnamedIn(plan.archive, logs, clock)
  if (unnamed.length === 0) return result
  return { ...result, verified: false, missing: [...result.missing, ...unnamed] }
}

/**
 * Two restores would write each other's files, so the one that comes second is refused as an engine would be. Null for
 * a directory that no restore may write: nothing in it is touched, and the restore says why.
 * @throws StratalogError `directory_in_use`.
 */
async function lockTarget(
  { fileSystem, lockDirectory }: StoragePorts,
  dataDir: string,
  { id, pid, host, since }: Writer,
  logger: Logger,
): Promise<DirectoryLock | null> {
  const stat = await fileSystem.stat(dataDir)
  if (stat !== null && !stat.isDirectory) return null
  const names = stat === null ? [] : await fileSystem.list(dataDir)
  const isEmpty = names.every(isBeforeRestore)
  if (!isEmpty && !names.includes(RESTORING_FILE)) return null
  await fileSystem.makeDirectory(dataDir)
  const holder = { pid, host, since: new Date(since).toISOString() }
  return lockDirectory(`${dataDir}/${LOCK_FILE}`, holder, id, logger)
}

function isLazy({ isWhole }: RestorePlan, { eager = false }: PlanRestoreOptions): boolean {
  return isWhole && !eager
}

/** What the environment says is asked again when the directory is opened; what was said here is kept. */
function notedOf({ archive }: RestorePlan, s3: S3Options = {}): NotedArchive {
  const { endpoint = null, region = null, forcePathStyle = null } = s3
  return { url: archive.url, endpoint, region, forcePathStyle }
}

async function withPlan<T>(
  options: PlanRestoreOptions,
  ports: EnginePorts,
  use: (plan: RestorePlan) => Promise<T>,
): Promise<T> {
  const archive = await connectArchive(options.archive, options.s3, ports)
  try {
    const { snapshot, toOffsets, logs, rename, signal } = options
    const at = options.at === undefined ? undefined : parseTime(options.at, 'at')
    return await use(await planRestore(archive, { snapshot, at, toOffsets, logs, rename, signal }))
  } finally {
    await archive.store.close()
  }
}
