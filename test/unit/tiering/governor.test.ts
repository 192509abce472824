import { describe, expect, test, vi } from 'vitest'
import type { StratalogError } from '../../../src/base/errors.ts'
import { MemoryMetrics } from '../../../src/base/metrics.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import type { StoragePolicy } from '../../../src/format/manifest.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { WAITING_APPENDS_MAX } from '../../../src/tiering/admission.ts'
import { MemoryGovernor } from '../../../src/tiering/governor.ts'
import {
  MEMORY_POLICY,
  Surroundings,
  appendRows,
  liveLog,
  visibleRows,
} from '../../support/live-logs.ts'
import { HYBRID_POLICY, segmentEntry } from '../../support/manifests.ts'

const MIB = 1024 * 1024

interface Setting {
  readonly around: Surroundings
  readonly clock: VirtualClock
  readonly metrics: MemoryMetrics
  readonly governor: MemoryGovernor
  readonly logs: LiveLog[]
  logsOf: () => Iterable<LiveLog>
  relieve: () => Promise<void>
  reliefs: number
}

function setting(maxBytes: number): Setting {
  const clock = new VirtualClock()
  const metrics = new MemoryMetrics()
  const around = new Surroundings()
  const logs: LiveLog[] = []
  const given: Setting = {
    around,
    clock,
    metrics,
    logs,
    logsOf: () => logs,
    relieve: () => Promise.resolve(),
    reliefs: 0,
    governor: new MemoryGovernor({
      pool: around.pool,
      maxBytes,
      watermark: 0.5,
      clock,
      metrics,
      logs: () => given.logsOf(),
      relieve: () => {
        given.reliefs++
        return given.relieve()
      },
      shortage: () => null,
    }),
  }
  return given
}

function evictedRecords({ governor }: Setting): number {
  return Object.values(governor.usage().evictedRecords).reduce((sum, records) => sum + records, 0)
}

function addLog({ around, logs }: Setting, policy: Partial<StoragePolicy> = {}): LiveLog {
  const log = liveLog(around, {
    policy: { ...MEMORY_POLICY, ...policy },
    definition: { id: logs.length + 1 },
  })
  logs.push(log)
  return log
}

const FLUSHABLE: Partial<StoragePolicy> = { ...HYBRID_POLICY, wal: false, ack: 'memory' }

/** Appends sealed batches of about a quarter of a MiB. */
async function fill(log: LiveLog, batches: number, time = 1): Promise<void> {
  const text = 'x'.repeat(240_000)
  for (let batch = 0; batch < batches; batch++) {
    await appendRows(log, [{ text }], 0, time + batch)
    log.partition(0).sealOpenBatch()
  }
}

function flushed(log: LiveLog): void {
  const partition = log.partition(0)
  partition.addSegment(segmentEntry(partition.flushedEnd, partition.nextOffset))
}

describe('an append', () => {
  test('goes on at once below the watermark, and nothing is touched', async () => {
    const given = setting(16 * MIB)
    const log = addLog(given)
    await fill(log, 3)
    expect(given.governor.admit(log, null)).toBeNull()
    expect([given.reliefs, given.governor.usage().evictedBatches]).toEqual([0, 0])
  })

  test('costs RAM copies first that have a lower copy', async () => {
    const given = setting(2 * MIB)
    const [memory, hybrid] = [addLog(given), addLog(given, FLUSHABLE)]
    await fill(memory, 2)
    await fill(hybrid, 6)
    flushed(hybrid)
    expect(given.governor.usedBytes).toBeGreaterThan(MIB)
    expect(given.governor.admit(memory, null)).toBeNull()
    expect([hybrid.partition(0).batches.length, memory.partition(0).batches.length]).toEqual([0, 2])
    expect([given.reliefs, given.governor.usage().evictedBatches]).toEqual([0, 0])
  })

  test('has flushed early what can be flushed, before anything is evicted', async () => {
    const given = setting(4 * MIB)
    const [memory, hybrid] = [addLog(given), addLog(given, FLUSHABLE)]
    await fill(memory, 4)
    await fill(hybrid, 6)
    expect(given.governor.admit(memory, null)).toBeNull()
    expect([given.reliefs, given.governor.usage().evictedBatches]).toEqual([1, 0])
    expect(memory.partition(0).batches).toHaveLength(4)
  })

  test('evicts the oldest batches of all logs in RAM, down to the watermark, and counts them', async () => {
    const given = setting(2 * MIB)
    const [older, newer] = [addLog(given), addLog(given)]
    await fill(newer, 6, 100)
    await fill(older, 4, 1)
    expect(given.governor.admit(newer, null)).toBeNull()
    expect(given.governor.usedBytes).toBeLessThan(MIB)
    expect(older.partition(0).batches).toHaveLength(0)
    expect(newer.partition(0).batches.length).toBeGreaterThan(0)
    expect(evictedRecords(given)).toBe(
      older.partition(0).startOffset + newer.partition(0).startOffset,
    )
    expect(given.governor.usage().evictedBatches).toBe(evictedRecords(given))
    expect(given.metrics.total('stratalog_evicted_records_total')).toBe(evictedRecords(given))
  })

  test('is refused at once under reject when memory is full', async () => {
    const given = setting(MIB)
    const log = addLog(given, { evictionPolicy: 'reject' })
    await fill(log, 8)
    await expect(given.governor.admit(log, null)).rejects.toMatchObject({
      code: 'memory_full',
      details: { log: log.name, maxBytes: MIB },
    })
    expect(visibleRows(log)).toHaveLength(8)
  })

  test('waits for room, and goes on when a flush has made it', async () => {
    const given = setting(MIB)
    const log = addLog(given, FLUSHABLE)
    await fill(log, 8)
    const room = Promise.withResolvers<void>()
    given.relieve = async () => {
      await room.promise
      flushed(log)
      log.partition(0).dropHot(Infinity)
    }
    let isAdmitted = false
    const admitted = given.governor.admit(log, null)?.then(() => {
      isAdmitted = true
    })
    for (let look = 0; look < 5; look++) {
      given.clock.advance(5)
      await Promise.resolve()
    }
    expect([isAdmitted, given.reliefs]).toEqual([false, 1])
    room.resolve()
    for (let look = 0; look < 5; look++) {
      given.clock.advance(5)
      await given.clock.yield()
    }
    await admitted
    expect(isAdmitted).toBe(true)
  })

  test('that waits lets everything else run, though there is nothing to relieve, and is refused in the end', async () => {
    const given = setting(MIB)
    const log = addLog(given, FLUSHABLE)
    await fill(log, 8)
    const refused = expect(given.governor.admit(log, null)).rejects.toMatchObject({
      code: 'memory_full',
    })
    // A loop of microtasks would never come back from here.
    await given.clock.yield()
    expect(given.reliefs).toBe(1)
    for (let waited = 0; waited < 10_000; waited += 500) {
      given.clock.advance(500)
      await given.clock.yield()
    }
    await refused
  })

  test('that waits for leases of a reader goes on when the reader lets go', async () => {
    const given = setting(MIB)
    const log = addLog(given)
    await fill(log, 8)
    const view = log.view()
    const admitted = given.governor.admit(log, null)
    expect(admitted).not.toBeNull()
    // What the reader holds comes free: no more than the round asks for is evicted.
    expect(log.partition(0).batches.length).toBeGreaterThan(0)
    expect(given.governor.usedBytes).toBeGreaterThan(MIB)
    view.release()
    given.clock.advance(5)
    await admitted
    expect(given.governor.usedBytes).toBeLessThan(MIB)
  })

  test('goes on beside a reader that stands still, which keeps what it leases and nothing else', async () => {
    const given = setting(4 * MIB)
    const log = addLog(given)
    await fill(log, 12)
    const view = log.view()
    const pinned = log.partition(0).batches.map(({ bytes }) => bytes)
    let refused = 0
    for (let count = 12; count < 60; count++) {
      const admitted = given.governor.admit(log, null) ?? Promise.resolve()
      let isSettled = false
      void admitted.catch(() => refused++).finally(() => (isSettled = true))
      for (let look = 0; look < 100 && !isSettled; look++) {
        await given.clock.yield()
        if (!isSettled) given.clock.advance(5)
      }
      expect([isSettled, refused]).toEqual([true, 0])
      await fill(log, 1, count)
    }
    const held = pinned.reduce((sum, bytes) => sum + bytes, 0)
    expect(log.partition(0).startOffset).toBeGreaterThan(45)
    // The rest of the budget is used, not emptied again and again.
    expect(given.governor.usedBytes).toBeGreaterThan(held + 0.3 * (4 * MIB - held))
    view.release()
  })

  test('evicts nothing more for a reader of everything, which nothing could be freed beside', async () => {
    const given = setting(2 * MIB)
    const log = addLog(given)
    await fill(log, 8)
    const view = log.view()
    const waiting = given.governor.waitForRoom(log, MIB / 2)
    const refused = expect(waiting).rejects.toMatchObject({ code: 'memory_full' })
    for (let waited = 0; waited <= 10_000; waited += 500) {
      await given.clock.yield()
      given.clock.advance(500)
    }
    await refused
    expect(log.partition(0).batches.length).toBeGreaterThan(0)
    view.release()
  })

  test('finds the logs once for all the rounds that it takes to come down', async () => {
    const given = setting(16 * MIB)
    const all = Array.from({ length: 200 }, () => addLog(given))
    for (const [time, log] of all.entries())
      await appendRows(log, [{ text: 'x'.repeat(50_000) }], 0, time)
    // Time passes with every look at it: a round has come to its end after a few logs.
    let ms = 0
    vi.spyOn(given.clock, 'monotonic').mockImplementation(() => (ms += 15))
    let looks = 0
    const { logs } = given
    given.logsOf = () => {
      looks++
      return logs
    }
    let rounds = 0
    for (let before = Infinity; given.governor.usedBytes < before; rounds++) {
      before = given.governor.usedBytes
      expect(given.governor.admit(all[0] ?? addLog(given), null)).toBeNull()
    }
    expect(rounds).toBeGreaterThan(5)
    expect(looks).toBeLessThan(3)
    expect(all[0]?.partition(0).hotRecords).toBe(0)
    expect(all.at(-1)?.partition(0).hotRecords).toBe(1)
  })

  test('above the watermark has the engine reclaim down to the low one, and not again before the high one', async () => {
    const given = setting(16 * MIB)
    const log = addLog(given)
    let rounds = 0
    for (let count = 0; count < 80; count++) {
      const before = evictedRecords(given)
      expect(given.governor.admit(log, null)).toBeNull()
      if (evictedRecords(given) > before) {
        rounds++
        expect(given.governor.usedBytes).toBeLessThanOrEqual(0.4 * 16 * MIB)
        expect(evictedRecords(given) - before).toBeGreaterThan(2)
      }
      await fill(log, 1, count)
      expect(given.governor.usedBytes).toBeLessThanOrEqual(0.5 * 16 * MIB + 250_000)
    }
    expect(rounds).toBeGreaterThan(5)
  })

  test('does not look at every log again when nothing could be had, until time passed or bytes came back', async () => {
    const given = setting(16 * MIB)
    const log = addLog(given, { evictionPolicy: 'reject' })
    await fill(log, 40)
    let looks = 0
    const { logs } = given
    given.logsOf = () => {
      looks++
      return logs
    }
    for (let count = 0; count < 10; count++) expect(given.governor.admit(log, null)).toBeNull()
    expect(looks).toBe(1)
    given.clock.advance(5)
    expect(given.governor.admit(log, null)).toBeNull()
    expect(looks).toBe(2)
  })
})

describe('a log with a budget of its own', () => {
  test('evicts its own records for it, and those of no other', async () => {
    const given = setting(16 * MIB)
    given.around.room = given.governor
    const [own, other] = [addLog(given, { maxMemoryBytes: MIB }), addLog(given)]
    await fill(other, 8, 1)
    await fill(own, 40, 100)
    expect(own.partition(0).logMemory.usedBytes).toBeLessThanOrEqual(MIB)
    expect(given.governor.admit(own, own.partition(0))).toBeNull()
    expect(own.partition(0).hotBytes).toBeLessThanOrEqual(0.9 * MIB)
    expect(other.partition(0).batches).toHaveLength(8)
    expect(own.partition(0).logMemory.reclaimed.evictedRecords.fifo).toBe(
      40 - own.partition(0).hotRecords,
    )
  })

  test('has others pass while its appends wait', async () => {
    const given = setting(16 * MIB)
    const own = addLog(given, { maxMemoryBytes: MIB / 2 })
    await fill(own, 2)
    const view = own.view()
    const waiting = given.governor.waitForRoom(own, MIB / 4)
    expect(given.governor.admit(addLog(given), null)).toBeNull()
    expect(given.governor.admit(own, null)).not.toBeNull()
    view.release()
    given.clock.advance(5)
    await waiting
  })
})

describe('appends that wait', () => {
  /** A log whose memory is full and held by a reader. */
  async function full(
    maxBytes = MIB / 2,
  ): Promise<Setting & { log: LiveLog; release: () => void }> {
    const given = setting(maxBytes)
    const log = addLog(given)
    await fill(log, 8)
    const view = log.view()
    return { ...given, log, release: () => view.release() }
  }

  test('go on in the order of asking', async () => {
    const { governor, log, release, clock } = await full()
    const order: number[] = []
    const all = [0, 1, 2].map(async (index) => {
      await governor.admit(log, null)
      order.push(index)
    })
    release()
    clock.advance(5)
    await Promise.all(all)
    expect(order).toEqual([0, 1, 2])
  })

  test('are not more than the queue holds', async () => {
    const { governor, log, release, clock } = await full()
    const waiting = Array.from({ length: WAITING_APPENDS_MAX }, async () =>
      governor.admit(log, null),
    )
    expect(governor.usage().waitingAppends).toBe(WAITING_APPENDS_MAX)
    await expect(governor.admit(log, null)).rejects.toMatchObject({ code: 'memory_full' })
    release()
    clock.advance(5)
    await Promise.all(waiting)
    expect(governor.usage().waitingAppends).toBe(0)
    expect(log.partition(0).logMemory.waitingAppends).toBe(0)
  })

  test('end with their signal, also one that fired before', async () => {
    const { governor, log } = await full()
    const controller = new AbortController()
    const waiting = governor.admit(log, null, controller.signal)
    controller.abort(new Error('enough'))
    await expect(waiting).rejects.toMatchObject({ code: 'aborted' })
    await expect(governor.admit(log, null, controller.signal)).rejects.toMatchObject({
      code: 'aborted',
    })
    expect(governor.usage().waitingAppends).toBe(0)
    governor.close()
  })

  test('end with the engine, as do those that come after', async () => {
    const { governor, log } = await full()
    const waiting = governor.admit(log, null)
    governor.close()
    await expect(waiting).rejects.toMatchObject({ code: 'engine_closed' })
    await expect(governor.admit(log, null)).rejects.toMatchObject({ code: 'engine_closed' })
  })

  test('are told when to come again by how fast memory came free', async () => {
    const given = setting(MIB)
    const log = addLog(given, { evictionPolicy: 'reject' })
    const giving = addLog(given)
    await fill(log, 5)
    const hint = async (): Promise<unknown> => {
      const error: unknown = await given.governor.admit(log, null)?.catch((e: unknown) => e)
      return (error as StratalogError).details['retryAfterMs']
    }
    expect(await hint()).toBe(10_000)
    await fill(giving, 4)
    given.clock.advance(1_000)
    expect(await hint()).toBeLessThan(10_000)
    expect(await hint()).toBeGreaterThanOrEqual(10)
  })

  test('are refused at once when they can never fit', async () => {
    const given = setting(MIB)
    const log = addLog(given)
    expect(() => given.governor.makeRoom(log, 2 * MIB, 0)).toThrow(
      /at least 2097152 bytes.* 1048576/,
    )
    await expect(given.governor.waitForRoom(log, 2 * MIB)).rejects.toMatchObject({
      code: 'append_too_large',
    })
  })
})

describe('an append that finds no room', () => {
  test('costs no record when it never fits, though each of its columns does', async () => {
    const given = setting(2 * MIB)
    given.around.pool.limit = 2 * MIB
    given.around.room = given.governor
    const log = addLog(given)
    await fill(log, 3)
    const text = 'x'.repeat(300_000)
    const columns = Array.from({ length: 10 }, (_, index) => [`c${index}`, text])
    await expect(appendRows(log, [Object.fromEntries(columns)])).rejects.toMatchObject({
      code: 'append_too_large',
      details: { bytes: 3_000_000, limit: 2 * MIB },
    })
    expect(evictedRecords(given)).toBe(0)
  })

  test('has room made where the count says that there is some, but it lies in holes', async () => {
    const given = setting(4 * MIB)
    const log = addLog(given)
    await fill(log, 8)
    const { usedBytes } = given.governor
    expect(given.governor.makeRoom(log, MIB / 2, 0)).toBe(true)
    expect(given.governor.usedBytes).toBeLessThanOrEqual(usedBytes - MIB / 2)
  })
})

describe('records with a time to live', () => {
  test('are reclaimed by the clock without an append, counted as expired, and leave no timer behind', async () => {
    const given = setting(16 * MIB)
    const log = addLog(given)
    const { clock, around, governor } = given
    around.now = () => clock.now()
    around.onExpiring = (partition) => governor.watch(partition)
    const expiresAt = clock.now() + 10_000
    await appendRows(log, [{ n: 1 }, { n: 2 }], 0, clock.now(), { expiresAt, priority: 0 })
    clock.advance(9_999)
    expect(visibleRows(log)).toHaveLength(2)
    clock.advance(1)
    expect(visibleRows(log)).toHaveLength(0)
    clock.advance(1_000)
    expect([governor.usedBytes, log.partition(0).hotRecords]).toEqual([0, 0])
    const { expiredRecords, evictedBatches } = governor.usage()
    expect([expiredRecords, evictedBatches]).toEqual([2, 0])
    expect(log.partition(0).logMemory.reclaimed.expiredRecords).toBe(2)
    expect(given.metrics.total('stratalog_expired_records_total')).toBe(2)
    const timers = vi.spyOn(clock, 'setTimer')
    clock.advance(60_000)
    expect(timers).not.toHaveBeenCalled()
  })

  test('go before anything is evicted', async () => {
    const given = setting(2 * MIB)
    const log = addLog(given)
    const { clock, around, governor } = given
    around.now = () => clock.now()
    around.onExpiring = (partition) => governor.watch(partition)
    await fill(log, 2)
    const text = 'x'.repeat(60_000)
    const terms = { expiresAt: clock.now() + 100, priority: 0 }
    for (let count = 0; count < 12; count++)
      await appendRows(log, [{ text }], 0, clock.now(), terms)
    clock.advance(100)
    expect(governor.admit(log, null)).toBeNull()
    expect([governor.usage().expiredRecords, evictedRecords(given)]).toEqual([12, 0])
  })
})
