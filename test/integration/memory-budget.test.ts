/** Budgets, terms and waits of an engine in RAM, through its front door. */
import { describe, expect, test } from 'vitest'
import { VirtualClock } from '../../src/base/virtual-clock.ts'
import type { OffsetGap } from '../../src/log/view-reader.ts'
import { type Clock, Stratalog } from '../../src/index.ts'

const TEXT = 'x'.repeat(1_000)

describe('an engine in RAM', () => {
  test('stays within its budget whatever is appended, and tells readers of what went', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '1MB' })
    const log = await db.createLog('log', { storage: { evictionPolicy: 'priority' } })
    for (let n = 0; n < 3_000; n++) {
      await log.append({ n, text: TEXT }, { priority: n % 3 })
      expect(db.memoryMetrics().usedBytes).toBeLessThanOrEqual(1024 * 1024)
    }
    const kept: unknown[] = []
    for await (const row of log.read({ onGap: 'skip' }).rows()) kept.push(row['n'])
    // Lower ones are those that came after the last round.
    const high = kept.filter((n) => Number(n) % 3 === 2)
    expect(high.length).toBeGreaterThan(kept.length * 0.8)
    const { recordCount } = db.memoryMetrics()
    const evictedRecords = db.memoryMetrics().evictedRecords.priority ?? 0
    expect([kept.length, kept.length + evictedRecords]).toEqual([recordCount, 3_000])
    const gaps: OffsetGap[] = []
    await log.read({ from: 0, onGap: (gap) => gaps.push(gap) }).toArray()
    expect(gaps.reduce((sum, { from, to }) => sum + to - from, 0)).toBe(evictedRecords)
    expect(new Set(gaps.map(({ cause }) => cause))).toEqual(new Set(['evicted']))
  })

  test('takes appends beside a reader that stands still, which keeps no more than it leases', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '24MB' })
    const log = await db.createLog('log')
    const rows = Array.from({ length: 50 }, () => ({ text: 'x'.repeat(20_000) }))
    for (let round = 0; round < 18; round++) await log.append(rows)
    const reader = log.read({ onGap: 'skip' })[Symbol.asyncIterator]()
    const first = await reader.next()
    for (let round = 0; round < 60; round++) await log.append(rows)
    expect(first.value?.toRows()[0]?.['text']).toHaveLength(20_000)
    // The leases are of some batches; the rest of the budget holds what was appended last.
    expect(db.memoryMetrics().recordCount).toBeGreaterThan(500)
    expect((await log.get(78 * 50 - 1))?.['text']).toHaveLength(20_000)
    await reader.return?.()
  })

  test('gives no expired record back, by read, get or SQL', async () => {
    const clock = new VirtualClock()
    await using db = await Stratalog.memoryOnly({}, { clock })
    const log = await db.createLog('log', { storage: { ttl: '1m' } })
    await log.append([{ n: 1 }, { n: 2 }])
    await log.append({ n: 3 }, { ttl: '1h' })
    clock.advance(60_000)
    expect((await log.read().toArray()).map((row) => row['n'])).toEqual([3])
    expect(await log.get(0)).toBeNull()
    expect((await log.get(2))?.['n']).toBe(3)
    expect(await (await db.query('SELECT n FROM log')).toArray()).toEqual([{ n: 3 }])
  })

  test('shows no expired record again when the clock is set back, and lets new ones live', async () => {
    const virtual = new VirtualClock()
    let setBackMs = 0
    const clock: Clock = {
      now: () => virtual.now() - setBackMs,
      monotonic: () => virtual.monotonic(),
      setTimer: (delayMs, callback) => virtual.setTimer(delayMs, callback),
      sleep: (delayMs, signal) => virtual.sleep(delayMs, signal),
      yield: () => virtual.yield(),
    }
    await using db = await Stratalog.memoryOnly({}, { clock })
    // One long-lived record keeps the batch, so that the expired one is not reclaimed.
    const log = await db.createLog('log', { storage: { ttl: '1m' } })
    await log.append({ n: 1 })
    await log.append(
      Array.from({ length: 100 }, () => ({ n: 2 })),
      { ttl: '1d' },
    )
    virtual.advance(60_000)
    expect(await log.get(0)).toBeNull()
    setBackMs = 3_600_000
    expect(await log.get(0)).toBeNull()
    const { offset } = await log.append({ n: 3 })
    expect((await log.get(offset))?.['n']).toBe(3)
    setBackMs = 0
    virtual.advance(60_000)
    expect(await log.get(offset)).toBeNull()
  })

  test('refuses at once under reject, and an append that never fits under any policy', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '1MB' })
    const rows = Array.from({ length: 100 }, (_, n) => ({ n, text: TEXT }))
    const own = await db.createLog('own', { storage: { maxMemoryBytes: '64KB' } })
    await expect(own.append(rows)).rejects.toMatchObject({ code: 'append_too_large' })
    await own.append({ n: 1, text: 'small' })
    const refusing = await db.createLog('refusing', { storage: { evictionPolicy: 'reject' } })
    const fill = async (): Promise<void> => {
      for (let count = 0; count < 20; count++) await refusing.append(rows)
    }
    await expect(fill()).rejects.toMatchObject({
      code: 'memory_full',
      kind: 'overloaded',
      details: { retryAfterMs: 10_000 },
    })
    expect(db.memoryMetrics().perLog['refusing']?.evictedRecords).toEqual({})
  })
})
