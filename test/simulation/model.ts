/**
 * The model of a simulated engine: every append that was submitted, and what is known of its fate. It is held against
 * what the engine says and gives out; what does not fit is a violation of one of the invariants of docs/testing.md.
 *
 * A fate is never guessed. An append that was answered with an error, or with nothing because the process died, may be
 * there or not, and is then known by the first look that finds it.
 */
import type { AckLevel } from '../../src/format/manifest.ts'
import { LogModel, RANK, type Submission } from './log-model.ts'
import { PauseModel } from './pause-model.ts'
import { type LifeSpan, isPastRecoveryPoint, recoveryPointMs } from './recovery-point.ts'
import {
  type AppendFacts,
  type LogSpec,
  type Values,
  differenceOf,
  partitionOf,
} from './records.ts'
import { type WallTimes, mayBeRetired } from './retired.ts'
import { isOutOfTurn, isSuperseded } from './superseded.ts'
import { Violation } from './violation.ts'

/** The append that the last row belongs to. */
interface OpenAppend {
  readonly submission: Submission
  readonly index: number
}

export interface Look {
  readonly partition: number
  /** Where the first row must be; null: anywhere. */
  readonly from: number | null
  /** Whether the rows are all that the partition gives from `from` on. */
  readonly isWhole: boolean
  /** Whether nothing was appended since the engine recovered. */
  readonly isRecovery: boolean
  /** Whether another process than the writer reads: it may see what is not durable yet. */
  readonly isBeside?: boolean
  /** What must be among the rows. */
  readonly required: readonly Submission[]
}

/** What a snapshot has to hold of one log. */
export interface HeldLog {
  readonly log: LogModel
  readonly required: readonly Submission[]
}

export interface HeldSnapshot {
  readonly name: string
  readonly held: readonly HeldLog[]
  /** What it gave of logs when it was asked. */
  readonly seen: Map<LogModel, string>
}

export class Model {
  readonly logs: LogModel[]
  /** Logs that are gone, with their ids. */
  readonly deletions: { readonly log: LogModel; readonly id: number }[] = []
  /** Snapshots that were made, with what they have to hold. */
  readonly snapshots: HeldSnapshot[] = []
  restoredSnapshots = 0
  life = 0
  #nextId = 1
  acknowledged = 0
  readonly counts = {
    submitted: 0,
    refused: 0,
    unknown: 0,
    gone: 0,
    rowsRead: 0,
    pastRecoveryPoint: 0,
    deletedLogs: 0,
    replays: 0,
    retired: 0,
    detachedLogs: 0,
    pauses: 0,
    moments: 0,
  }
  readonly pauses: PauseModel = new PauseModel()
  readonly #wall: WallTimes

  constructor(specs: readonly LogSpec[], wall: WallTimes) {
    this.logs = specs.map((spec) => new LogModel(spec))
    this.#wall = wall
  }

  /** The log is gone; under its name there may be another, which begins anew. */
  deleted(log: LogModel, id: number | null): void {
    this.counts.deletedLogs++
    if (id !== null) this.deletions.push({ log, id })
    const { spec } = log
    this.pauses.forget(spec.name)
    this.logs[this.logs.indexOf(log)] = new LogModel({ ...spec, isDeclared: !spec.isDeclared })
  }

  submit(
    log: LogModel,
    facts: Omit<AppendFacts, 'id'>,
    wanted: ((id: number) => number | null) | null,
    level: AckLevel,
  ): Submission {
    const id = this.#nextId++
    const { spec } = log
    const submission: Submission = {
      ...facts,
      id,
      spec,
      wanted: wanted?.(id) ?? null,
      level,
      life: this.life,
      fate: 'pending',
      place: null,
      isShown: false,
      isDurable: false,
      inRam: null,
      time: null,
      submittedAt: { wall: this.#wall.now(), setBackMs: this.#wall.setBackMs },
    }
    log.byId.set(id, submission)
    this.counts.submitted++
    return submission
  }

  acked(
    log: LogModel,
    submission: Submission,
    result: { readonly partition: number; readonly offset: number; readonly count: number },
    now: number,
  ): void {
    const { partition, offset, count } = result
    const words = `append ${submission.id} of ${log.spec.name}`
    if (count !== submission.count)
      throw new Violation(
        'I5',
        `${words} had ${submission.count} records, ${count} are acknowledged`,
      )
    if (submission.wanted !== null && submission.wanted !== partition)
      throw new Violation('I2', `${words} went to partition ${partition}, not ${submission.wanted}`)
    this.#settle(log, submission, partition, offset, false)
    const rpoMs = recoveryPointMs(log.spec)
    const isPromised = rpoMs !== null && !log.isChanging && submission.fate !== 'acked'
    if (isPromised) submission.inRam = { at: now, rpoMs, changes: log.changes }
    submission.fate = 'acked'
    submission.isShown = log.shows(submission.level)
    this.acknowledged++
    if (RANK[submission.level] > 0) submission.isDurable = true
  }

  refused(submission: Submission): void {
    submission.fate = 'refused'
    this.counts.refused++
  }

  /** A producer sends it to this life of the engine: unless it is there for sure, it may be applied now. */
  sentAgain(log: LogModel, submission: Submission): void {
    if (submission.isDurable) return
    this.#forgetPlace(log, submission)
    submission.life = this.life
    submission.fate = 'unknown'
    submission.inRam = null
  }

  #forgetPlace(log: LogModel, submission: Submission): void {
    const { place: at } = submission
    if (at !== null && log.entriesOf(at.partition).get(at.offset) === submission)
      log.entriesOf(at.partition).delete(at.offset)
    submission.place = null
    submission.time = null
  }

  unknown(submission: Submission): void {
    if (submission.fate !== 'pending') return
    submission.fate = 'unknown'
    this.counts.unknown++
  }

  /** Everything acknowledged so far has a copy that outlives the process. */
  acknowledgedNow(log: LogModel): readonly Submission[] {
    return [...log.byId.values()].filter(({ fate, life }) => fate === 'acked' && life === this.life)
  }

  /** The process is gone: what was not answered is unknown, and what RAM had for long enough is there to stay. */
  processDied(span: LifeSpan): void {
    for (const log of this.logs) {
      for (const entry of log.byId.values()) {
        this.unknown(entry)
        const { inRam, isDurable, life } = entry
        if (inRam === null || isDurable || life !== this.life || inRam.changes !== log.changes)
          continue
        if (!isPastRecoveryPoint(inRam.rpoMs, inRam.at, span)) continue
        entry.isDurable = true
        this.counts.pastRecoveryPoint++
      }
    }
  }

  /** What a reader that begins now must find in a partition. */
  requiredIn(log: LogModel, partition: number): readonly Submission[] {
    return [...log.byId.values()].filter(
      ({ fate, place, level, isShown, isDurable, life }) =>
        place?.partition === partition &&
        fate === 'acked' &&
        (log.shows(level) || (isShown && life === this.life)) &&
        (life === this.life || isDurable),
    )
  }

  /** Holds rows, in offset order, against what was submitted. Returns the offset behind the last. */
  look(log: LogModel, rows: readonly Values[], look: Look): number {
    const { partition, from, isWhole, required } = look
    const isSparse = log.spec.keepsLatest === true
    const seen = new Set<Submission>()
    let [next, open]: [number | null, OpenAppend | null] = [from, null]
    for (const row of rows) {
      const offset = Number(row['_offset'])
      const isNext = next === null || offset === next || log.isGappy || isSparse
      if (!isNext && !this.#isRetiredBetween(log, partition, next ?? 0, offset))
        throw new Violation(
          'I3',
          `${place(log, partition, next ?? 0)} is missing; next is ${offset}`,
        )
      const submission = this.#ownerOf(log, partition, offset, row)
      const index = Number(row['index'])
      if (
        open !== null &&
        open.submission === submission &&
        isOutOfTurn(index, open.index, isSparse)
      )
        throw new Violation('I5', `${words(submission)} has record ${index} after ${open.index}`)
      if (open === null || open.submission !== submission) {
        if (open !== null && !isSuperseded(log, open.submission, rows)) assertEnded(open)
        // A segment that was retired may have ended within an append.
        const isCut = isSparse || (log.isRetained && open === null)
        if (isWhole && index !== 0 && !isCut)
          throw new Violation('I5', `${words(submission)} begins with record ${index}`)
        if (seen.has(submission)) throw new Violation('I4', `${words(submission)} is there twice`)
        seen.add(submission)
      }
      open = { submission, index }
      // Beside its writer a WAL of an epoch that failed may be seen, with what was taken back since.
      const isStale = look.isBeside === true && this.#mayBeTakenBack(submission)
      if (!isStale) this.#settle(log, submission, partition, offset - index, look.isRecovery)
      // Readers see a record no earlier than its log's level, and what recovery gives is durable before.
      if (look.isRecovery || (look.isBeside !== true && this.#showsDurable(log)))
        submission.isDurable = true
      if (!isStale) this.#checkTime(submission, index, Number(row['_time']))
      next = offset + 1
    }
    if (isWhole && open !== null && !isSuperseded(log, open.submission, rows)) assertEnded(open)
    this.counts.rowsRead += rows.length
    // A reader takes a log part by part, so what is retired meanwhile may lie behind what it had. Where nothing comes
    // behind, what is left may wait for the archive.
    const startBehind = ({ place }: Submission): number =>
      Number(
        rows.find((row) => Number(row['_offset']) > (place?.offset ?? 0))?.['_offset'] ?? Infinity,
      )
    for (const submission of required) {
      if (seen.has(submission) || this.isRetired(log, submission, startBehind(submission))) continue
      if (isSuperseded(log, submission, rows)) continue
      const { offset } = submission.place ?? { offset: null }
      throw new Violation(
        'I1',
        `${words(submission)} was acknowledged in life ${submission.life} at offset ${offset}, and is not in ${log.spec.name}/${partition}, which ends at ${next}`,
      )
    }
    return next ?? 0
  }

  /** Whether retention may have taken an append, of which readers begin at `start`. */
  isRetired(log: LogModel, submission: Submission, start: number): boolean {
    const isTaken = mayBeRetired(log, submission, start, this.#wall)
    if (isTaken) this.counts.retired++
    return isTaken
  }

  /** A reader takes a log part by part, and what comes next may be retired meanwhile. */
  #isRetiredBetween(log: LogModel, partition: number, from: number, to: number): boolean {
    if (!log.isRetained) return false
    return [...log.entriesOf(partition)].every(
      ([offset, submission]) =>
        offset < from || offset >= to || this.isRetired(log, submission, to),
    )
  }

  #mayBeTakenBack({ fate, level, isDurable }: Submission): boolean {
    return !isDurable && (fate === 'unknown' || level === 'memory')
  }

  #showsDurable(log: LogModel): boolean {
    return log.spec.ack !== 'memory' && log.lenientLife !== this.life
  }

  /** After recovery: what was not found has not survived, and may not come back. */
  recovered(log: LogModel, ends: readonly number[]): void {
    if (log.spec.ack === 'object' || log.isGappy) return
    for (const submission of log.byId.values()) {
      const { place: at, fate } = submission
      if (submission.life === this.life || submission.isDurable) continue
      if (fate === 'refused' || fate === 'gone') continue
      if (at !== null && at.offset < (ends[at.partition] ?? 0)) continue
      if (at !== null) log.entriesOf(at.partition).delete(at.offset)
      // Without a WAL the archive may know a segment that could not be asked for yet; and what was retired was there.
      if (log.wasWithoutWal || log.isRetained) continue
      submission.fate = 'gone'
      this.counts.gone++
    }
  }

  /** Whose record a row is. */
  #ownerOf(log: LogModel, partition: number, offset: number, row: Values): Submission {
    const submission = log.byId.get(Number(row['id']))
    const where = place(log, partition, offset)
    if (submission === undefined)
      throw new Violation('I2', `${where} holds ${JSON.stringify(row)}, which nobody appended`)
    if (submission.fate === 'refused')
      throw new Violation('I2', `${where} holds ${words(submission)}, which was refused`)
    if (submission.fate === 'gone')
      throw new Violation('I3', `${where} holds ${words(submission)}, which recovery had not found`)
    const difference = differenceOf(row, submission, Number(row['index']))
    if (difference !== null) throw new Violation('I1', `${where}: ${difference}`)
    if (submission.wanted !== null && submission.wanted !== partition)
      throw new Violation('I2', `${where} holds ${words(submission)} of another partition`)
    if (
      log.spec.isKeyed &&
      submission.wanted === null &&
      partitionOf(log.spec, submission.id) !== partition
    )
      throw new Violation('I2', `${where} holds a key of another partition`)
    return submission
  }

  /** An append is at an offset, and is nowhere else, and nothing else is there. */
  #settle(
    log: LogModel,
    submission: Submission,
    partition: number,
    offset: number,
    isRecovery: boolean,
  ): void {
    const entries = log.entriesOf(partition)
    // What was in RAM only is gone with its process, and what its first attempt left in the WAL comes back.
    if (isRecovery && submission.life < this.life && !submission.isDurable)
      this.#forgetPlace(log, submission)
    const known = submission.place
    if (known !== null && (known.partition !== partition || known.offset !== offset))
      throw new Violation(
        'I4',
        `${words(submission)} is at ${place(log, partition, offset)} and was at ${known.partition}/${known.offset}`,
      )
    const other = entries.get(offset)
    if (other !== undefined && other !== submission) {
      // What is refused without a word on its fate goes when the disk fails; who reads beside may have seen it.
      const isTakenBack = other.fate === 'unknown' && log.spec.hasWal
      const isStale = (other.life < this.life || isTakenBack) && !other.isDurable
      const isHidden = log.wasHidden || log.isGappy || log.mayForget
      // Who took it back, and appended this since, may have died before anybody looked.
      const isSince = isTakenBack && submission.life === other.life && submission.id > other.id
      const mayReplace = isStale && (!isRecovery || isHidden || isSince)
      if (!mayReplace)
        throw new Violation(
          'I3',
          `${place(log, partition, offset)} holds ${words(submission)} and held ${words(other)}`,
        )
      if ((other.fate === 'acked' || isTakenBack) && !log.wasWithoutWal) other.fate = 'gone'
    }
    entries.set(offset, submission)
    submission.place = { partition, offset }
  }

  #checkTime(submission: Submission, index: number, time: number): void {
    if (index !== 0) return
    submission.time ??= time
    if (submission.time !== time)
      throw new Violation('I1', `_time of ${words(submission)} was ${submission.time}, is ${time}`)
  }
}

function assertEnded({ submission, index }: OpenAppend): void {
  if (index === submission.count - 1) return
  throw new Violation('I5', `${words(submission)} ends with record ${index} of ${submission.count}`)
}

function words({ id, spec, count, level }: Submission): string {
  return `append ${id} (${count} records at '${level}' to ${spec.name})`
}

function place(log: LogModel, partition: number, offset: number): string {
  return `offset ${offset} of ${log.spec.name}/${partition}`
}
