/**
 * Appends that wait for memory: a bounded queue, served in the order of asking.
 *
 * Nobody passes who asks later and needs the same room: while the first waits for the engine's budget, all do; one that
 * waits for its log's own budget is waited for by the appends of that log only. Who is let go on takes its room before
 * the next one is looked at. A wait ends by room, by its signal, after WAIT_MAX_MS, or when the engine closes.
 */
import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import type { LiveLog } from '../log/live-log.ts'
import { memoryOf } from './log-memory.ts'

export const WAIT_MAX_MS = 10_000
const LOOK_MS = 5
/** Their records are in the JavaScript heap meanwhile, which the budget does not count. */
export const WAITING_APPENDS_MAX: number = 1_024

/** Which budget has no room: the engine's, the log's own, or none. */
export type Lack = 'engine' | 'log' | null

export interface AdmissionPorts {
  readonly clock: Clock
  /** What is in the way of an append of a log that needs so many bytes free. */
  readonly lackOf: (log: LiveLog, freeBytes: number) => Lack
  /** Lets go of what can be, for such an append. */
  readonly reclaim: (log: LiveLog, freeBytes: number) => void
  readonly full: (log: LiveLog, reason: string) => StratalogError
}

interface Waiting {
  readonly log: LiveLog
  /** What must be free, of each budget. */
  readonly freeBytes: number
  /** Monotonic time at which it is refused. */
  readonly until: number
  readonly resolve: () => void
  readonly reject: (error: StratalogError) => void
}

export class AdmissionQueue {
  readonly #ports: AdmissionPorts
  #waiting: Waiting[] = []
  #isServing = false
  #isClosed = false

  constructor(ports: AdmissionPorts) {
    this.#ports = ports
  }

  get size(): number {
    return this.#waiting.length
  }

  /** Whether an append that comes now has to wait behind others. */
  isBehind(log: LiveLog): boolean {
    return this.#waiting.some(
      (first) => first.log === log || this.#ports.lackOf(first.log, first.freeBytes) === 'engine',
    )
  }

  /**
   * `first`: it was let go on before, and needs more than there was. @throws StratalogError through the promise:
   * `memory_full`, `aborted`, `engine_closed`.
   */
  wait(
    log: LiveLog,
    freeBytes: number,
    signal: AbortSignal | undefined,
    place: 'first' | 'last',
  ): Promise<void> {
    if (this.#isClosed) return Promise.reject(closed())
    if (signal?.aborted === true) return Promise.reject(aborted(signal))
    if (this.#waiting.length >= WAITING_APPENDS_MAX) {
      const reason = `${WAITING_APPENDS_MAX} appends wait already`
      return Promise.reject(this.#ports.full(log, reason))
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const until = this.#ports.clock.monotonic() + WAIT_MAX_MS
    const onAbort = (): void => this.#end(waiting, signal === undefined ? null : aborted(signal))
    const finish = (end: () => void): void => {
      signal?.removeEventListener('abort', onAbort)
      memoryOf(log).waitingAppends--
      end()
    }
    const waiting: Waiting = {
      log,
      freeBytes,
      until,
      resolve: () => finish(resolve),
      reject: (error) => finish(() => reject(error)),
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    if (place === 'first') this.#waiting.unshift(waiting)
    else this.#waiting.push(waiting)
    memoryOf(log).waitingAppends++
    void this.#serve()
    return promise
  }

  /** Refuses all who wait, and who come after. */
  close(): void {
    this.#isClosed = true
    for (const waiting of this.#waiting.splice(0)) waiting.reject(closed())
  }

  async #serve(): Promise<void> {
    if (this.#isServing) return
    this.#isServing = true
    const { clock } = this.#ports
    // Relief that finds nothing to do ends at once, and readers who hold leases want their turn.
    while (this.#waiting.length > 0) {
      const next = this.#next()
      if (next === null) {
        await clock.sleep(LOOK_MS)
        this.#refuseLate()
        const asked = new Map(this.#waiting.map(({ log, freeBytes }) => [log, freeBytes]))
        for (const [log, freeBytes] of asked) this.#ports.reclaim(log, freeBytes)
      } else {
        this.#end(next, null)
        await clock.yield()
      }
    }
    this.#isServing = false
  }

  /** The first that has room and nobody before it who needs the same. */
  #next(): Waiting | null {
    const passedOver = new Set<LiveLog>()
    for (const waiting of this.#waiting) {
      if (passedOver.has(waiting.log)) continue
      const lack = this.#ports.lackOf(waiting.log, waiting.freeBytes)
      if (lack === null) return waiting
      if (lack === 'engine') return null
      passedOver.add(waiting.log)
    }
    return null
  }

  #refuseLate(): void {
    const now = this.#ports.clock.monotonic()
    for (const waiting of [...this.#waiting]) {
      if (waiting.until > now) continue
      this.#end(waiting, this.#ports.full(waiting.log, `no room came in ${WAIT_MAX_MS} ms`))
    }
  }

  #end(waiting: Waiting, error: StratalogError | null): void {
    const index = this.#waiting.indexOf(waiting)
    if (index === -1) return
    this.#waiting.splice(index, 1)
    if (error === null) waiting.resolve()
    else waiting.reject(error)
  }
}

function aborted(signal: AbortSignal): StratalogError {
  return new StratalogError('aborted', 'The append was aborted while it waited for memory.', {
    cause: signal.reason,
  })
}

function closed(): StratalogError {
  return new StratalogError(
    'engine_closed',
    'The engine was closed while an append waited for memory.',
  )
}
