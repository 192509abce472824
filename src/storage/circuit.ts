/**
 * A circuit breaker as values: when requests to a store pass, and when they are refused without being sent.
 *
 * - `closed`: all pass. So many failures without an answer between them open it.
 * - `open`: none passes until the pause is over. Each pause is twice the one before, up to the longest.
 * - `half-open`: one probe is under way, and nothing else passes. Its answer closes the circuit, its failure opens it
 *   again.
 *
 * What counts is whether the store answers at all: an answer such as "there is no such object" is as good as any. A
 * request that began before the circuit opened says nothing about now, and changes nothing when it ends.
 */

/** Whoever is admitted settles exactly once. */
export type Permit = 'request' | 'probe'

/** `nothing`: it ended for a reason of its own, such as its caller's. */
export type Outcome = 'answered' | 'unavailable' | 'nothing'

export type Circuit =
  | { readonly state: 'closed'; readonly failures: number }
  /** `until` in ms of the clock that is given; `pauseMs` without jitter. */
  | { readonly state: 'open'; readonly until: number; readonly pauseMs: number }
  | { readonly state: 'half-open'; readonly pauseMs: number }

export interface CircuitPolicy {
  /** Failures in a row that open it: more than one request makes with its retries. */
  readonly failuresMax: number
  readonly pauseMinMs: number
  readonly pauseMaxMs: number
}

export const CIRCUIT_POLICY: CircuitPolicy = {
  failuresMax: 10,
  pauseMinMs: 2_000,
  pauseMaxMs: 60_000,
}

export const CLOSED: Circuit = { state: 'closed', failures: 0 }

/** Who may go on, and the circuit after that. Without a permit nothing is sent. */
export function admit(
  circuit: Circuit,
  now: number,
): { readonly circuit: Circuit; readonly permit: Permit | null } {
  if (circuit.state === 'closed') return { circuit, permit: 'request' }
  if (circuit.state === 'half-open' || now < circuit.until) return { circuit, permit: null }
  return { circuit: { state: 'half-open', pauseMs: circuit.pauseMs }, permit: 'probe' }
}

/** The circuit after an admitted request has ended. @param fraction of [0, 1), for the jitter of a pause. */
export function settle(
  circuit: Circuit,
  permit: Permit,
  outcome: Outcome,
  policy: CircuitPolicy,
  at: { readonly now: number; readonly fraction: number },
): Circuit {
  if (permit === 'probe') {
    if (circuit.state !== 'half-open') return circuit
    if (outcome === 'answered') return CLOSED
    // The next one probes at once.
    if (outcome === 'nothing') return { state: 'open', until: at.now, pauseMs: circuit.pauseMs }
    return opened(Math.min(circuit.pauseMs * 2, policy.pauseMaxMs), at)
  }
  if (circuit.state !== 'closed' || outcome === 'nothing') return circuit
  if (outcome === 'answered') return circuit.failures === 0 ? circuit : CLOSED
  const failures = circuit.failures + 1
  if (failures < policy.failuresMax) return { state: 'closed', failures }
  return opened(policy.pauseMinMs, at)
}

/** Between half and all of the pause, so that many clients of a store do not come back as one. */
function opened(
  pauseMs: number,
  { now, fraction }: { readonly now: number; readonly fraction: number },
): Circuit {
  return { state: 'open', until: now + pauseMs * (0.5 + fraction / 2), pauseMs }
}
