/**
 * Appends records in batches and prints each acknowledgement, in order. Several appends are under way at once, so that
 * they share an fsync. The first failure ends the printing, and nothing is sent after it was seen: an append goes out
 * only when the one before had the time to be refused.
 */
import type { Timer } from '../../base/clock.ts'
import type { AppendTarget, TargetOptions } from '../append-target.ts'
import type { Session } from '../session.ts'
import type { JsonRecord } from '../../engine/json-record.ts'
import { groupByPartition } from './partition-groups.ts'

export interface AckPrinterOptions extends TargetOptions {
  readonly batchRecords: number
}

/** A batch that is not full goes on after this: nobody's record waits for one that may never come. */
const PARTIAL_BATCH_MS = 20

export class AckPrinter {
  readonly #session: Session
  readonly #target: AppendTarget
  readonly #options: AckPrinterOptions
  #batch: JsonRecord[] = []
  #timer: Timer | null = null
  readonly #inFlight = new Set<Promise<void>>()
  /** Settles when the newest append is acknowledged and printed, as all before it. */
  #printed: Promise<void> = Promise.resolve()
  /** Settles when all that was given to `#send` is handed to the log, or rejects with what was refused. */
  #sent: Promise<void> = Promise.resolve()
  #hasFailed = false

  constructor(session: Session, target: AppendTarget, options: AckPrinterOptions) {
    this.#session = session
    this.#target = target
    this.#options = options
  }

  async add(record: JsonRecord): Promise<void> {
    this.#session.signal.throwIfAborted()
    this.#batch.push(record)
    if (this.#batch.length < this.#options.batchRecords) {
      this.#timer ??= this.#session.clock.setTimer(PARTIAL_BATCH_MS, () => {
        // What fails is told by the next `add` or `drain`, which wait for it.
        this.#send().catch(() => {})
      })
      return
    }
    await this.#send()
  }

  /** Resolves when every line is out; rejects with the first failure. */
  async drain(): Promise<void> {
    await this.#send()
    await this.#printed
  }

  /** Waits for what is under way, whatever comes of it. */
  async settle(): Promise<void> {
    this.#timer?.cancel()
    await Promise.allSettled([this.#sent])
    await Promise.allSettled(this.#inFlight)
  }

  #send(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = null
    const batch = this.#batch
    this.#batch = []
    if (batch.length > 0) this.#sent = this.#sent.then(() => this.#sendBatch(batch))
    return this.#sent
  }

  /** @throws the refusal of an append of this batch or before it. */
  async #sendBatch(batch: readonly JsonRecord[]): Promise<void> {
    const { partition } = this.#options
    const groups =
      partition === undefined ? groupByPartition(this.#target, batch, (record) => record) : [batch]
    for (const group of groups) {
      await this.#room()
      if (this.#hasFailed) await this.#printed
      this.#append(group)
      // The log refuses a record before it waits for anything, so one turn tells.
      await this.#session.clock.yield()
    }
    if (this.#hasFailed) await this.#printed
  }

  async #room(): Promise<void> {
    const [oldest] = this.#inFlight
    if (oldest !== undefined && this.#inFlight.size >= this.#target.inFlightMax) await oldest
  }

  #append(records: readonly JsonRecord[]): void {
    const { partition, ack } = this.#options
    const before = this.#printed
    const appended = this.#target.append(records, {
      ...(partition === undefined ? {} : { partition }),
      ...(ack === undefined ? {} : { ack }),
    })
    appended.catch(() => {
      this.#hasFailed = true
    })
    const printed = Promise.all([appended, before]).then(([{ partition, offset, count }]) =>
      this.#session.terminal.write(`${JSON.stringify({ partition, offset, count })}\n`),
    )
    this.#printed = printed
    this.#inFlight.add(printed)
    // A failure is told by whoever waits next; here it only must not go unhandled.
    printed.then(
      () => this.#inFlight.delete(printed),
      () => {},
    )
  }
}
