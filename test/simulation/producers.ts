/**
 * Producers of a simulated workload: they send again what was not answered, also to a later life of the engine, and
 * send what is there already, what is fenced and what comes too early, to see that it changes nothing.
 */
import { isStratalogError } from '../../src/base/errors.ts'
import type { AppendResult, Log } from '../../src/index.ts'
import type { AckLevel } from '../../src/format/manifest.ts'
import { CHANGED_CODES } from './checks.ts'
import type { Dice } from './dice.ts'
import type { Life } from './life.ts'
import type { LogModel, Submission } from './log-model.ts'
import { Violation } from './violation.ts'
import { rowsOf } from './records.ts'

/** Of this many appends a log remembers where they are; one less, as another may be on its way. */
const REMEMBERED = 31
const IN_FLIGHT_MAX = 4

type Answer = 'acked' | 'refused' | 'gap' | 'unknown' | 'dead'

/** What a sender knows of its appends to one partition. */
class ProducerModel {
  readonly id: string
  readonly partition: number
  epoch = 0
  /** Of this epoch, by sequence. */
  sent: Submission[] = []
  /** Of what a log had in RAM only nothing is remembered in the next life. */
  life = 0
  isBusy = false

  constructor(id: string, partition: number) {
    this.id = id
    this.partition = partition
  }

  beginEpoch(): void {
    this.epoch++
    this.sent = []
  }
}

const producers = new WeakMap<LogModel, ProducerModel[]>()

/** One turn of a producer of the log; whether it can be told where its appends must go. */
export async function produce(life: Life, dice: Dice, log: LogModel, opened: Log): Promise<void> {
  if (log.spec.isKeyed && log.spec.partitions > 1) return
  const known = producers.get(log) ?? makeProducers(log)
  producers.set(log, known)
  const producer = dice.pick(known)
  if (producer.isBusy) return
  producer.isBusy = true
  try {
    await new Turn(life, dice, log, opened, producer).take()
  } finally {
    // Of a process that died the next life is not to wait.
    producer.isBusy = false
  }
}

function makeProducers({ spec }: LogModel): ProducerModel[] {
  return Array.from(
    { length: 2 * spec.partitions },
    (_, index) => new ProducerModel(`sender-${index}`, index % spec.partitions),
  )
}

class Turn {
  readonly #life: Life
  readonly #dice: Dice
  readonly #log: LogModel
  readonly #opened: Log
  readonly #producer: ProducerModel

  constructor(life: Life, dice: Dice, log: LogModel, opened: Log, producer: ProducerModel) {
    this.#life = life
    this.#dice = dice
    this.#log = log
    this.#opened = opened
    this.#producer = producer
  }

  async take(): Promise<void> {
    const producer = this.#producer
    const dice = this.#dice
    const { life } = this.#life.model
    if (this.#log.isGappy && producer.life !== life) producer.beginEpoch()
    producer.life = life
    const unanswered = producer.sent.findIndex(({ fate }) => fate !== 'acked')
    if (unanswered !== -1) return this.#sendAgain(unanswered)
    const newest = producer.sent.at(-1)
    if (newest !== undefined && this.#isHeld(newest)) {
      if (dice.chance(0.25)) return this.#repeat()
      if (dice.chance(0.1)) return this.#sendEarly()
      if (producer.epoch > 0 && dice.chance(0.15)) return this.#sendFenced()
    }
    if (dice.chance(0.05)) producer.beginEpoch()
    await this.#sendNew()
  }

  /** Several at once: those behind one that is refused come too early. */
  async #sendNew(): Promise<void> {
    const { sent } = this.#producer
    const count = this.#dice.chance(0.7) ? 1 : this.#dice.int(2, IN_FLIGHT_MAX)
    const first = sent.length
    const submissions = Array.from({ length: count }, () => this.#submit())
    sent.push(...submissions)
    const answers = await Promise.all(
      submissions.map((submission, index) => this.#send(submission, first + index)),
    )
    const refused = answers.findIndex((answer) => answer === 'refused' || answer === 'gap')
    if (refused === -1) return
    if (answers[refused] === 'gap' && answers[refused - 1] === undefined)
      this.#producer.beginEpoch()
    else sent.length = first + refused
  }

  /** In order, until one is not answered again. */
  async #sendAgain(first: number): Promise<void> {
    const { model } = this.#life
    const { sent } = this.#producer
    for (let sequence = first; sequence < sent.length; sequence++) {
      const submission = sent[sequence]
      if (submission === undefined) return
      const wasDurable = submission.isDurable
      model.sentAgain(this.#log, submission)
      submission.level = this.#levelOf(submission)
      const answer = await this.#send(submission, sequence, wasDurable)
      if (answer === 'gap') this.#producer.beginEpoch()
      if (answer !== 'acked') return
    }
  }

  /** What was acknowledged is answered with where it is. */
  async #repeat(): Promise<void> {
    const { sent } = this.#producer
    const sequence = this.#dice.int(Math.max(0, sent.length - REMEMBERED), sent.length - 1)
    const submission = sent[sequence]
    if (submission !== undefined && this.#isHeld(submission))
      await this.#send(submission, sequence, true)
  }

  async #sendEarly(): Promise<void> {
    const { epoch, sent } = this.#producer
    const sequence = sent.length + this.#dice.int(1, 3)
    await this.#expectRefusal(epoch, sequence, 'producer_sequence_gap')
  }

  async #sendFenced(): Promise<void> {
    const { epoch } = this.#producer
    await this.#expectRefusal(epoch - 1, this.#dice.int(0, 3), 'producer_fenced')
  }

  async #expectRefusal(
    epoch: number,
    sequence: number,
    code: 'producer_sequence_gap' | 'producer_fenced',
  ): Promise<void> {
    const { process, checks, model } = this.#life
    const submission = this.#submit()
    const doing = `${this.#log.spec.name}: append ${submission.id} as ${this.#producer.id} ${epoch}/${sequence}`
    model.refused(submission)
    try {
      const result = await checks.patiently(
        process,
        doing,
        this.#append(submission, epoch, sequence),
      )
      if (result !== 'dead') throw new Violation('I4', `${doing} is taken, not refused as ${code}`)
    } catch (error) {
      checks.explain(error, doing, [code, 'memory_full', 'engine_closed', ...CHANGED_CODES])
    }
  }

  async #send(submission: Submission, sequence: number, isThere = false): Promise<Answer> {
    const { process, model, checks, world, isPoisoned } = this.#life
    const { id, epoch } = this.#producer
    const doing = `${this.#log.spec.name}: append ${submission.id} as ${id} ${epoch}/${sequence}`
    const wasPoisoned = isPoisoned()
    const { changes, isChanging } = this.#log
    const isSteady = (): boolean => !isChanging && this.#log.changes === changes
    try {
      const result = await checks.patiently(
        process,
        doing,
        this.#append(submission, epoch, sequence),
      )
      if (result === 'dead') {
        model.unknown(submission)
        return 'dead'
      }
      const isDuplicate = result.isDuplicate === true
      world.trace.add(
        `${doing}: ${submission.level} at ${result.partition}/${result.offset}${isDuplicate ? ' again' : ''}`,
      )
      if (isThere && !isDuplicate) throw new Violation('I4', `${doing} is applied a second time`)
      const isAtDisk = isSteady() && submission.level === 'disk'
      if (!isDuplicate && wasPoisoned && isPoisoned() && isAtDisk)
        throw new Violation('I6', `${doing} was acknowledged after a sync of the WAL had failed`)
      model.acked(this.#log, submission, result, world.monotonic())
      return 'acked'
    } catch (error) {
      return this.#answerOf(error, submission, sequence, doing, isSteady())
    }
  }

  #answerOf(
    error: unknown,
    submission: Submission,
    sequence: number,
    doing: string,
    isSteady: boolean,
  ): Answer {
    const { model, checks } = this.#life
    if (isStratalogError(error) && error.code === 'producer_sequence_gap') {
      this.#checkGap(Number(error.details['expected']), sequence, doing)
      this.#life.world.trace.add(`${doing}: ${error.message}`)
      if (submission.fate === 'pending') model.refused(submission)
      return 'gap'
    }
    const unlessSteady = isSteady ? [] : CHANGED_CODES
    const always = ['memory_full', 'engine_closed', 'producer_append_gone'] as const
    checks.explain(error, doing, [...always, ...unlessSteady])
    const isRefusal =
      isStratalogError(error) && ['invalid', 'overloaded', 'aborted'].includes(error.kind)
    if (isRefusal && submission.fate === 'pending') {
      model.refused(submission)
      return 'refused'
    }
    model.unknown(submission)
    return 'unknown'
  }

  /** What must be there is not missing. */
  #checkGap(expected: number, sequence: number, doing: string): void {
    const missing = this.#producer.sent
      .slice(expected, sequence)
      .find((submission) => this.#isHeld(submission))
    if (missing === undefined && expected < sequence) return
    throw new Violation(
      'I4',
      `${doing} is a gap behind ${expected}, though append ${missing?.id ?? sequence} is there`,
    )
  }

  /** Whether the log has it, and must remember it. */
  #isHeld({ fate, isDurable, life }: Submission): boolean {
    return fate === 'acked' && (life === this.#life.model.life || isDurable)
  }

  #append(submission: Submission, epoch: number, sequence: number): Promise<AppendResult> {
    const { id, partition } = this.#producer
    return this.#opened.append(rowsOf(submission), {
      ack: this.#levelOf(submission),
      partition,
      producer: { producerId: id, epoch, sequence },
    })
  }

  /** What it was sent with, unless the policy has no such level any more. */
  #levelOf({ level }: Submission): AckLevel {
    const { levels, ack } = this.#log.spec
    return levels.includes(level) ? level : ack
  }

  #submit(): Submission {
    const dice = this.#dice
    const { spec } = this.#log
    const facts = {
      count: dice.int(1, 12),
      extraColumns: 0,
      isWide: false,
      padding: dice.int(0, 60),
    }
    const level = dice.chance(0.75) ? spec.ack : dice.pick(spec.levels)
    const { partition } = this.#producer
    return this.#life.model.submit(this.#log, facts, () => partition, level)
  }
}
