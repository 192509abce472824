import { describe, expect, test } from 'vitest'
import type { Clock } from '../../../src/base/clock.ts'
import type { ErrorCode } from '../../../src/base/errors.ts'
import { MemoryLogger } from '../../../src/base/logger.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { MemoryObjectStore } from '../../../src/storage/memory-object-store.ts'
import type { ObjectHead, ObjectStore } from '../../../src/storage/object-store.ts'
import {
  RetryingObjectStore,
  type RetryPolicy,
} from '../../../src/storage/retrying-object-store.ts'
import { s3Error } from '../../../src/storage/s3-errors.ts'
import { expectError } from '../../support/expect-error.ts'
import { faultsAt, FaultyObjectStore, type FaultScript } from '../../support/faulty-object-store.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** Sleeps take no time but move the virtual clock; what they were is kept. */
class SkippingClock implements Clock {
  readonly sleeps: number[] = []
  readonly #clock = new VirtualClock()
  readonly now = (): number => this.#clock.now()
  readonly monotonic = (): number => this.#clock.monotonic()
  readonly yield = (): Promise<void> => this.#clock.yield()
  readonly setTimer: Clock['setTimer'] = (delayMs, callback) =>
    this.#clock.setTimer(delayMs, callback)

  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    this.sleeps.push(delayMs)
    this.#clock.advance(delayMs)
  }
}

/** As a directory store: keeps no put ids. */
class ForgetfulStore extends MemoryObjectStore {
  override async head(key: string): Promise<ObjectHead | null> {
    const head = await super.head(key)
    return head === null ? null : { length: head.length, sha256: head.sha256 }
  }
}

interface Rig {
  readonly inner: ObjectStore
  readonly faulty: FaultyObjectStore
  readonly store: RetryingObjectStore
  readonly clock: SkippingClock
  readonly logger: MemoryLogger
  readonly operations: () => string
}

function rig(
  script: FaultScript,
  inner: ObjectStore = new MemoryObjectStore(),
  policy: Partial<RetryPolicy> = {},
): Rig {
  const faulty = new FaultyObjectStore(inner, script)
  const clock = new SkippingClock()
  const logger = new MemoryLogger()
  const store = new RetryingObjectStore(faulty, { clock, random: seededRandom(7), logger, policy })
  return {
    inner,
    faulty,
    store,
    clock,
    logger,
    operations: () => faulty.calls.map((call) => call.operation).join(' '),
  }
}

const unavailable = { kind: 'error', code: 'store_unavailable' } as const

describe.each([
  ['a store that keeps put ids', (): ObjectStore => new MemoryObjectStore()],
  ['a store that keeps none', (): ObjectStore => new ForgetfulStore()],
])('a conditional put on %s', (_name, makeInner) => {
  test('that failed before it was applied succeeds at the next try', async () => {
    const { store, inner, operations } = rig(faultsAt({ 0: unavailable }), makeInner())
    await store.put('a', bytesOf('mine'), { ifAbsent: true })
    expect(textOf(await inner.get('a'))).toBe('mine')
    expect(operations()).toBe('put put')
  })

  test('whose answer was lost recognises its own first success', async () => {
    const { store, inner } = rig(faultsAt({ 0: { kind: 'drop-reply' } }), makeInner())
    await store.put('a', bytesOf('mine'), { ifAbsent: true })
    expect(textOf(await inner.get('a'))).toBe('mine')
  })

  test('that lands late, before the second try, is recognised', async () => {
    const { store, inner } = rig(faultsAt({ 0: { kind: 'land-late', calls: 1 } }), makeInner())
    await store.put('a', bytesOf('mine'), { ifAbsent: true })
    expect(textOf(await inner.get('a'))).toBe('mine')
  })

  test('that lands after its second try succeeded changes nothing', async () => {
    const { store, inner, faulty } = rig(
      faultsAt({ 0: { kind: 'land-late', calls: 100 } }),
      makeInner(),
    )
    await store.put('a', bytesOf('mine'), { ifAbsent: true })
    await faulty.landAll()
    expect(textOf(await inner.get('a'))).toBe('mine')
  })

  test('that meets a rival after a lost try is object_exists', async () => {
    const { store, inner } = rig((call) => (call.index === 0 ? unavailable : null), makeInner())
    await inner.put('a', bytesOf('rival'), { putId: 'other' })
    await expectError(store.put('a', bytesOf('mine!'), { ifAbsent: true }), 'object_exists')
    expect(textOf(await inner.get('a'))).toBe('rival')
  })

  test('that meets a rival at its first try is object_exists, also with equal bytes', async () => {
    const { store, inner, faulty } = rig(() => null, makeInner())
    await inner.put('a', bytesOf('same'), { putId: 'other' })
    await expectError(store.put('a', bytesOf('same'), { ifAbsent: true }), 'object_exists')
    expect(faulty.calls.filter((call) => call.operation === 'put')).toHaveLength(1)
  })

  test('whose proof fails for a while still ends right', async () => {
    const script = faultsAt({ 0: { kind: 'drop-reply' }, 2: unavailable, 4: unavailable })
    const { store, inner, operations } = rig(script, makeInner())
    await store.put('a', bytesOf('mine'), { ifAbsent: true })
    expect(textOf(await inner.get('a'))).toBe('mine')
    expect(operations()).toMatch(/^put put head put head put head/)
  })

  test('whose object is gone again when it looks is tried once more', async () => {
    const inner = makeInner()
    const taken = { kind: 'error', code: 'object_exists' } as const
    const { store } = rig(faultsAt({ 0: taken }), inner)
    await store.put('a', bytesOf('mine'), { ifAbsent: true })
    expect(textOf(await inner.get('a'))).toBe('mine')
  })
})

test('a rival with equal bytes is told apart by the put id after a lost try', async () => {
  const { store, inner } = rig(faultsAt({ 0: unavailable }))
  await inner.put('a', bytesOf('same'), { putId: 'other' })
  await expectError(store.put('a', bytesOf('same'), { ifAbsent: true }), 'object_exists')
})

describe('what is tried again', () => {
  test.each<ErrorCode>([
    'store_denied',
    'bucket_not_found',
    'object_not_found',
    'store_unsupported',
    'config_invalid',
  ])('%s is final', async (code) => {
    const { store, faulty } = rig(faultsAt({ 0: { kind: 'error', code } }))
    await expectError(store.get('a'), code)
    expect(faulty.calls).toHaveLength(1)
  })

  test('every operation is, when the store is unavailable', async () => {
    const { store, operations } = rig((call) => (call.index % 2 === 0 ? unavailable : null))
    await store.put('a', bytesOf('x'))
    await store.get('a')
    await store.head('a')
    await store.remove('a')
    await store.probe({ write: false })
    expect(operations()).toBe('put put get get head head remove remove probe probe')
  })

  test('a body that came back wrong is read again, three times at most', async () => {
    const corrupt = { kind: 'error', code: 'object_corrupt' } as const
    const once = rig(faultsAt({ 0: corrupt }))
    await once.inner.put('a', bytesOf('x'))
    expect(textOf(await once.store.get('a'))).toBe('x')
    const always = rig(() => corrupt)
    await expectError(always.store.get('a'), 'object_corrupt')
    expect(always.faulty.calls).toHaveLength(3)
  })

  test('a listing that breaks off goes on after the last key it gave', async () => {
    const inner = new MemoryObjectStore()
    const keys = Array.from({ length: 20 }, (_, i) => `k${String(i).padStart(2, '0')}`)
    for (const key of keys) await inner.put(key, bytesOf(key))
    const script = faultsAt({
      0: { kind: 'break-off', keys: 3 },
      1: { kind: 'break-off', keys: 0 },
      2: { kind: 'break-off', keys: 9 },
    })
    const { store, operations } = rig(script, inner)
    const listed: string[] = []
    for await (const object of store.list('k', { after: 'k01' })) listed.push(object.key)
    expect(listed).toEqual(keys.slice(2))
    expect(operations()).toBe('list list list list')
  })
})

describe('when to stop', () => {
  test('the number of tries ends it with the last error', async () => {
    const { store, faulty, logger } = rig(() => unavailable, undefined, { triesMax: 4 })
    await expectError(store.get('a'), 'store_unavailable')
    expect(faulty.calls).toHaveLength(4)
    expect(logger.entries).toHaveLength(3)
  })

  test('waits double up to a ceiling, with jitter', async () => {
    const policy = { triesMax: 12, delayMinMs: 100, delayMaxMs: 1_000, deadlineMs: 1e9 }
    const { store, clock } = rig(() => unavailable, undefined, policy)
    await expectError(store.head('a'), 'store_unavailable')
    expect(clock.sleeps).toHaveLength(11)
    for (const [index, delay] of clock.sleeps.entries()) {
      expect(delay).toBeLessThan(Math.min(1_000, 100 * 2 ** index))
    }
    expect(new Set(clock.sleeps).size).toBe(11)
    expect(Math.max(...clock.sleeps)).toBeGreaterThan(500)
  })

  test('no wait goes beyond the deadline', async () => {
    const policy = { triesMax: 1_000, delayMinMs: 100, delayMaxMs: 1_000, deadlineMs: 5_000 }
    const { store, clock } = rig(() => unavailable, undefined, policy)
    await expectError(store.head('a'), 'store_unavailable')
    expect(clock.monotonic()).toBeLessThanOrEqual(5_000)
    expect(clock.monotonic()).toBeGreaterThan(4_000)
  })

  test('a caller who aborts during a wait gets aborted', async () => {
    const controller = new AbortController()
    const script: FaultScript = () => {
      controller.abort(new Error('enough'))
      return unavailable
    }
    const { store, faulty } = rig(script)
    await expectError(store.get('a', { signal: controller.signal }), 'aborted')
    expect(faulty.calls).toHaveLength(1)
  })
})

describe('a store that says that it is busy', () => {
  /** How many requests come until the error is thrown, and when that is. */
  async function asked(
    status: number,
    isPatient: boolean,
  ): Promise<{ readonly calls: number; readonly atMs: number }> {
    const { store, clock, faulty } = rig(() => null, new AnsweringStore(status), { isPatient })
    await expectError(store.get('a'), 'store_unavailable')
    return { calls: faulty.calls.length, atMs: clock.monotonic() }
  }

  test.each([429, 503])(
    'is waited for up to the deadline by who is patient: %i',
    async (status) => {
      const { calls, atMs } = await asked(status, true)
      expect(calls).toBeGreaterThan(8)
      expect(atMs).toBeGreaterThan(100_000)
      expect(atMs).toBeLessThanOrEqual(120_000)
      expect(await asked(status, false)).toMatchObject({ calls: 8 })
    },
  )

  test('is told from one that fails, for which there are so many tries', async () => {
    expect(await asked(500, true)).toMatchObject({ calls: 8 })
  })
})

/** Every get is answered with an HTTP status. */
class AnsweringStore extends MemoryObjectStore {
  readonly #status: number

  constructor(status: number) {
    super()
    this.#status = status
  }

  override get(key: string): Promise<Uint8Array> {
    const answer = Object.assign(new Error('scripted'), {
      name: 'SlowDown',
      $metadata: { httpStatusCode: this.#status },
    })
    const { url } = this
    return Promise.reject(s3Error(answer, { url, bucket: 'b', key, endpoint: null }))
  }
}
