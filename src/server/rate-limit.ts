/**
 * How many requests a second each client may make. Every client has a bucket with room for RATE_BURST_SECONDS of its
 * rate, that fills at the rate; a request takes one out, one that finds none is refused and takes none.
 *
 * A bucket is kept as the time at which it is full again, so that one that is full need not be kept. The table holds
 * RATE_CLIENTS_MAX; when it has no place, who was quiet longest is forgotten, and begins again with a full bucket.
 */
import { isIPv6 } from 'node:net'
import type { Clock } from '../base/clock.ts'
import type { Exchange } from './exchange.ts'
import { RequestProblem } from './http-error.ts'
import { RATE_BURST_SECONDS, RATE_CLIENTS_MAX } from './limits.ts'
import type { Route } from './router.ts'
import type { TokenGate } from './token-gate.ts'

export class RateLimit {
  readonly #clock: Clock
  readonly #intervalMs: number
  /** When each bucket is full again, in the order of the clients' last requests. */
  readonly #fullAt = new Map<string, number>()

  constructor(perSecond: number, clock: Clock) {
    this.#clock = clock
    this.#intervalMs = 1_000 / perSecond
  }

  /** How many clients are remembered. */
  get size(): number {
    return this.#fullAt.size
  }

  /** Counts a request of a client. @throws RequestProblem `rate_limited`, with when to come again. */
  take(client: string): void {
    const now = this.#clock.monotonic()
    const before = Math.max(this.#fullAt.get(client) ?? now, now)
    const after = before + this.#intervalMs
    const waitMs = after - now - RATE_BURST_SECONDS * 1_000
    // Adding up intervals that are no binary fractions leaves a little.
    const isRefused = waitMs > this.#intervalMs / 1_000_000
    this.#note(client, isRefused ? before : after)
    if (!isRefused) return
    throw new RequestProblem('rate_limited', 'Too many requests; come again a little later.', {
      'retry-after': String(Math.ceil(waitMs / 1_000)),
    })
  }

  #note(client: string, fullAt: number): void {
    if (!this.#fullAt.delete(client) && this.#fullAt.size >= RATE_CLIENTS_MAX) {
      const [quietest = ''] = this.#fullAt.keys()
      this.#fullAt.delete(quietest)
    }
    this.#fullAt.set(client, fullAt)
  }
}

/**
 * Lets a request in; null: it is in at once.
 * @throws RequestProblem `token_missing`, `token_invalid`, `scope_missing`, `tokens_unreadable`, `rate_limited`.
 */
export type Admission = (exchange: Exchange, route: Route) => Promise<void> | null

/**
 * Lets a request in: by its token, then by the rate of whose it is. Who has no token that holds is counted by address,
 * or else made-up tokens would each have a bucket of their own.
 */
export function admission(gate: TokenGate | null, limit: RateLimit | null): Admission {
  const admit = async (exchange: Exchange, route: Route): Promise<void> => {
    const tokenId = async (): Promise<string | null> =>
      gate === null ? null : gate.authorize(exchange, route)
    if (limit === null || route.isUnlimited === true) {
      await tokenId()
      return
    }
    const network = networkOf(exchange.request.socket.remoteAddress ?? '')
    let id: string | null
    try {
      id = await tokenId()
    } catch (error) {
      limit.take(network)
      throw error
    }
    limit.take(id === null ? network : `token ${id}`)
  }
  return gate === null && limit === null ? () => null : admit
}

/** Who has an address: of IPv6 the first 64 bits, as one customer has all of what follows. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  const missing = tail === undefined ? 0 : 8 - groups.length - tail.split(':').length
  const filled = [...groups, ...Array<string>(missing).fill('0'), ...(tail?.split(':') ?? [])]
  return filled.slice(0, 4).join(':')
}
