/** What ages, and what does not: small promises of the policy, kept through the scheduler. */
import { expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { MemoryGovernor } from '../../../src/tiering/governor.ts'
import { appendRows, visibleRows } from '../../support/live-logs.ts'
import { HYBRID_POLICY, eager, tieringBench, type Bench } from '../../support/tiering.ts'

const SECOND_MS = 1_000

async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await systemClock.yield()
}

async function pass({ clock }: Bench, seconds: number): Promise<void> {
  for (let tick = 0; tick < seconds * 4; tick++) {
    clock.advance(250)
    await settle()
  }
}

test('one late record does not make a crumb segment: it goes with the others, when the oldest append is due', async () => {
  const bench = await tieringBench()
  const policy = { ...HYBRID_POLICY, diskAfter: 10 * SECOND_MS, memoryTtl: 1e9, archiveAfter: 1e9 }
  const log = await bench.addLog({ policy, definition: { timeColumn: 'ts' } })
  const partition = log.partition(0)
  bench.scheduler.start()
  const year = 365 * 24 * 3_600 * SECOND_MS
  for (let second = 0; second < 9; second++) {
    const now = bench.clock.now()
    const late = second === 3 ? [{ ts: now - year, n: -1 }] : []
    await appendRows(log, [{ ts: now, n: second }, ...late], 0, now)
    await pass(bench, 1)
    expect(partition.segments).toHaveLength(0)
  }
  await pass(bench, 2)
  expect(
    Array.from(partition.segments, ({ baseOffset, endOffset }) => [baseOffset, endOffset]),
  ).toEqual([[0, 10]])
  await bench.scheduler.close()
})

test('an idle log goes down all tiers by itself, and its WAL is let go of', async () => {
  const bench = await tieringBench()
  const policy = eager({
    diskAfter: 10 * SECOND_MS,
    archiveAfter: 20 * SECOND_MS,
    memoryTtl: 30 * SECOND_MS,
    diskTtl: 40 * SECOND_MS,
  })
  const log = await bench.addLog({ policy })
  const partition = log.partition(0)
  await appendRows(log, [{ n: 1 }], 0, bench.clock.now())
  const lsn = bench.wal.appendedLsn
  bench.scheduler.start()
  const places = (): unknown => [
    partition.batches.length,
    partition.segments.countHaving('disk'),
    partition.segments.countHaving('object'),
  ]
  const seen: unknown[] = []
  for (const seconds of [9, 2, 10, 10, 10]) {
    await pass(bench, seconds)
    seen.push(places())
  }
  expect(seen).toEqual([
    [1, 0, 0],
    [1, 1, 0],
    [1, 1, 1],
    [0, 1, 1],
    [0, 0, 1],
  ])
  expect(bench.disk.manifest.state.walLsn).toBeGreaterThanOrEqual(lsn)
  await bench.scheduler.close()
})

test('RAM above its watermark flushes early, and lets go of what was flushed', async () => {
  const bench = await tieringBench()
  const policy = { ...HYBRID_POLICY, diskAfter: 1e9, memoryTtl: 1e9, archiveAfter: 1e9 }
  const log = await bench.addLog({ policy })
  const partition = log.partition(0)
  const governor = new MemoryGovernor({
    pool: bench.around.pool,
    maxBytes: 4 * 1024 * 1024,
    watermark: 0.5,
    clock: bench.clock,
    metrics: bench.metrics,
    logs: () => [log],
    relieve: () => bench.scheduler.relieve(),
    shortage: () => null,
  })
  const text = 'x'.repeat(12_000)
  let appends = 0
  for (; partition.segments.length === 0; appends++) {
    expect(appends).toBeLessThan(1_000)
    expect(governor.admit(log, partition)).toBeNull()
    await appendRows(log, [{ text }], 0, bench.clock.now())
    await settle()
  }
  // At the watermark, not at the budget, and long before any age is due.
  expect(appends * text.length).toBeGreaterThan(1024 * 1024)
  expect(appends * text.length).toBeLessThan(3 * 1024 * 1024)
  expect(governor.usedBytes).toBeLessThan(1024 * 1024)
  expect(governor.usage().evictedBytes).toBe(0)
  expect(partition.flushedEnd).toBeGreaterThanOrEqual(appends - 1)
  expect(visibleRows(log).length + partition.flushedEnd).toBeGreaterThanOrEqual(appends)
})
