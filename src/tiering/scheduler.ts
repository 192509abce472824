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
import { commitCheckpoint, walDueBelow } from './checkpoint.ts'
import { diskFailures, isWaitingForDisk } from './disk-shortage.ts'
import { dropDiskCopies } from './evict.ts'
import { compactSegments, settleCompaction } from './compact.ts'
import { compactableRuns } from './compaction-plan.ts'
import { compactionScope, partitionFacts } from './facts.ts'
import { keepLatest, keepLatestOnly } from './keep-latest.ts'
import { flushPartition } from './flush.ts'
import { Lane } from './lane.ts'
import { hasLoosePacks } from './loose-packs.ts'
import {
  type PartitionFacts,
  type PartitionPlan,
  type TieringInput,
  nextDueMs,
  planTiering,
} from './policy.ts'
import { ALL_LOGS, isPaused } from './pause.ts'
import { recallSegments } from './recall.ts'
import type { Round } from './round.ts'
import { retireArchived, retirePartition, tellShared } from './retire.ts'
import {
  type LaneName,
  type Move,
  type NowOptions,
  type Outcome,
  type Step,
  type TierReport,
  type TierTarget,
  stepsOf,
  flushEnd,
  hasFailed,
  isFlushed,
  flushesToDisk,
  hasPart,
  movesOf,
  failuresOf,
  lowestTier,
  pendingFor,
} from './steps.ts'
import { tidyPacks } from './thin-files.ts'
import { TIER_LIMITS, type TierLimits } from './tier-limits.ts'
import { areEndsUnsure } from './unsure-ends.ts'
import { uploadSegments } from './upload.ts'

/**
 * An idle scheduler looks this often whether something has come due: the least delay that policies are honoured within.
 */
const LOOK_INTERVAL_MS = 250

const COLLECT_INTERVAL_MS = 60_000

export class TieringScheduler {
  readonly #context: TieringContext
  readonly #lanes: Readonly<Record<LaneName, Lane>>
  #timer: Timer | null = null
  #nextCollect = 0
  #isClosed = false
  /** Why nothing moves any more, before it is closed. */
  #halted: StratalogError | null = null

  constructor(context: TieringContext, { maxFlushes, maxUploads }: TierLimits = TIER_LIMITS) {
    const { clock } = context
    this.#context = context
    this.#lanes = { local: new Lane(clock, maxFlushes), remote: new Lane(clock, maxUploads) }
  }

  /** Begins to look for work; nothing moves before. */
  start(): void {
    if (this.#timer === null && !this.#isClosed) this.#arm()
  }

  /** Nothing moves any more, and who asks for it is refused with `reason`. */
  halt(reason: StratalogError): void {
    this.#halted = reason
    this.#timer?.cancel()
    // Who waits for room on disk is refused for the same reason.
    this.#context.diskBudget.lift()
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
    const ends = new Map(steps.map((step) => [step, flushEnd(step)]))
    const isBelow = (step: Step, reached: number): boolean =>
      reached < Math.min(ends.get(step) ?? 0, step.partition.nextOffset)
    const isUnflushed = (step: Step): boolean =>
      flushesToDisk(step) && isBelow(step, step.partition.flushedEnd)
    // What a round of the scheduler flushed meanwhile still has to be archived.
    const isBehind = (step: Step): boolean =>
      isUnflushed(step) ||
      (lowestTier(step.log, target, options) === 'object' &&
        isBelow(step, step.partition.archivedEnd))
    const outcomes: Outcome[] = []
    // A flush takes what the disk has room for; what it made room for comes with the next.
    for (let left: readonly Step[] = steps; ;) {
      const round = await this.#bringDown(left, target, options)
      outcomes.push(...round)
      const failed = failuresOf(round)
      left = left.filter((step) => isBehind(step) && !hasFailed(step, failed))
      if (left.length === 0 || movesOf(round).length === 0) break
    }
    const failed = failuresOf(outcomes)
    return {
      moved: movesOf(outcomes),
      pending: steps.reduce(
        (sum, step) => sum + pendingFor(step, lowestTier(step.log, target, options)),
        0,
      ),
      failed: [...failed, ...diskFailures(this.#context, steps.filter(isUnflushed), failed)],
    }
  }

  async #bringDown(
    steps: readonly Step[],
    target: TierTarget,
    options: NowOptions,
  ): Promise<readonly Outcome[]> {
    const flushing = steps.filter(flushesToDisk).filter(isFlushed)
    const local = await this.#runSteps('local', flushing, flushTo('disk'))
    const failed = failuresOf(local)
    const isRemote = (step: Step): boolean =>
      (!step.log.policy.localDisk || lowestTier(step.log, target, options) === 'object') &&
      !hasFailed(step, failed)
    const remote = await this.#runSteps('remote', steps.filter(isRemote), (step, context) =>
      this.#archiveAll(step, context),
    )
    return [...local, ...remote]
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
    const outcomes = await this.#runSteps('remote', steps, async ({ log, partition }, context) => {
      const moves: TierMove[] = []
      const scope = compactionScope(log, partition.partition, context.archive)
      const runs = compactableRuns(partition.segments, scope)
      if (log.policy.keep === 'latest') return keepLatestOnly(context, log, partition, runs)
      for (const run of runs) moves.push(...(await compactSegments(context, log, partition, run)))
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
    return this.#lanes.remote.attempt(partition, async () =>
      log.closed === null ? archiveMemory(this.#context, log, partition, end) : [],
    )
  }

  /**
   * Under memory pressure: flushes what has a disk to go to and drops every RAM copy that is proven below. What goes
   * straight to the object store is sent off as well, and not waited for.
   */
  async relieve(): Promise<void> {
    if (this.#isClosed || this.#halted !== null) return
    const steps = stepsOf(this.#context.logs()).filter(({ log }) => log.policy.diskFallback)
    const { local, remote } = this.#lanes
    const mayFlush = (lane: Lane) => (step: Step) =>
      step.partition.nextOffset > step.partition.flushedEnd && !lane.isBackingOff(step.partition)
    const fits = ({ partition }: Step): boolean => !isWaitingForDisk(this.#context, partition)
    const toObject = steps.filter((step) => !step.log.policy.localDisk).filter(mayFlush(remote))
    if (toObject.length > 0 && !remote.isBusy) {
      this.#runInBackground('remote', () =>
        this.#runSteps('remote', toObject, (step, context) =>
          this.#flushAndDrop(context, step, 'object'),
        ),
      )
    }
    const toDisk = steps.filter(flushesToDisk).filter(mayFlush(local)).filter(fits)
    await this.#runSteps('local', toDisk, (step, context) =>
      this.#flushAndDrop(context, step, 'disk'),
    )
  }

  /** Stops looking, waits for what runs, and brings down what no WAL would bring back. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#timer?.cancel()
    // What is only in RAM is worth more than the line.
    this.#context.diskBudget.lift()
    await Promise.all(Object.values(this.#lanes).map((lane) => lane.round(async () => {})))
    const isOnlyInRam = ({ log, partition }: Step): boolean =>
      partition.isOwing || (!log.policy.wal && partition.nextOffset > partition.flushedEnd)
    const steps = stepsOf(this.#context.logs()).filter(isOnlyInRam)
    // To an archive that has a newer writer nothing goes.
    const isLocal = (step: Step): boolean => flushesToDisk(step) || this.#halted !== null
    const remote = steps.filter((step) => !isLocal(step))
    const outcomes = [
      ...(await this.#runSteps('local', steps.filter(isLocal), flushTo('disk'))),
      ...(await this.#runSteps('remote', remote, flushTo('object'))),
    ]
    for (const failure of failuresOf(outcomes)) {
      this.#context.logger.error('Records of a log without a WAL were lost at closing.', {
        ...failure,
      })
    }
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new StratalogError('engine_closed', 'The engine is closed.')
    if (this.#halted !== null) throw this.#halted
  }

  #arm(): void {
    this.#timer = this.#context.clock.setTimer(LOOK_INTERVAL_MS, () => {
      if (this.#isClosed || this.#halted !== null) return
      this.#arm()
      if (!isPaused(this.#context, ALL_LOGS)) this.#collectWhenDue()
      if (areEndsUnsure(this.#context) && !this.#lanes.local.isBusy)
        this.#runInBackground('local', () => this.#commitEnds())
      if (nextDueMs(this.#input(false)) > 0 && !hasLoosePacks(this.#context)) return
      for (const lane of ['local', 'remote'] as const) {
        // A round that takes long is not followed by all those that came due meanwhile.
        if (!this.#lanes[lane].isBusy) this.#runInBackground(lane, () => this.#runOn(lane))
      }
    })
  }

  #commitEnds(): Promise<void> {
    return this.#lanes.local.round(() => commitCheckpoint(this.#context))
  }

  /** A round, and another as long as they make room that the disk lacks. */
  async #runOn(lane: LaneName): Promise<void> {
    for (;;) {
      const moves = await this.#runDue(lane, false)
      const isPressed = this.#context.diskBudget.facts().excessBytes > 0
      if (moves.length === 0 || !isPressed || this.#isClosed) return
    }
  }

  /** The archive is looked through for what may be collected, now and then. */
  #collectWhenDue(): void {
    const now = this.#context.clock.monotonic()
    if (now < this.#nextCollect || this.#lanes.remote.isBusy) return
    this.#nextCollect = now + COLLECT_INTERVAL_MS
    const { archive } = this.#context
    if (archive?.isUntold === true) this.#runInBackground('remote', () => archive.tellDeleted())
    if (isCollectable(this.#context)) this.#runInBackground('remote', () => this.collect())
  }

  #runInBackground(lane: LaneName, round: () => Promise<unknown>): void {
    round().catch((error: unknown) => {
      this.#context.logger.error('A tiering round failed.', { lane, reason: String(error) })
    })
  }

  /** Logs whose moves are paused move as the others when somebody asks for a round. */
  #input(isAsked: boolean): TieringInput {
    const partitions: PartitionFacts[] = []
    const walDue = walDueBelow(this.#context)
    for (const { log, partition } of stepsOf(this.#context.logs())) {
      const around = {
        walDueBelow: walDue,
        isFailing: this.#lanes.remote.isBackingOff(partition),
        isPaused: !isAsked && isPaused(this.#context, log.id),
        isFilling: this.isFilling,
      }
      partitions.push(partitionFacts(log, partition, this.#context.archive, around))
    }
    return {
      now: this.#context.clock.now(),
      hasArchive: this.#context.archive !== null,
      disk: this.#context.diskBudget.facts(),
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
            (round) =>
              this.#attempt(name, step, round, (context) =>
                this.#execute(context, name, step, plan),
              ),
        ),
      )
      await this.#endRound(name, due.length > 0)
      return movesOf(outcomes)
    })
  }

  async #execute(
    context: TieringContext,
    name: LaneName,
    { log, partition }: Step,
    plan: PartitionPlan,
  ): Promise<readonly TierMove[]> {
    const moves: TierMove[] = []
    if (name === 'local') {
      if (plan.retireTo > 0) await retirePartition(context, log, partition, plan.retireTo)
      if (plan.flush === 'disk')
        moves.push(...(await flushPartition(context, log, partition, 'disk')))
      return moves
    }
    if (plan.retireArchived) await retireArchived(context, log)
    if (plan.dropDisk.length > 0) {
      moves.push(...(await dropDiskCopies(context, log, partition, plan.dropDisk)))
    }
    if (plan.flush === 'object') {
      moves.push(...(await flushPartition(context, log, partition, 'object')))
    }
    if (plan.upload.length > 0) {
      moves.push(...(await uploadSegments(context, log, partition, plan.upload)))
    }
    if (plan.keepLatest) moves.push(...(await keepLatest(context, log, partition)))
    if (plan.compact !== null) {
      moves.push(...(await compactSegments(context, log, partition, plan.compact)))
    }
    if (plan.recall.length > 0) {
      moves.push(...(await recallSegments(context, log, partition, plan.recall)))
    }
    return moves
  }

  async #archiveAll(
    { log, partition }: Step,
    context: TieringContext,
  ): Promise<readonly TierMove[]> {
    await tellShared(context, log, partition.partition)
    const isDirect = !log.policy.localDisk
    const moves = isDirect ? [...(await flushPartition(context, log, partition, 'object'))] : []
    const offsets = Array.from(partition.segments.lacking('object'), (entry) => entry.baseOffset)
    if (offsets.length > 0) {
      moves.push(...(await uploadSegments(context, log, partition, offsets)))
    }
    return moves
  }

  async #flushAndDrop(
    context: TieringContext,
    { log, partition }: Step,
    target: TierTarget,
  ): Promise<readonly TierMove[]> {
    const moves = await flushPartition(context, log, partition, target)
    partition.dropHot(partition.flushedEnd)
    return moves
  }

  /** A round of one move for each of the steps. */
  async #runSteps(name: LaneName, steps: readonly Step[], move: Move): Promise<readonly Outcome[]> {
    if (steps.length === 0) return []
    const lane = this.#lanes[name]
    return lane.round(async () => {
      const outcomes = await lane.all(
        steps.map(
          (step) => (round) => this.#attempt(name, step, round, (context) => move(step, context)),
        ),
      )
      await this.#endRound(name, true)
      return outcomes
    })
  }

  /** Runs one partition's move; a failure is said, kept with the partition, and not thrown. */
  async #attempt(
    name: LaneName,
    { log, partition }: Step,
    round: Round,
    move: (context: TieringContext) => Promise<readonly TierMove[]>,
  ): Promise<Outcome> {
    const { local, remote } = this.#lanes
    // What is flushed while one that is halted closes does not ask an archive that is no longer its own.
    const archive = this.#halted === null ? this.#context.archive : null
    const context = { ...this.#context, archive, round }
    const settled = async (): Promise<readonly TierMove[]> => {
      if (log.closed !== null) return []
      if (name === 'remote') await this.#settle(context, log, partition)
      return move(context)
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
  async #settle(context: TieringContext, log: LiveLog, partition: Partition): Promise<void> {
    const { archive } = context
    if (archive?.isSure === false) await archive.settle()
    await settleCompaction(context, log, partition)
  }

  async #endRound(name: LaneName, hasMoved: boolean): Promise<void> {
    const { logger } = this.#context
    try {
      if (hasMoved) await commitCheckpoint(this.#context)
    } catch (error) {
      const reason = String(error)
      logger.warn('The checkpoint could not be committed; recovery starts further back.', {
        reason,
      })
    }
    try {
      if (name === 'local') await tidyPacks(this.#context)
    } catch (error) {
      logger.warn('Packs of dropped segments are looked at again later.', { reason: String(error) })
    }
  }
}

function flushTo(target: TierTarget): Move {
  return ({ log, partition }, context) => flushPartition(context, log, partition, target)
}
