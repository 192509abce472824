/** What the memory tier says of itself: the same figures to the caller and to the metrics port. */
import { describe, expect, test } from 'vitest'
import { MemoryMetrics as CollectedMetrics } from '../../src/base/metrics.ts'
import { Stratalog, VirtualClock } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const FILLER = 'x'.repeat(1_000)

function rows(count: number): object[] {
  return Array.from({ length: count }, (_, n) => ({ n, filler: `${n} ${FILLER}` }))
}

describe('memoryMetrics', () => {
  test('of an engine without records is empty but for the budget', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '64MB' })
    await db.createLog('constructor')
    expect(db.memoryMetrics()).toEqual({
      usedBytes: 0,
      maxBytes: 64 * 1024 * 1024,
      usagePercent: 0,
      recordCount: 0,
      evictionCount: 0,
      evictedRecords: {},
      expiredRecords: 0,
      waitingAppends: 0,
      perLog: {
        constructor: {
          usedBytes: 0,
          maxBytes: null,
          recordCount: 0,
          evictionCount: 0,
          evictedRecords: {},
          expiredRecords: 0,
        },
      },
    })
    expect(db.memoryMetrics().perLog['toString']).toBeUndefined()
  })

  test('the logs add up to the engine, and nothing that was appended is unaccounted for', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '8MB' })
    await db.createLog('small', { storage: { maxMemoryBytes: '2MB' } })
    await db.createLog('wide', { partitions: 3 })
    for (let round = 0; round < 30; round++) {
      await db.produce('small', rows(200))
      await db.produce('wide', rows(300))
    }
    const { perLog, ...whole } = db.memoryMetrics()
    const logs = Object.values(perLog)
    const sum = (of: (log: (typeof logs)[number]) => number): number =>
      logs.reduce((total, log) => total + of(log), 0)
    expect(sum((log) => log.usedBytes)).toBe(whole.usedBytes)
    expect(sum((log) => log.recordCount)).toBe(whole.recordCount)
    expect(sum((log) => log.evictionCount)).toBe(whole.evictionCount)
    expect(whole.evictedRecords).toEqual({ fifo: whole.evictionCount })
    expect(whole.evictionCount).toBeGreaterThan(0)
    expect(whole.usedBytes).toBeLessThanOrEqual(whole.maxBytes)
    expect(perLog['small']?.usedBytes).toBeLessThanOrEqual(2 * 1024 * 1024)
    expect(perLog['small']?.maxBytes).toBe(2 * 1024 * 1024)
    for (const [name, appended] of Object.entries({ small: 6_000, wide: 9_000 })) {
      const { recordCount = 0, evictionCount = 0 } = perLog[name] ?? {}
      expect(recordCount + evictionCount, name).toBe(appended)
    }
    expect(whole.usagePercent).toBeCloseTo((whole.usedBytes / whole.maxBytes) * 100, 0)
  })

  test('what expired is told apart from what was evicted', async () => {
    const clock = new VirtualClock(0)
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '4MB' }, { clock })
    await db.produceWithTtl('sessions', rows(1_000), '1m')
    clock.advance(60_000)
    for (let round = 0; round < 4; round++) await db.produce('events', rows(1_000))
    const { expiredRecords, evictionCount, recordCount, perLog } = db.memoryMetrics()
    expect(expiredRecords).toBe(1_000)
    expect(perLog['sessions']).toMatchObject({ recordCount: 0, expiredRecords: 1_000 })
    expect(recordCount + evictionCount).toBe(4_000)
  })

  test('counts the RAM copies of logs with lower tiers, which go without being evicted', async () => {
    await using db = await Stratalog.open({
      dataDir: `${await temporaryDirectory()}/data`,
      defaults: { memoryTtl: 0, diskAfter: 0 },
      logLevel: 'silent',
    })
    await db.produce('orders', rows(100))
    expect(db.memoryMetrics()).toMatchObject({ recordCount: 100 })
    await db.tier.now({ to: 'disk' })
    await db.tier.run()
    expect(db.memoryMetrics()).toMatchObject({ recordCount: 0, evictionCount: 0 })
  })
})

describe('the metrics port', () => {
  test('has the same figures, and no name of a log among its labels', async () => {
    const metrics = new CollectedMetrics()
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '4MB' }, { metrics })
    for (let round = 0; round < 8; round++) await db.produce('events', rows(1_000))
    const { usedBytes, maxBytes, recordCount, evictionCount } = db.memoryMetrics()
    expect(metrics.value('stratalog_memory_used_bytes')).toBe(usedBytes)
    expect(metrics.value('stratalog_memory_budget_bytes')).toBe(maxBytes)
    expect(metrics.value('stratalog_memory_records')).toBe(recordCount)
    expect(metrics.value('stratalog_memory_waiting_appends')).toBe(0)
    expect(evictionCount).toBeGreaterThan(0)
    expect(metrics.value('stratalog_evicted_records_total', { policy: 'fifo' })).toBe(evictionCount)
  })

  test('counts the appends that waited for room, and those that were refused', async () => {
    const metrics = new CollectedMetrics()
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '2MB' }, { metrics })
    const kept = await db.createLog('kept', { storage: { evictionPolicy: 'reject' } })
    const fill = async (): Promise<void> => {
      for (;;) await kept.append(rows(100))
    }
    await expectError(fill(), 'memory_full')
    expect(metrics.value('stratalog_memory_refusals_total')).toBe(1)
    expect(metrics.value('stratalog_memory_waits_total')).toBe(0)

    const stop = new AbortController()
    const waiting = db.produce('ring', rows(1_000), { signal: stop.signal })
    const aborted = expectError(waiting, 'aborted')
    while (metrics.value('stratalog_memory_waits_total') === 0) await Promise.resolve()
    expect(db.memoryMetrics().waitingAppends).toBe(1)
    expect(metrics.value('stratalog_memory_waiting_appends')).toBe(1)
    stop.abort()
    await aborted
    expect(db.memoryMetrics().waitingAppends).toBe(0)
  })
})
