/**
 * Cursors of live answers: the number of the 20 s interval since an epoch of the protocol. One that a client gives back
 * is always passed, so that a cache never answers a client with the same empty answer for ever.
 */
import type { Clock } from '../../base/clock.ts'
import { type Random, randomFraction } from '../../base/random.ts'

const EPOCH_MS = Date.UTC(2024, 9, 9)
const INTERVAL_MS = 20_000
const JITTER_MAX_S = 3_600

export function nextCursor(given: string | null, clock: Clock, random: Random): string {
  const current = intervalNow(clock)
  const last = given !== null && /^\d{1,15}$/.test(given) ? Number(given) : -1
  if (last < current) return String(current)
  const jitterMs = (1 + Math.floor(randomFraction(random) * JITTER_MAX_S)) * 1_000
  return String(last + Math.max(1, Math.floor(jitterMs / INTERVAL_MS)))
}

/** The cursor of a later event in the same answer: never before the first one. */
export function laterCursor(first: string, clock: Clock): string {
  return String(Math.max(Number(first), intervalNow(clock)))
}

function intervalNow(clock: Clock): number {
  return Math.floor((clock.now() - EPOCH_MS) / INTERVAL_MS)
}
