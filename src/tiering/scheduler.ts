/**
 * The scheduler: asks the policy what to move and has the executors move it, round by round.
 *
 * - Two lanes (see lane.ts): `local` needs the disk only, `remote` needs the object store. Neither waits for the other.
 * - Each partition fails alone: its error is kept for `status`, and it is tried again after a growing pause.
 * - A round ends with one checkpoint for the whole engine, after which the WAL may let go of what was flushed.
 */
import type { Timer } from '../base/clock.ts'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Partition } from '../log/partition.ts'
import { archiveMemory } from './archive-memory.ts'
import type { TierMove, TieringContext } from './context.ts'
import {
  type CollectOptions,
  type CollectReport,
  collectArchive,
  isCollectable,
} from './collect.ts'
import { commitCheckpoint } from './checkpoint.ts'
import { dropDiskCopies } from './evict.ts'
import { compactSegments, settleCompaction } from './compact.ts'
import { compactableRuns } from './compaction-plan.ts'
import { compactionScope, partitionFacts } from './facts.ts'
import { isDetached } from './detach.ts'
import { flushPartition } from './flush.ts'
import { Lane } from './lane.ts'
import {
  type PartitionFacts,
  type PartitionPlan,
  type TieringInput,
  nextDueMs,
  planTiering,
} from './policy.ts'
import { ALL_LOGS, isPaused } from './pause.ts'
import { recallSegments } from './recall.ts'
import { retireArchived, retirePartition } from './retire.ts'
import { uploadSegments } from './upload.ts'

/**
 * An idle scheduler looks this often whether something has come due: the least delay that policies are honoured within.
 */
const LOOK_INTERVAL_MS = 250

const COLLECT_INTERVAL_MS = 60_000

/** Which tier `now` brings everything to. */
export type TierTarget = 'disk' | 'object'

/**
 * A snapshot pins records in the archive whatever their log's mode; otherwise a log moves only to tiers that it has.
 */
export interface NowOptions {
  readonly forSnapshot?: boolean
}

export interface TierReport {
  readonly moved: readonly TierMove[]
  /** Segments and batches that are still above the asked tier. */
  readonly pending: number
  /** Partitions that could not move, with why. */
  readonly failed: readonly TierFailure[]
}

export interface TierFailure {
  readonly log: string
  readonly partition: number
  readonly code: string
  readonly message: string
}

type LaneName = 'local' | 'remote'

interface Step {
  readonly log: LiveLog
  readonly partition: Partition
}

/** Of one step: what moved, or why nothing did. */
type Outcome = { readonly moves: readonly TierMove[] } | { readonly failure: TierFailure }

export class TieringScheduler {
  readonly #context: TieringContext
  readonly #lanes: Readonly<Record<LaneName, Lane>>
  #timer: Timer | null = null
  #nextCollect = 0
  #isClosed = false

  constructor(context: TieringContext) {
    this.#context = context
    this.#lanes = { local: new Lane(context.clock), remote: new Lane(context.clock) }
  }

  /** Begins to look for work; nothing moves before. */
  start(): void {
    if (this.#timer === null && !this.#isClosed) this.#arm()
  }

  /** Whether the directory was restored without its bytes, so that its disk is filled. */
  get isFilling(): boolean {
    return (this.#context.source ?? null) !== null
  }

  /** One round: everything that is due now. @throws StratalogError `engine_closed`. */
  async run(): Promise<readonly TierMove[]> {
    this.#assertOpen()
    return [...(await this.#runDue('local', true)), ...(await this.#runDue('remote', true))]
  }

  /**
   * Brings all that was appended before the call to `target`, whatever its age; returns when it is there or has failed.
   * @throws StratalogError `engine_closed`.
   */
  async now(
    logs: readonly LiveLog[],
    target: TierTarget,
    options: NowOptions = {},
  ): Promise<TierReport> {
    this.#assertOpen()
    const steps = stepsOf(logs, options.forSnapshot)
    const flushing = steps.filter(flushesToDisk).filter(isFlushed)
    const local = await this.#runSteps('local', flushing, (step) =>
      flushPartition(this.#context, step.log, step.partition, 'disk'),
    )
    const failed = new Set(failuresOf(local).map(({ log, partition }) => `${log}/${partition}`))
    const isRemote = (step: Step): boolean =>
      (!step.log.policy.localDisk || lowestTier(step.log, target, options) === 'object') &&
      !failed.has(`${step.log.name}/${step.partition.partition}`)
    const remote = await this.#runSteps('remote', steps.filter(isRemote), (step) =>
      this.#archiveAll(step),
    )
    const outcomes = [...local, ...remote]
    return {
      moved: movesOf(outcomes),
      pending: steps.reduce(
        (sum, step) => sum + pendingFor(step, lowestTier(step.log, target, options)),
        0,
      ),
      failed: failuresOf(outcomes),
    }
  }

  /** Removes what the archive keeps in mind and nothing needs. @throws StratalogError what the object store throws. */
  collect(options: CollectOptions = {}): Promise<CollectReport> {
    this.#assertOpen()
    return this.#lanes.remote.round(() => collectArchive(this.#context, options))
  }

  /** Makes one segment of each run of neighbours that fit one, however many or few they are. */
  async compact(logs: readonly LiveLog[]): Promise<TierReport> {
    this.#assertOpen()
    const steps = stepsOf(logs).filter(({ log }) => log.policy.mode !== 'memory')
    const outcomes = await this.#runSteps('remote', steps, async ({ log, partition }) => {
      const moves: TierMove[] = []
      const scope = compactionScope(log, partition.partition, this.#context.archive)
      for (const run of compactableRuns(partition.segments, scope))
        moves.push(...(await compactSegments(this.#context, log, partition, run)))
      return moves
    })
    return { moved: movesOf(outcomes), pending: 0, failed: failuresOf(outcomes) }
  }

  /** Runs `work` while nothing of the log moves. */
  exclusively<T>(log: LiveLog, work: () => Promise<T>): Promise<T> {
    return log.partitions
      .flatMap((partition) => Object.values(this.#lanes).map((lane) => ({ lane, partition })))
      .reduceRight(
        (inner, { lane, partition }) =>
          () =>
            lane.hold(partition, inner),
        work,
      )()
  }

  /** For a snapshot: archives what a memory-mode log has in RAM below `end`, one call at a time in a partition. */
  archiveMemory(log: LiveLog, partition: Partition, end: number): Promise<readonly TierMove[]> {
    return this.#lanes.remote.attempt(partition, () =>
      archiveMemory(this.#context, log, partition, end),
    )
  }

  /**
   * Under memory pressure: flushes what has a disk to go to and drops every RAM copy that is proven below. What goes
   * straight to the object store is sent off as well, and not waited for.
   */
  async relieve(): Promise<void> {
    if (this.#isClosed) return
    const steps = stepsOf(this.#context.logs())
    const { local, remote } = this.#lanes
    const mayFlush = (lane: Lane) => (step: Step) =>
      step.partition.nextOffset > step.partition.flushedEnd && !lane.isBackingOff(step.partition)
    const toObject = steps.filter((step) => !step.log.policy.localDisk).filter(mayFlush(remote))
    if (toObject.length > 0 && !remote.isBusy) {
      this.#runInBackground('remote', () =>
        this.#runSteps('remote', toObject, (step) => this.#flushAndDrop(step, 'object')),
      )
    }
    const toDisk = steps.filter(flushesToDisk).filter(mayFlush(local))
    await this.#runSteps('local', toDisk, (step) => this.#flushAndDrop(step, 'disk'))
  }

  /** Stops looking, waits for what runs, and brings down what no WAL would bring back. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#timer?.cancel()
    await Promise.all(Object.values(this.#lanes).map((lane) => lane.round(async () => {})))
    const isOnlyInRam = ({ log, partition }: Step): boolean =>
      partition.isOwing || (!log.policy.wal && partition.nextOffset > partition.flushedEnd)
    const steps = stepsOf(this.#context.logs()).filter(isOnlyInRam)
    const flushTo = (target: TierTarget) => (step: Step) =>
      flushPartition(this.#context, step.log, step.partition, target)
    const outcomes = [
      ...(await this.#runSteps('local', steps.filter(flushesToDisk), flushTo('disk'))),
      ...(await this.#runSteps(
        'remote',
        steps.filter((step) => !step.log.policy.localDisk),
        flushTo('object'),
      )),
    ]
    for (const failure of failuresOf(outcomes)) {
      this.#context.logger.error('Records of a log without a WAL were lost at closing.', {
        ...failure,
      })
    }
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new StratalogError('engine_closed', 'The engine is closed.')
  }

  #arm(): void {
    this.#timer = this.#context.clock.setTimer(LOOK_INTERVAL_MS, () => {
      if (this.#isClosed) return
      this.#arm()
      if (isPaused(this.#context, ALL_LOGS)) return
      this.#collectWhenDue()
      if (nextDueMs(this.#input(false)) > 0) return
      for (const lane of ['local', 'remote'] as const) {
        // A round that takes long is not followed by all those that came due meanwhile.
        if (!this.#lanes[lane].isBusy) this.#runInBackground(lane, () => this.#runDue(lane, false))
      }
    })
  }

  /** The archive is looked through for what may be collected, now and then. */
  #collectWhenDue(): void {
    const now = this.#context.clock.monotonic()
    if (now < this.#nextCollect || this.#lanes.remote.isBusy) return
    this.#nextCollect = now + COLLECT_INTERVAL_MS
    if (isCollectable(this.#context)) this.#runInBackground('remote', () => this.collect())
  }

  #runInBackground(lane: LaneName, round: () => Promise<unknown>): void {
    round().catch((error: unknown) => {
      this.#context.logger.error('A tiering round failed.', { lane, reason: String(error) })
    })
  }

  /** Logs whose moves are paused move when somebody asks for a round. */
  #input(isAsked: boolean): TieringInput {
    const partitions: PartitionFacts[] = []
    for (const { log, partition } of stepsOf(this.#context.logs())) {
      if (!isAsked && isPaused(this.#context, log.id)) continue
      partitions.push(partitionFacts(log, partition, this.#context.archive, this.isFilling))
    }
    return {
      now: this.#context.clock.now(),
      hasArchive: this.#context.archive !== null,
      partitions,
    }
  }

  /** One round of a lane: its part of what is due. */
  #runDue(name: LaneName, isAsked: boolean): Promise<readonly TierMove[]> {
    const lane = this.#lanes[name]
    return lane.round(async () => {
      const logs = new Map([...this.#context.logs()].map((log) => [log.id, log]))
      const due: { readonly step: Step; readonly plan: PartitionPlan }[] = []
      for (const plan of planTiering(this.#input(isAsked))) {
        const log = logs.get(plan.logId)
        const partition = log?.partitions[plan.partition]
        if (log === undefined || partition === undefined) continue
        // To drop what is proven below needs no tier that could fail.
        if (name === 'local') partition.dropHot(plan.dropHotTo)
        if (!hasPart(name, plan) || lane.isBackingOff(partition)) continue
        due.push({ step: { log, partition }, plan })
      }
      const outcomes = await lane.all(
        due.map(
          ({ step, plan }) =>
            () =>
              this.#attempt(name, step, () => this.#execute(name, step, plan)),
        ),
      )
      if (due.length > 0) await this.#checkpoint()
      return movesOf(outcomes)
    })
  }

  async #execute(
    name: LaneName,
    { log, partition }: Step,
    plan: PartitionPlan,
  ): Promise<readonly TierMove[]> {
    const moves: TierMove[] = []
    if (name === 'local') {
      if (plan.retireTo > 0) await retirePartition(this.#context, log, partition, plan.retireTo)
      if (plan.flush === 'disk')
        moves.push(...(await flushPartition(this.#context, log, partition, 'disk')))
      return moves
    }
    if (plan.retireArchived) await retireArchived(this.#context, log)
    if (plan.dropDisk.length > 0) {
      moves.push(...(await dropDiskCopies(this.#context, log, partition, plan.dropDisk)))
    }
    if (plan.flush === 'object') {
      moves.push(...(await flushPartition(this.#context, log, partition, 'object')))
    }
    if (plan.upload.length > 0) {
      moves.push(...(await uploadSegments(this.#context, log, partition, plan.upload)))
    }
    if (plan.compact !== null) {
      moves.push(...(await compactSegments(this.#context, log, partition, plan.compact)))
    }
    if (plan.recall.length > 0) {
      moves.push(...(await recallSegments(this.#context, log, partition, plan.recall)))
    }
    return moves
  }

  async #archiveAll({ log, partition }: Step): Promise<readonly TierMove[]> {
    const isDirect = !log.policy.localDisk
    const moves = isDirect
      ? [...(await flushPartition(this.#context, log, partition, 'object'))]
      : []
    const offsets = Array.from(partition.segments.lacking('object'), (entry) => entry.baseOffset)
    if (offsets.length > 0) {
      moves.push(...(await uploadSegments(this.#context, log, partition, offsets)))
    }
    return moves
  }

  async #flushAndDrop({ log, partition }: Step, target: TierTarget): Promise<readonly TierMove[]> {
    const moves = await flushPartition(this.#context, log, partition, target)
    partition.dropHot(partition.flushedEnd)
    return moves
  }

  /** A round of one move for each of the steps. */
  async #runSteps(
    name: LaneName,
    steps: readonly Step[],
    move: (step: Step) => Promise<readonly TierMove[]>,
  ): Promise<readonly Outcome[]> {
    if (steps.length === 0) return []
    const lane = this.#lanes[name]
    return lane.round(async () => {
      const outcomes = await lane.all(
        steps.map((step) => () => this.#attempt(name, step, () => move(step))),
      )
      await this.#checkpoint()
      return outcomes
    })
  }

  /** Runs one partition's move; a failure is said, kept with the partition, and not thrown. */
  async #attempt(
    name: LaneName,
    { log, partition }: Step,
    move: () => Promise<readonly TierMove[]>,
  ): Promise<Outcome> {
    const { local, remote } = this.#lanes
    const settled = async (): Promise<readonly TierMove[]> => {
      if (isDetached(log)) return []
      if (name === 'remote') await this.#settle(log, partition)
      return move()
    }
    try {
      return { moves: await this.#lanes[name].attempt(partition, settled) }
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      this.#context.metrics.count('stratalog_tier_failures_total', 1)
      this.#context.logger.warn('A tier move failed and will be tried again.', {
        log: log.name,
        partition: partition.partition,
        lane: name,
        reason: message,
      })
      const code = isStratalogError(error) ? error.code : 'internal'
      return { failure: { log: log.name, partition: partition.partition, code, message } }
    } finally {
      partition.lastError = local.errorOf(partition) ?? remote.errorOf(partition)
    }
  }

  /** Manifests and partition agree before anything moves that the archive may know of. */
  async #settle(log: LiveLog, partition: Partition): Promise<void> {
    const { archive } = this.#context
    if (archive?.isSure === false) await archive.settle()
    await settleCompaction(this.#context, log, partition)
  }

  async #checkpoint(): Promise<void> {
    try {
      await commitCheckpoint(this.#context)
    } catch (error) {
      this.#context.logger.warn(
        'The checkpoint could not be committed; recovery starts further back.',
        { reason: String(error) },
      )
    }
  }
}

/**
 * Partitions of logs that have a tier below RAM, or had one when their records came; for a snapshot also those of logs
 * in RAM that have segments which the archive does not.
 */
function stepsOf(logs: Iterable<LiveLog>, forSnapshot = false): readonly Step[] {
  const steps: Step[] = []
  for (const log of logs) {
    const isInRam = log.policy.mode === 'memory'
    for (const partition of log.partitions) {
      const isWanted = !isInRam || partition.isOwing || (forSnapshot && lacksObjects(partition) > 0)
      if (isWanted) steps.push({ log, partition })
    }
  }
  return steps
}

/** A log in RAM flushes nothing but what it owes. */
function isFlushed({ log, partition }: Step): boolean {
  return log.policy.mode !== 'memory' || partition.isOwing
}

function flushesToDisk({ log }: Step): boolean {
  return log.policy.localDisk
}

function hasPart(name: LaneName, plan: PartitionPlan): boolean {
  if (name === 'local') return plan.flush === 'disk' || plan.retireTo > 0
  const counts = [plan.upload, plan.dropDisk, plan.recall].map(({ length }) => length)
  const isForced = plan.retireArchived || plan.compact !== null
  return plan.flush === 'object' || isForced || counts.some((count) => count > 0)
}

function movesOf(outcomes: readonly Outcome[]): readonly TierMove[] {
  return outcomes.flatMap((outcome) => ('moves' in outcome ? outcome.moves : []))
}

function failuresOf(outcomes: readonly Outcome[]): readonly TierFailure[] {
  return outcomes.flatMap((outcome) => ('failure' in outcome ? [outcome.failure] : []))
}

function lowestTier(
  log: LiveLog,
  target: TierTarget,
  { forSnapshot = false }: NowOptions,
): TierTarget {
  return log.policy.mode !== 'hybrid' && !forSnapshot ? 'disk' : target
}

function lacksObjects({ segments }: Partition): number {
  return segments.length - segments.countHaving('object')
}

function pendingFor(step: Step, target: TierTarget): number {
  const { partition } = step
  const inRam = !isFlushed(step)
    ? 0
    : partition.batches.filter((batch) => batch.endOffset > partition.flushedEnd).length
  const onDisk = target === 'object' ? lacksObjects(partition) : 0
  return inRam + onDisk
}
