/** One client that appends, as fast as it is answered or at a rate, and what it was told of where its records are. */
import { systemClock } from '../../../src/base/clock.ts'
import { isStratalogError } from '../../../src/base/errors.ts'
import { type Client, connect } from '../../../src/client/index.ts'

/** Records of an append: few, so that requests are what is measured. */
export const BATCH_RECORDS = 5

/** What only a server under load, or at its end, answers. */
const MAY_BE_REFUSED: readonly string[] = ['overloaded', 'unavailable']

/** Answers by status, and requests that had none: what every client of the run adds to. */
export class Answers {
  readonly byStatus: Record<string, number> = {}

  /** `fetch` that counts. */
  readonly fetch: typeof globalThis.fetch = async (...request) => {
    try {
      const answer = await globalThis.fetch(...request)
      this.#add(String(answer.status))
      return answer
    } catch (error) {
      if (request[1]?.signal?.aborted !== true) this.#add('none')
      throw error
    }
  }

  /** Statuses that are neither of success nor of load. */
  get unexpected(): readonly string[] {
    return Object.keys(this.byStatus).filter((status) => !/^(2\d\d|429|503)$/.test(status))
  }

  #add(status: string): void {
    this.byStatus[status] = (this.byStatus[status] ?? 0) + 1
  }
}

export class Sender {
  readonly number: number
  readonly log: string
  /** By append: the offset of its first record, or -1 where it was not acknowledged. */
  readonly offsets: number[] = []
  /** What an append failed with that should not. */
  readonly failures: string[] = []
  readonly #db: Client

  private constructor(number: number, log: string, db: Client) {
    this.number = number
    this.log = log
    this.#db = db
  }

  static async start(number: number, log: string, url: string, answers: Answers): Promise<Sender> {
    return new Sender(number, log, await connect(url, { fetch: answers.fetch }))
  }

  /** Until `endAt`, on the monotonic clock. `perSecond`: appends; null: each when the one before is answered. */
  async run(endAt: number, perSecond: number | null): Promise<void> {
    const startedAt = systemClock.monotonic()
    for (let sent = 0; systemClock.monotonic() < endAt; sent++) {
      const dueAt = perSecond === null ? 0 : startedAt + (sent * 1_000) / perSecond
      const early = Math.min(dueAt, endAt) - systemClock.monotonic()
      if (early > 0) await systemClock.sleep(early)
      await this.#append()
    }
  }

  async #append(): Promise<void> {
    const first = this.offsets.length * BATCH_RECORDS
    const rows = Array.from({ length: BATCH_RECORDS }, (_, index) =>
      recordOf(this.number, first + index),
    )
    // Its place, whatever becomes of it.
    const place = this.offsets.push(-1) - 1
    try {
      this.offsets[place] = (await this.#db.log(this.log).append(rows)).offset
    } catch (error) {
      if (isStratalogError(error) && MAY_BE_REFUSED.includes(error.kind)) return
      this.failures.push(String(error))
    }
  }
}

export interface LoadRecord {
  readonly sender: number
  readonly n: number
  readonly text: string
}

/** A record that says by itself whether it is whole. */
export function recordOf(sender: number, n: number): LoadRecord {
  return { sender, n, text: `${sender}/${n}/`.padEnd(40 + (n % 40), 'abcdefghij') }
}
