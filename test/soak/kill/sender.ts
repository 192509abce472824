/**
 * A producer in the killed process: it sends in order, several in flight, and sends again what was refused. Where its
 * log has a WAL it asks for `disk`, which is then kept whatever becomes of the policy.
 */
import type { Random } from '../../../src/base/random.ts'
import { type Stratalog, StratalogError } from '../../../src/index.ts'
import { type SenderStart, sentRecords } from './sent-record.ts'

const IN_FLIGHT_MAX = 4

/** `gap` says which sequence the log expects. */
type Answer = 'taken' | 'refused' | { readonly gap: number }

export class Sender {
  readonly #db: Stratalog
  readonly #tell: (line: string) => void
  readonly #random: Random
  readonly #key: string
  readonly #epoch: number
  #next: number
  #hasTried = false

  constructor(db: Stratalog, start: SenderStart, tell: (line: string) => void, random: Random) {
    this.#db = db
    this.#tell = tell
    this.#random = random
    this.#key = start.key
    this.#epoch = start.epoch
    this.#next = start.sequence
  }

  async turn(): Promise<void> {
    const first = this.#next
    const count = 1 + (this.#random.uint32() % IN_FLIGHT_MAX)
    const answers = await Promise.all(
      Array.from({ length: count }, (_, index) => this.#send(first + index)),
    )
    const refused = answers.findIndex((answer) => answer !== 'taken')
    this.#next = first + (refused === -1 ? count : refused)
    const [answer] = answers
    if (typeof answer === 'object') this.#goBack(answer.gap)
    else if (answer === 'taken' && !this.#hasTried) await this.#tryOldEpoch()
  }

  async #send(sequence: number): Promise<Answer> {
    const level = this.#log.describe().policy.wal ? 'disk' : 'memory'
    const append = `${this.#key} ${this.#epoch} ${sequence}`
    this.#tell(`send ${append}`)
    try {
      const { offset, isDuplicate } = await this.#append(this.#epoch, sequence, level)
      this.#tell(`took ${append} ${offset} ${level} ${isDuplicate === true ? 'again' : 'new'}`)
      return 'taken'
    } catch (error) {
      if (!(error instanceof StratalogError)) throw error
      if (error.code === 'producer_sequence_gap') return { gap: Number(error.details['expected']) }
      // It is there, once; where, is remembered of fewer after a crash of a log in RAM only.
      if (error.code === 'producer_append_old') return 'taken'
      // A log in RAM only was short of memory: it was there, once.
      if (error.code === 'producer_append_gone') return 'taken'
      // The policy changed to one without the level, or there was no room: it comes again.
      if (error.code === 'argument_invalid' || error.code === 'memory_full') return 'refused'
      throw error
    }
  }

  /** A crash took what was acknowledged in RAM only: it is sent again. */
  #goBack(expected: number): void {
    if (this.#hasTried) throw new Error(`${this.#key} forgot in one life what it had taken`)
    this.#tell(`back ${this.#key} ${this.#epoch} ${expected}`)
    this.#next = expected
  }

  async #tryOldEpoch(): Promise<void> {
    this.#hasTried = true
    if (this.#epoch === 0) return
    try {
      await this.#append(this.#epoch - 1, 0, 'memory')
    } catch (error) {
      if (error instanceof StratalogError && error.code === 'producer_fenced') return
      throw error
    }
    throw new Error(`${this.#key} took an append of epoch ${this.#epoch - 1} after a newer one`)
  }

  get #log(): ReturnType<Stratalog['log']> {
    return this.#db.log(this.#key.slice(0, this.#key.indexOf('/')))
  }

  #append(
    epoch: number,
    sequence: number,
    ack: 'memory' | 'disk',
  ): ReturnType<ReturnType<Stratalog['log']>['append']> {
    return this.#log.append(sentRecords(this.#key, epoch, sequence), {
      ack,
      partition: Number(this.#key.slice(this.#key.indexOf('/') + 1)),
      producer: { producerId: 'sender', epoch, sequence },
    })
  }
}
