/**
 * What goes wrong beside crashes, by a seed. The fault model, per call of a port:
 *
 * - disk: `io-error` (EIO; of a write or a rename a part or all may have been done), `no-space` (a write that makes a
 *   file longer is cut short and fails, while a spell of it lasts), and a failed sync, after which what it should have
 *   saved is lost though it still reads well;
 * - store: `unavailable` (nothing was done: an error, a time-out, throttling), `reply-lost` (it was done, and is
 *   answered as if not), `late` (not done yet, answered as failed, done seconds or minutes later, also after a crash),
 *   `denied`, `truncated` (noticed by the client, as ours does), `wrong-bytes` (a part of an object comes back changed,
 *   and nobody says so), and spells in which the store is away. A put that finds its key taken is no fault of this
 *   list: after a lost reply it comes by itself;
 * - both: a call takes much longer than others, up to minutes.
 */
import type { Dice } from './dice.ts'
import type { Operation, PortCall } from './steps.ts'

/** A call of the disk that takes so long may be taken for stuck. */
const SLOW_MS = 5_000
/** No call takes longer when nothing is wrong. */
const USUAL_MAX_MS = 50

export type Fault =
  | 'io-error'
  | 'no-space'
  | 'unavailable'
  | 'reply-lost'
  | 'late'
  | 'denied'
  | 'truncated'
  | 'wrong-bytes'

/** Probabilities per call; spells as how many ms lie between them on average and how long one is at most. */
export interface FaultProfile {
  readonly diskError: number
  readonly syncError: number
  readonly storeError: number
  readonly wrongBytes: number
  readonly slow: number
  readonly fullEveryMs: number | null
  readonly awayEveryMs: number | null
}

export const NO_FAULTS: FaultProfile = {
  diskError: 0,
  syncError: 0,
  storeError: 0,
  wrongBytes: 0,
  slow: 0,
  fullEveryMs: null,
  awayEveryMs: null,
}

const PROFILES = ['none', 'disk', 'store', 'slow', 'all'] as const

export function chooseProfile(dice: Dice): FaultProfile {
  const kind = dice.pick(PROFILES)
  const has = (part: (typeof PROFILES)[number]): boolean => kind === part || kind === 'all'
  const rate = (max: number): number => max * dice.fraction() ** 2
  return {
    diskError: has('disk') ? rate(0.03) : 0,
    syncError: has('disk') ? rate(0.15) : 0,
    storeError: has('store') ? rate(0.6) : 0,
    wrongBytes: has('store') && dice.chance(0.5) ? rate(0.3) : 0,
    slow: has('slow') ? rate(0.2) : 0,
    fullEveryMs: has('disk') && dice.chance(0.5) ? dice.int(2_000, 20_000) : null,
    awayEveryMs: has('store') && dice.chance(0.5) ? dice.int(2_000, 20_000) : null,
  }
}

const FULL_MAX_MS = 3_000
const AWAY_MAX_MS = 30_000
const SYNCS: readonly Operation[] = ['sync', 'sync directory']

/** A condition that comes and goes. */
class Spell {
  readonly #dice: Dice
  readonly #everyMs: number | null
  readonly #maxMs: number
  #start = 0
  #end = 0

  constructor(dice: Dice, everyMs: number | null, maxMs: number) {
    this.#dice = dice
    this.#everyMs = everyMs
    this.#maxMs = maxMs
    this.#plan(0)
  }

  covers(now: number): boolean {
    if (this.#everyMs === null) return false
    while (now >= this.#end) this.#plan(this.#end)
    return now >= this.#start
  }

  #plan(from: number): void {
    this.#start = from + this.#dice.fraction() * 2 * (this.#everyMs ?? 0)
    this.#end = this.#start + 1 + this.#dice.fraction() * this.#maxMs
  }
}

export class FaultPlan {
  readonly #dice: Dice
  readonly #profile: FaultProfile
  readonly #full: Spell
  readonly #away: Spell
  /** Set while nothing may go wrong: for what a check of the model reads, and at the end. */
  isPaused = false
  /** When the last call ends, or ended, that failed or took much longer than others. */
  troubleUntil = 0
  readonly counts = { disk: 0, sync: 0, store: 0, wrongBytes: 0, slow: 0 }

  constructor(dice: Dice, profile: FaultProfile) {
    this.#dice = dice
    this.#profile = profile
    this.#full = new Spell(dice.fork('full'), profile.fullEveryMs, FULL_MAX_MS)
    this.#away = new Spell(dice.fork('away'), profile.awayEveryMs, AWAY_MAX_MS)
  }

  /** A call that began at `now`. */
  noteCall(fault: Fault | null, now: number, latencyMs: number): void {
    if (fault !== null || latencyMs > USUAL_MAX_MS)
      this.troubleUntil = Math.max(this.troubleUntil, now + latencyMs)
  }

  get profile(): FaultProfile {
    return this.#profile
  }

  faultOf(call: PortCall, now: number): Fault | null {
    if (this.isPaused) return null
    return call.port === 'store' ? this.#storeFault(call, now) : this.#diskFault(call, now)
  }

  /** How long a call takes, ms. */
  latencyMs(port: PortCall['port']): number {
    const dice = this.#dice
    const usual = port === 'store' ? 2 + 40 * dice.fraction() : 0.05 + 2 * dice.fraction() ** 3
    if (this.isPaused || !dice.chance(this.#profile.slow)) return usual
    const delay = dice.magnitude(port === 'store' ? 60_000 : 20_000)
    if (port !== 'store' && delay >= SLOW_MS) this.counts.slow++
    return usual + delay
  }

  #diskFault({ operation, grows }: PortCall, now: number): Fault | null {
    const { diskError, syncError } = this.#profile
    if (SYNCS.includes(operation)) {
      if (!this.#dice.chance(syncError)) return null
      this.counts.sync++
      return 'io-error'
    }
    if (grows && this.#full.covers(now)) {
      this.counts.disk++
      return 'no-space'
    }
    if (!this.#dice.chance(diskError)) return null
    this.counts.disk++
    return 'io-error'
  }

  #storeFault({ operation }: PortCall, now: number): Fault | null {
    const { storeError, wrongBytes } = this.#profile
    const dice = this.#dice
    if (this.#away.covers(now)) {
      this.counts.store++
      return operation === 'put' && dice.chance(0.1) ? 'late' : 'unavailable'
    }
    if (operation === 'get' && dice.chance(wrongBytes)) {
      this.counts.wrongBytes++
      return dice.chance(0.5) ? 'truncated' : 'wrong-bytes'
    }
    if (!dice.chance(storeError)) return null
    this.counts.store++
    if (dice.chance(0.02)) return 'denied'
    if (operation !== 'put' && operation !== 'remove object') return 'unavailable'
    return dice.weighted({ unavailable: 2, 'reply-lost': 2, late: operation === 'put' ? 1 : 0 })
  }
}
