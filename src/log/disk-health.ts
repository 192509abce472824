/**
 * The state of the disk as of now, and everyone who has to know: appends (`refusal`), `status`, metrics and the log.
 * It decides nothing; events come from the WAL (`resumable-wal.ts`), and the table says what they lead to.
 */
import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { Metrics } from '../base/metrics.ts'
import {
  DISK_STATES,
  DISK_STATE_FACTS,
  DISK_TRANSITIONS,
  type DiskEvent,
  type DiskState,
  type DiskStateFacts,
} from './disk-state.ts'

export interface DiskHealthPorts {
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
}

export class DiskHealth {
  readonly #ports: DiskHealthPorts
  #state: DiskState = 'working'
  #since: number
  #reason: string | null = null
  #refusal: StratalogError | null = null

  constructor(ports: DiskHealthPorts) {
    this.#ports = ports
    this.#since = ports.clock.now()
    this.#setGauges()
  }

  get state(): DiskState {
    return this.#state
  }
  get facts(): DiskStateFacts {
    return DISK_STATE_FACTS[this.#state]
  }
  /** When the state began: ms since 1970. */
  get since(): number {
    return this.#since
  }
  /** What brought the disk out of `working`, in the words of the system; null while it works. */
  get reason(): string | null {
    return this.#reason
  }
  /** Why an append that needs the disk is refused; null when it is taken. One object for all appends of a state. */
  get refusal(): StratalogError | null {
    return this.#refusal
  }

  apply(event: DiskEvent, cause: StratalogError | null = null): void {
    const before = this.#state
    const next = DISK_TRANSITIONS[before][event]
    if (cause !== null && next !== 'working') this.#reason = cause.message
    if (next === before) return
    this.#state = next
    this.#since = this.#ports.clock.now()
    if (next === 'working') this.#reason = null
    const { refusal, meaning } = this.facts
    this.#refusal =
      refusal === null
        ? null
        : new StratalogError(
            refusal,
            this.#reason === null ? meaning : `${meaning} ${this.#reason}`,
            {
              ...(cause === null ? {} : { cause }),
              details: { ...cause?.details, diskState: next, fate: 'not_applied' },
            },
          )
    this.#report(before, event)
  }

  #report(before: DiskState, event: DiskEvent): void {
    const { logger, metrics } = this.#ports
    const fields = { from: before, to: this.#state, event, reason: this.#reason }
    metrics.count('stratalog_disk_state_changes_total', 1, { from: before, to: this.#state })
    this.#setGauges()
    const { meaning, refusal } = this.facts
    if (refusal === null) logger.warn(`${meaning} Appends are acknowledged again.`, fields)
    else if (this.#state === 'closed') logger.debug(meaning, fields)
    else logger.error(meaning, fields)
  }

  #setGauges(): void {
    for (const state of DISK_STATES) {
      this.#ports.metrics.gauge('stratalog_disk_state', state === this.#state ? 1 : 0, { state })
    }
  }
}
