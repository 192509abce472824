import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  admit,
  type Circuit,
  CLOSED,
  type CircuitPolicy,
  type Outcome,
  type Permit,
  settle,
} from '../../../src/storage/circuit.ts'

const POLICY: CircuitPolicy = { failuresMax: 3, pauseMinMs: 100, pauseMaxMs: 350 }
const at = (now: number, fraction = 0.999_999) => ({ now, fraction })

function failed(circuit: Circuit, times: number, now: number): Circuit {
  let after = circuit
  for (let i = 0; i < times; i++) after = settle(after, 'request', 'unavailable', POLICY, at(now))
  return after
}

test('as many failures in a row as the policy says open it, and an answer between them does not', () => {
  expect(failed(CLOSED, 2, 0)).toEqual({ state: 'closed', failures: 2 })
  expect(failed(CLOSED, 3, 0)).toMatchObject({ state: 'open', pauseMs: 100 })
  const answered = settle(failed(CLOSED, 2, 0), 'request', 'answered', POLICY, at(0))
  expect(answered).toEqual(CLOSED)
  expect(failed(answered, 2, 0).state).toBe('closed')
  expect(settle(failed(CLOSED, 2, 0), 'request', 'nothing', POLICY, at(0))).toMatchObject({
    failures: 2,
  })
})

test('while it is open nothing passes, and when the pause is over one probe does', () => {
  const open = failed(CLOSED, 3, 1_000)
  expect(admit(open, 1_099)).toEqual({ circuit: open, permit: null })
  const probing = admit(open, 1_100)
  expect(probing).toEqual({ circuit: { state: 'half-open', pauseMs: 100 }, permit: 'probe' })
  expect(admit(probing.circuit, 1_000_000).permit).toBeNull()
})

test('a probe that is answered closes it, one that fails opens it for twice as long, up to the longest', () => {
  let circuit = failed(CLOSED, 3, 0)
  for (const pauseMs of [200, 350, 350]) {
    circuit = settle(admit(circuit, 10_000).circuit, 'probe', 'unavailable', POLICY, at(10_000))
    expect(circuit).toMatchObject({ state: 'open', pauseMs })
    circuit = { ...circuit, until: 0 } as Circuit
  }
  expect(settle(admit(circuit, 1).circuit, 'probe', 'answered', POLICY, at(1))).toEqual(CLOSED)
})

test('a probe that ends without an answer leaves the next one to probe at once', () => {
  const probing = admit(failed(CLOSED, 3, 0), 500).circuit
  const after = settle(probing, 'probe', 'nothing', POLICY, at(500))
  expect(after).toEqual({ state: 'open', until: 500, pauseMs: 100 })
  expect(admit(after, 500).permit).toBe('probe')
})

test('what began before it opened changes nothing when it ends', () => {
  const open = failed(CLOSED, 3, 0)
  const probing = admit(open, 500).circuit
  for (const circuit of [open, probing])
    for (const outcome of ['answered', 'unavailable', 'nothing'] as const)
      expect(settle(circuit, 'request', outcome, POLICY, at(600))).toBe(circuit)
})

test('pauses are between half and all of their length', () => {
  const lasts = (fraction: number): unknown =>
    settle(failed(CLOSED, 2, 0), 'request', 'unavailable', POLICY, at(0, fraction))
  expect(lasts(0)).toMatchObject({ until: 50 })
  expect(lasts(0.5)).toMatchObject({ until: 75 })
})

describe('whatever happens', () => {
  test('at most one probe is under way, and a probe that is answered always ends the pause', () => {
    const step = fc.record({
      waitMs: fc.integer({ min: 0, max: 400 }),
      outcome: fc.constantFrom<Outcome>('answered', 'unavailable', 'nothing'),
      ends: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let circuit: Circuit = CLOSED
        let now = 0
        const running: Permit[] = []
        for (const { waitMs, outcome, ends } of steps) {
          now += waitMs
          const admitted = admit(circuit, now)
          circuit = admitted.circuit
          if (admitted.permit !== null) running.push(admitted.permit)
          expect(running.filter((permit) => permit === 'probe').length).toBeLessThanOrEqual(1)
          const ended = ends ? running.shift() : undefined
          if (ended === undefined) continue
          circuit = settle(circuit, ended, outcome, POLICY, at(now))
          if (ended === 'probe') expect(circuit.state === 'closed').toBe(outcome === 'answered')
        }
      }),
    )
  })
})
