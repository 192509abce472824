/**
 * Whether the engine really takes records: one is appended to a log of the server's own, acknowledged as durably as the
 * engine can, and read back. Asked at most once a second, whoever asks.
 */
import type { Clock } from '../base/clock.ts'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import type { CreateLogOptions } from '../engine/create-log.ts'
import type { Log } from '../engine/log.ts'
import type { Stratalog } from '../engine/stratalog.ts'

export const READINESS_LOG = 'stratalog.readiness'

const TIMEOUT_MS = 5_000
const FRESH_MS = 1_000

export class Readiness {
  readonly #db: Stratalog
  readonly #clock: Clock
  readonly #isDurable: boolean
  #log: Promise<Log> | null = null
  #last: { readonly at: number; readonly result: Promise<void> } | null = null

  /** `isDurable`: the engine has a data directory. */
  constructor(db: Stratalog, clock: Clock, isDurable: boolean) {
    this.#db = db
    this.#clock = clock
    this.#isDurable = isDurable
  }

  /** @throws StratalogError what appending and reading throw, and `timeout`. */
  check(): Promise<void> {
    const now = this.#clock.monotonic()
    if (this.#last === null || now - this.#last.at >= FRESH_MS) {
      this.#last = { at: now, result: this.#withinTime(this.#probe()) }
    }
    return this.#last.result
  }

  async #probe(): Promise<void> {
    this.#log ??= this.#open()
    this.#log.catch(() => {
      this.#log = null
    })
    const log = await this.#log
    const { offset } = await log.append({ probe: this.#clock.now() })
    if ((await log.get(offset)) === null)
      throw new StratalogError('internal', 'A record that was acknowledged cannot be read.')
  }

  async #open(): Promise<Log> {
    const storage: CreateLogOptions['storage'] = this.#isDurable
      ? { mode: 'persistent', ack: 'disk', memoryTtl: '1m', retention: '1h' }
      : { mode: 'memory', ttl: '1m' }
    try {
      return await this.#db.createLog(READINESS_LOG, { storage })
    } catch (error) {
      if (isStratalogError(error) && error.code === 'log_exists') return this.#db.log(READINESS_LOG)
      throw error
    }
  }

  #withinTime(probe: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(TIMEOUT_MS, () =>
        reject(new StratalogError('timeout', `The probe took longer than ${TIMEOUT_MS} ms.`)),
      )
      probe.then(resolve, reject).finally(() => timer.cancel())
    })
  }
}
