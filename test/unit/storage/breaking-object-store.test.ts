import { describe, expect, test } from 'vitest'
import type { ErrorCode } from '../../../src/base/errors.ts'
import { MemoryLogger, silentLogger } from '../../../src/base/logger.ts'
import { MemoryMetrics, noMetrics } from '../../../src/base/metrics.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { BreakingObjectStore } from '../../../src/storage/breaking-object-store.ts'
import { MemoryObjectStore } from '../../../src/storage/memory-object-store.ts'
import { overNetwork } from '../../../src/storage/open-object-store.ts'
import { keysOf } from '../../contract/object-store.ts'
import { expectError } from '../../support/expect-error.ts'
import { FaultyObjectStore, type StoreFault } from '../../support/faulty-object-store.ts'

const BYTES = new Uint8Array([1, 2, 3])

function rig(triesMax?: number, failuresMax = 3) {
  let fault: StoreFault | null = null
  const inner = new MemoryObjectStore()
  const faulty = new FaultyObjectStore(inner, () => fault)
  let sleeps = 0
  const sleep = async (): Promise<void> => {
    sleeps++
  }
  const clock = Object.assign(new VirtualClock(), { sleep })
  const metrics = new MemoryMetrics()
  const logger = new MemoryLogger()
  const policy = { failuresMax, pauseMinMs: 100, pauseMaxMs: 1_000 }
  const random = seededRandom(5)
  const store =
    triesMax === undefined
      ? new BreakingObjectStore(faulty, { clock, random, metrics, logger, policy })
      : overNetwork(faulty, {
          ...{ clock, random, metrics: noMetrics, logger: silentLogger },
          retryPolicy: { triesMax, delayMinMs: 0, delayMaxMs: 0 },
          circuitPolicy: policy,
        })
  return {
    ...{ store, inner, faulty, clock, metrics, logger },
    sleeps: () => sleeps,
    answer(code: ErrorCode | null): void {
      fault = code === null ? null : { kind: 'error', code }
    },
    misbehave(next: StoreFault): void {
      fault = next
    },
  }
}

async function open(fixture: ReturnType<typeof rig>): Promise<void> {
  fixture.answer('store_unavailable')
  for (let i = 0; i < 3; i++) await expectError(fixture.store.get('a'), 'store_unavailable')
  fixture.answer(null)
}

test('an open circuit sends nothing, says so with a stable code, and for how long', async () => {
  const fixture = rig()
  await open(fixture)
  const sent = fixture.faulty.calls.length
  const { store } = fixture
  for (const request of [
    () => store.put('a', BYTES),
    () => store.get('a'),
    () => store.head('a'),
    () => store.remove('a'),
    () => keysOf(store, ''),
    () => store.probe({ write: true }),
  ]) {
    const error = await expectError(request(), 'store_unavailable')
    expect(error.details).toMatchObject({ circuit: 'open' })
    expect(error.details['retryAfterMs']).toBeGreaterThan(0)
  }
  expect(fixture.faulty.calls).toHaveLength(sent)
})

test('after the pause one request goes through, and its answer closes the circuit', async () => {
  const fixture = rig()
  await open(fixture)
  fixture.clock.advance(100)
  const first = fixture.store.head('a')
  await expectError(fixture.store.head('a'), 'store_unavailable')
  expect(await first).toBeNull()
  expect(await fixture.store.head('a')).toBeNull()
  const { metrics, logger } = fixture
  const changed = (from: string, to: string): number =>
    metrics.value('stratalog_object_store_circuit_changes_total', { from, to })
  expect(changed('closed', 'open')).toBe(1)
  expect(changed('open', 'half-open')).toBe(1)
  expect(changed('half-open', 'closed')).toBe(1)
  expect(metrics.value('stratalog_object_store_circuit_state', { state: 'closed' })).toBe(1)
  expect(metrics.value('stratalog_object_store_circuit_state', { state: 'open' })).toBe(0)
  expect(logger.entries.map(({ level }) => level)).toEqual(['warn', 'info'])
})

test('its state says what happened, when it is asked again, and that it is well', async () => {
  const fixture = rig()
  const store = fixture.store as BreakingObjectStore
  expect(store.circuit()).toEqual({ state: 'closed', retryAfterMs: null, lastError: null })
  await open(fixture)
  expect(store.circuit()).toMatchObject({ state: 'open' })
  expect(store.circuit().lastError).toContain('store_unavailable')
  fixture.clock.advance(100)
  expect(store.circuit().retryAfterMs).toBeNull()
  await store.head('a')
  expect(store.circuit()).toEqual({ state: 'closed', retryAfterMs: null, lastError: null })
})

describe('an answer that settles something', () => {
  test.each<ErrorCode>(['object_not_found', 'object_exists', 'store_denied', 'bucket_not_found'])(
    '%s comes through as it is, and never opens the circuit',
    async (code) => {
      const fixture = rig()
      fixture.answer(code)
      for (let i = 0; i < 50; i++) await expectError(fixture.store.get('a'), code)
      fixture.answer(null)
      expect(await fixture.store.head('a')).toBeNull()
    },
  )

  test('closes a circuit that was open', async () => {
    const fixture = rig()
    await open(fixture)
    fixture.clock.advance(100)
    await expectError(fixture.store.get('a'), 'object_not_found')
    expect(await fixture.store.head('a')).toBeNull()
  })

  test('that comes after the circuit opened comes through', async () => {
    const fixture = rig()
    const gate = Promise.withResolvers<void>()
    const slow = new BreakingObjectStore(
      Object.assign(new MemoryObjectStore(), {
        put: async (): Promise<void> => {
          await gate.promise
          await fixture.faulty.put('taken', BYTES, { ifAbsent: true })
        },
        get: () => fixture.faulty.get('a'),
      }),
      {
        ...{ clock: fixture.clock, random: seededRandom(1), metrics: noMetrics },
        ...{ logger: silentLogger, policy: { failuresMax: 1 } },
      },
    )
    await fixture.inner.put('taken', BYTES)
    const put = slow.put('taken', BYTES, { ifAbsent: true })
    fixture.answer('store_unavailable')
    await expectError(slow.get('a'), 'store_unavailable')
    fixture.answer(null)
    expect(slow.circuit().state).toBe('open')
    gate.resolve()
    await expectError(put, 'object_exists')
    expect(slow.circuit().state).toBe('open')
  })
})

test('a listing that breaks off counts, and one that is left early does not hold the probe', async () => {
  const fixture = rig()
  for (const key of ['a', 'b', 'c']) await fixture.inner.put(key, BYTES)
  fixture.misbehave({ kind: 'break-off', keys: 1 })
  for (let i = 0; i < 3; i++) {
    await expectError(keysOf(fixture.store, ''), 'store_unavailable')
  }
  // Each began with an answer.
  expect((fixture.store as BreakingObjectStore).circuit().state).toBe('closed')
  await open(fixture)
  fixture.clock.advance(100)
  for await (const { key } of fixture.store.list('')) {
    expect(key).toBe('a')
    break
  }
  expect(await keysOf(fixture.store, '')).toEqual(['a', 'b', 'c'])
})

test('a probe that its caller aborts lets the next one probe', async () => {
  const fixture = rig()
  await open(fixture)
  fixture.clock.advance(100)
  fixture.answer('aborted')
  await expectError(fixture.store.head('a'), 'aborted')
  fixture.answer(null)
  expect(await fixture.store.head('a')).toBeNull()
})

describe('with retries above it', () => {
  test('a request that an open circuit holds back fails at once', async () => {
    const fixture = rig(8)
    fixture.answer('store_unavailable')
    const error = await expectError(fixture.store.get('a'), 'store_unavailable')
    expect(error.details).toMatchObject({ circuit: 'open' })
    expect(fixture.faulty.calls).toHaveLength(3)
    const sleeps = fixture.sleeps()
    await expectError(fixture.store.get('a'), 'store_unavailable')
    expect(fixture.faulty.calls).toHaveLength(3)
    expect(fixture.sleeps()).toBe(sleeps)
  })

  test('a put that took effect before the circuit opened is unknown, and recognised afterwards', async () => {
    const fixture = rig(8, 1)
    const options = { ifAbsent: true, putId: 'mine' }
    fixture.misbehave({ kind: 'drop-reply' })
    const error = await expectError(fixture.store.put('a', BYTES, options), 'store_unavailable')
    expect(error.details).toMatchObject({ circuit: 'open' })
    expect(await fixture.inner.head('a')).not.toBeNull()
    fixture.answer(null)
    fixture.clock.advance(1_000)
    await fixture.store.put('a', BYTES, options)
  })
})
