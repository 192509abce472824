import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { type Duration, parseDuration } from '../base/units.ts'
import type { AckLevel } from '../format/manifest.ts'
import { recordsIn } from '../format/segment-entry.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import type { TierMove } from '../tiering/context.ts'
import type { CollectReport } from '../tiering/collect.ts'
import type { TierReport, TierTarget } from '../tiering/steps.ts'
import type { ScrubReport } from '../tiering/scrub-report.ts'
import type { ScrubProgress } from '../tiering/scrubber.ts'
import {
  FLAG,
  FUNCTION,
  LOOKED_AT_LATER,
  NAMES,
  type OptionKind,
  SIGNAL,
  assertOptions,
  oneOf,
} from './check-arguments.ts'
import type { Engine } from './engine.ts'
import type { Attachments } from './lower-tiers.ts'

/** Appends that wait for the object store share one upload within this time. */
const OBJECT_ACK_DELAY_MS = 250

/** What a log that was attached has in the archive. */
export interface AttachedLog {
  readonly log: string
  readonly partitions: number
  readonly segments: number
  readonly records: number
  readonly bytes: number
}

export interface TierScrubOptions {
  readonly logs?: readonly string[]
  /** False: only says what is wrong. Default true. */
  readonly repair?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: ScrubProgress) => void
}

const SCRUB_KINDS: Readonly<Record<keyof TierScrubOptions, OptionKind>> = {
  logs: NAMES,
  repair: FLAG,
  signal: SIGNAL,
  onProgress: FUNCTION,
}

/** An append that is to be archived waits no longer than others for room on disk. */
const DISK_WAIT_MAX_MS = 10_000

/** Control over tier moves. */
export interface TierControl {
  /**
   * Brings all that was appended before the call to `to` (default `object` with an archive, else `disk`), whatever its
   * age.
   */
  now(options?: {
    readonly logs?: readonly string[]
    readonly to?: TierTarget
  }): Promise<TierReport>
  /** One round of the scheduler: what is due by its age moves. */
  run(): Promise<readonly TierMove[]>
  /**
   * Makes one segment of each run of small neighbours, whatever their number. The scheduler does so by itself with
   * eight of about one size. The report has a move within its tier for each segment that was made.
   */
  compact(options?: { readonly logs?: readonly string[] }): Promise<TierReport>
  /**
   * Removes objects of retired segments from the archive: those that no snapshot names, and whose grace is over, which
   * the scheduler does by itself too. Beside them what a crash left there and nothing names: the archive is listed
   * for it. @throws StratalogError `argument_invalid` without an archive, `store_unavailable`.
   */
  collect(options?: {
    /** How long ago a segment was retired at least, so that readers of the archive still find it. Default `1h`. */
    readonly grace?: Duration
    /** Says what would go, and removes nothing. */
    readonly dryRun?: boolean
  }): Promise<CollectReport>
  /**
   * Looks at every byte of every copy on disk and in the archive, and repairs what the other copy is sound of. It does
   * so by itself, slowly: see `scrubInterval`. Damage does not throw, it is in the report.
   * @throws StratalogError `argument_invalid` in RAM only, `log_not_found`, `store_unavailable`, `aborted`.
   */
  scrub(options?: TierScrubOptions): Promise<ScrubReport>
  /**
   * Makes a log of the archive, which this data directory has not, one of its logs: its records are read from there,
   * and what is appended goes on behind them.
   * @throws StratalogError `argument_invalid` without an archive, `log_exists`, `log_not_found`, `store_unavailable`.
   */
  attach(name: string): Promise<AttachedLog>
  /**
   * Forgets a log that lies wholly in the archive, after proving that it does; the archive keeps it, and its name
   * stays taken. Appends that come meanwhile wait, and are refused with `engine_closed` after.
   * @throws StratalogError `argument_invalid` without an archive, `log_not_found`, `log_not_archived`,
   * `object_corrupt`, `store_unavailable`.
   */
  detach(name: string): Promise<TierReport>
  /**
   * Pauses what the scheduler does by itself with these logs, or with all, until `resume`: also when the directory is
   * opened again. What somebody asks for moves, and so does what the budgets ask for. A pause that holds already
   * stays.
   * @throws StratalogError `log_not_found`, and what the disk throws.
   */
  pause(options?: { readonly logs?: readonly string[] }): Promise<void>
  /** @throws StratalogError as `pause`, and `argument_invalid` for some logs while all are paused. */
  resume(options?: { readonly logs?: readonly string[] }): Promise<void>
}

/** The control over an engine's tier moves; an engine in RAM has none, and says so. */
export class EngineTiers implements TierControl {
  readonly #engine: Engine
  readonly #assertWritable: () => void
  readonly #uploads = new Map<LiveLog, Promise<TierReport>>()

  constructor(engine: Engine, assertWritable: () => void) {
    this.#engine = engine
    this.#assertWritable = assertWritable
  }

  async now(
    options: { readonly logs?: readonly string[]; readonly to?: TierTarget } = {},
  ): Promise<TierReport> {
    this.#assertWritable()
    assertOptions(options, { logs: NAMES, to: oneOf('disk', 'object') }, 'tier.now')
    const { surroundings, lowerTiers } = this.#engine
    if (lowerTiers === null) throw noLowerTier()
    const to = options.to ?? (surroundings.hasArchive ? 'object' : 'disk')
    if (to === 'object' && !surroundings.hasArchive) {
      throw new StratalogError(
        'argument_invalid',
        'There is no archive to move to. Open the engine with one.',
      )
    }
    return lowerTiers.scheduler.now(this.#named(options.logs), to)
  }

  async run(): Promise<readonly TierMove[]> {
    this.#assertWritable()
    return (await this.#engine.lowerTiers?.scheduler.run()) ?? []
  }

  async compact(options: { readonly logs?: readonly string[] } = {}): Promise<TierReport> {
    this.#assertWritable()
    assertOptions(options, { logs: NAMES }, 'tier.compact')
    const { lowerTiers } = this.#engine
    if (lowerTiers === null) throw noLowerTier()
    return lowerTiers.scheduler.compact(this.#named(options.logs))
  }

  async collect(
    options: { readonly grace?: Duration; readonly dryRun?: boolean } = {},
  ): Promise<CollectReport> {
    this.#assertWritable()
    assertOptions(options, { grace: LOOKED_AT_LATER, dryRun: FLAG }, 'tier.collect')
    const { lowerTiers, surroundings } = this.#engine
    if (lowerTiers === null || !surroundings.hasArchive)
      throw new StratalogError(
        'argument_invalid',
        'There is no archive to collect in. Open the engine with one.',
      )
    const { grace, dryRun } = options
    return lowerTiers.scheduler.collect({
      dryRun,
      orphans: true,
      ...(grace === undefined ? {} : { grace: parseDuration(grace, 'grace') }),
    })
  }

  async scrub(options: TierScrubOptions = {}): Promise<ScrubReport> {
    this.#assertWritable()
    assertOptions(options, SCRUB_KINDS, 'tier.scrub')
    const scrubber = this.#engine.lowerTiers?.scrubber ?? null
    if (scrubber === null) throw noLowerTier()
    const { logs, repair = true, signal, onProgress } = options
    const logIds = logs === undefined ? null : new Set(this.#named(logs).map(({ id }) => id))
    return scrubber.scrub({ logIds, repair, signal, onProgress })
  }

  async attach(name: string): Promise<AttachedLog> {
    const log = await this.#attachments().attach(name)
    const all = log.partitions.flatMap(({ segments }) => [...segments])
    return {
      log: log.name,
      partitions: log.partitions.length,
      segments: all.length,
      records: all.reduce((sum, segment) => sum + recordsIn(segment), 0),
      bytes: all.reduce((sum, { length }) => sum + length, 0),
    }
  }

  async detach(name: string): Promise<TierReport> {
    const { detach } = this.#attachments()
    return { moved: await detach(this.#engine.registry.get(name)), pending: 0, failed: [] }
  }

  pause(options: { readonly logs?: readonly string[] } = {}): Promise<void> {
    return this.#setPaused(options, true)
  }

  resume(options: { readonly logs?: readonly string[] } = {}): Promise<void> {
    return this.#setPaused(options, false)
  }

  /** `ack: 'object'`: one upload for all who ask within the delay. @throws StratalogError of a failed disk. */
  async archiveThrough(log: LiveLog, partition: Partition, endOffset: number): Promise<void> {
    const { clock } = this.#engine.ports
    const until = clock.monotonic() + DISK_WAIT_MAX_MS
    while (partition.archivedEnd < endOffset) {
      assertAcknowledging(this.#engine)
      if (log.closed !== null) throw log.closed
      if (log.policy.archiveAfter === null) throw notArchived(log, partition, endOffset)
      const upload = this.#uploads.get(log) ?? this.#startUpload(log)
      const report = await upload
      assertAcknowledging(this.#engine)
      const failed = report.failed.find((entry) => entry.partition === partition.partition)
      // Room on disk comes as segments leave it.
      const isWaiting = failed?.code === 'disk_budget_full' && clock.monotonic() < until
      if (failed !== undefined && !isWaiting && partition.archivedEnd < endOffset) {
        throw new StratalogError(
          'store_unavailable',
          `The append is ${describeLevel(log.policy.wal ? 'disk' : 'memory')}, but not in the archive yet: ${failed.message}`,
          { details: { log: log.name, partition: partition.partition, offset: endOffset } },
        )
      }
    }
  }

  #attachments(): Attachments {
    this.#assertWritable()
    const { lowerTiers } = this.#engine
    if (lowerTiers === null) throw noLowerTier()
    if (lowerTiers.attachments !== null) return lowerTiers.attachments
    throw new StratalogError(
      'argument_invalid',
      'Logs are attached from the archive and detached to it, and there is none. Open the engine with one.',
    )
  }

  async #setPaused(
    options: { readonly logs?: readonly string[] },
    isPaused: boolean,
  ): Promise<void> {
    this.#assertWritable()
    assertOptions(options, { logs: NAMES }, isPaused ? 'tier.pause' : 'tier.resume')
    const { logs: names } = options
    const { lowerTiers } = this.#engine
    if (lowerTiers === null) throw noLowerTier()
    await lowerTiers.setPaused(names === undefined ? null : this.#named(names), isPaused)
  }

  /** @throws StratalogError `log_not_found`. */
  #named(names: readonly string[] | undefined): readonly LiveLog[] {
    const { registry } = this.#engine
    return names === undefined ? [...registry.all()] : names.map((name) => registry.get(name))
  }

  #startUpload(log: LiveLog): Promise<TierReport> {
    const { ports, lowerTiers } = this.#engine
    const { scheduler } = present(lowerTiers, 'the tiers below a log that is archived')
    const upload = ports.clock.sleep(OBJECT_ACK_DELAY_MS).then(() => {
      // Whoever comes from here on is not covered by this upload and starts the next.
      this.#uploads.delete(log)
      return scheduler.now([log], 'object')
    })
    this.#uploads.set(log, upload)
    return upload
  }
}

/**
 * An epoch that an error of the disk ended acknowledges nothing more, not even what the archive has.
 * @throws StratalogError of the disk's state.
 */
export function assertAcknowledging({ disk }: Engine): void {
  if (disk === null || !disk.facts.endsEpoch || disk.refusal === null) return
  const { code, message, details } = disk.refusal
  throw new StratalogError(code, message, { details: { ...details, fate: 'unknown' } })
}

function noLowerTier(): StratalogError {
  return new StratalogError(
    'argument_invalid',
    'An engine in RAM has no lower tier. Open it with a dataDir.',
  )
}

/** The policy was changed while the append waited. */
function notArchived(log: LiveLog, { partition }: Partition, endOffset: number): StratalogError {
  return new StratalogError(
    'store_unavailable',
    `The append is ${describeLevel(log.policy.wal ? 'disk' : 'memory')}, and its log uses no archive any more.`,
    { details: { log: log.name, partition, offset: endOffset } },
  )
}

function describeLevel(ack: AckLevel): string {
  return ack === 'disk' ? 'durable on disk' : 'in memory'
}
