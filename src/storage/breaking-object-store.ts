/**
 * Stops asking a store that does not answer: a decorator that owns that one concern (circuit.ts has the rules). It sits
 * below the retries and above the meter, so that it sees every request, and that a request which was not sent costs
 * and counts nothing.
 *
 * - Only `store_unavailable` counts against the store. Every other answer, also `object_exists` and
 *   `object_not_found`, is an answer, and goes through as it is, whatever the circuit's state is by then.
 * - While the circuit is open a request fails at once with `store_unavailable`, whose details say `circuit: 'open'`
 *   and `retryAfterMs`. It was not sent, so it changed nothing; retries do not wait for it.
 */
import type { Clock } from '../base/clock.ts'
import { isStratalogError, throwIfAborted, toStratalogError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { Metrics } from '../base/metrics.ts'
import { randomFraction, type Random } from '../base/random.ts'
import {
  admit,
  type Circuit,
  CIRCUIT_POLICY,
  type CircuitPolicy,
  CLOSED,
  type Outcome,
  type Permit,
  settle,
} from './circuit.ts'
import type {
  GetOptions,
  ListedObject,
  ListOptions,
  ObjectHead,
  ObjectStore,
  PutAnswer,
  PutOptions,
  SignalOption,
  UnfinishedPut,
} from './object-store.ts'
import { circuitOpen } from './store-errors.ts'

export interface CircuitStatus {
  readonly state: Circuit['state']
  /** When the next request is sent; null when it is sent now, or as soon as the probe has its answer. */
  readonly retryAfterMs: number | null
  /** What the store was last unavailable for; null when it answered since. */
  readonly lastError: string | null
}

export interface BreakingObjectStoreOptions {
  readonly clock: Clock
  readonly random: Random
  readonly metrics: Metrics
  readonly logger: Logger
  readonly policy?: Partial<CircuitPolicy>
}

const STATES: readonly Circuit['state'][] = ['closed', 'open', 'half-open']

export class BreakingObjectStore implements ObjectStore {
  readonly url: string
  readonly #inner: ObjectStore
  readonly #options: BreakingObjectStoreOptions
  readonly #policy: CircuitPolicy
  #circuit: Circuit = CLOSED
  #lastError: string | null = null

  constructor(inner: ObjectStore, options: BreakingObjectStoreOptions) {
    this.url = inner.url
    this.#inner = inner
    this.#options = options
    this.#policy = { ...CIRCUIT_POLICY, ...options.policy }
    this.#showState()
  }

  circuit(): CircuitStatus {
    const { state } = this.#circuit
    const now = this.#options.clock.monotonic()
    const waits = this.#circuit.state === 'open' ? Math.ceil(this.#circuit.until - now) : 0
    return { state, retryAfterMs: waits > 0 ? waits : null, lastError: this.#lastError }
  }

  put(key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<PutAnswer> {
    return this.#guarded(options, () => this.#inner.put(key, bytes, options))
  }

  get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    return this.#guarded(options, () => this.#inner.get(key, options))
  }

  head(key: string, options: SignalOption = {}): Promise<ObjectHead | null> {
    return this.#guarded(options, () => this.#inner.head(key, options))
  }

  /** Whoever reads a listing may take long between two keys: each step is a request of its own. */
  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ListedObject> {
    yield* this.#stepwise(this.#inner.list(prefix, options), options)
  }

  async *listUnfinished(prefix: string, options: SignalOption = {}): AsyncGenerator<UnfinishedPut> {
    yield* this.#stepwise(this.#inner.listUnfinished(prefix, options), options)
  }

  abortUnfinished(unfinished: UnfinishedPut, options: SignalOption = {}): Promise<void> {
    return this.#guarded(options, () => this.#inner.abortUnfinished(unfinished, options))
  }

  remove(key: string, options: SignalOption = {}): Promise<void> {
    return this.#guarded(options, () => this.#inner.remove(key, options))
  }

  probe(options: { readonly write: boolean; readonly signal?: AbortSignal }): Promise<void> {
    return this.#guarded(options, () => this.#inner.probe(options))
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  async *#stepwise<T>(listing: AsyncIterable<T>, options: SignalOption): AsyncGenerator<T> {
    const items = listing[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await this.#guarded(options, () => items.next())
        if (next.done === true) return
        yield next.value
      }
    } finally {
      await items.return?.()
    }
  }

  async #guarded<T>({ signal }: SignalOption, request: () => Promise<T>): Promise<T> {
    throwIfAborted(signal)
    const permit = this.#admit()
    try {
      const answer = await request()
      this.#settle(permit, 'answered')
      return answer
    } catch (error) {
      this.#settle(permit, outcomeOf(error), error)
      throw error
    }
  }

  #admit(): Permit {
    const { circuit, permit } = admit(this.#circuit, this.#options.clock.monotonic())
    this.#become(circuit)
    if (permit !== null) return permit
    throw circuitOpen(this.url, this.circuit().retryAfterMs ?? 0, this.#lastError)
  }

  #settle(permit: Permit, outcome: Outcome, error?: unknown): void {
    const { clock, random } = this.#options
    if (outcome === 'unavailable') this.#lastError = toStratalogError(error).message
    const at = { now: clock.monotonic(), fraction: randomFraction(random) }
    this.#become(settle(this.#circuit, permit, outcome, this.#policy, at))
    if (outcome === 'answered' && this.#circuit.state === 'closed') this.#lastError = null
  }

  #become(circuit: Circuit): void {
    const from = this.#circuit.state
    this.#circuit = circuit
    const to = circuit.state
    if (from === to) return
    const { metrics, logger } = this.#options
    metrics.count('stratalog_object_store_circuit_changes_total', 1, { from, to })
    this.#showState()
    if (to === 'open' && from === 'closed')
      logger.warn('The object store does not answer; requests are held back.', {
        url: this.url,
        retryAfterMs: this.circuit().retryAfterMs,
        error: this.#lastError,
      })
    if (to === 'closed') logger.info('The object store answers again.', { url: this.url })
  }

  #showState(): void {
    for (const state of STATES) {
      const value = this.#circuit.state === state ? 1 : 0
      this.#options.metrics.gauge('stratalog_object_store_circuit_state', value, { state })
    }
  }
}

/** A body that is wrong, or a deadline of the caller's, says nothing about whether the next request is answered. */
function outcomeOf(error: unknown): Outcome {
  if (!isStratalogError(error) || error.code === 'aborted') return 'nothing'
  return error.code === 'store_unavailable' ? 'unavailable' : 'answered'
}
