/** What syncs of the WAL say of themselves to the metrics port. */
import { expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { MemoryMetrics } from '../../../src/base/metrics.ts'
import { WalMeter } from '../../../src/log/wal-meter.ts'
import type { WalSyncs } from '../../../src/log/wal-ring.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import { type DiskBench, diskBench } from '../../support/disk-bench.ts'
import { appendRows } from '../../support/live-logs.ts'
import { appendPayload, openTestWal, testPayload } from '../../support/wal.ts'

function syncs({ metrics }: DiskBench): readonly number[] {
  return ['ms_count', 'frames_total', 'bytes_total'].map((name) =>
    metrics.value(`stratalog_wal_sync_${name}`),
  )
}

test('appends of one group are one sync of their frames and bytes, and a WAL that goes on counts on', async () => {
  const bench = diskBench(new MemorySyncFileSystem())
  const { durable, wal, metrics } = bench
  for (let n = 0; n < 3; n++) void appendRows(durable, [{ n }])
  await bench.settle()
  const schemas = 1
  expect(syncs(bench)).toEqual([1, schemas + 3, wal.durableLsn])
  void appendRows(durable, [{ n: 3 }])
  await bench.settle()
  expect(syncs(bench)).toEqual([2, schemas + 4, wal.durableLsn])
  wal.abandon(new StratalogError('disk_failed', 'EIO'))
  await bench.heal()
  const before = wal.durableLsn
  void appendRows(durable, [{ n: 4 }])
  await bench.settle()
  expect(wal.durableLsn).toBeGreaterThan(before)
  expect(syncs(bench)).toEqual([3, schemas + 5, wal.durableLsn])
  expect(metrics.value('stratalog_wal_sync_ms_sum')).toBeGreaterThanOrEqual(0)
})

test('frames that are bigger than what the ring lets through at once count as one each', () => {
  const open = openTestWal(new MemorySyncFileSystem(), { measuresSyncs: true })
  for (const [index, length] of [8, 40_000, 8].entries()) {
    appendPayload(open.wal, index, testPayload(index, length))
    open.run()
  }
  expect(open.wal.syncs().frames).toBe(3)
})

test('a WAL that is not asked to measures nothing', () => {
  const open = openTestWal(new MemorySyncFileSystem())
  appendPayload(open.wal, 0, testPayload(0, 8))
  open.run()
  expect(open.wal.durableLsn).toBeGreaterThan(0)
  expect(open.wal.syncs()).toEqual({ count: 0, ms: 0, frames: 0 })
})

test('each sync is in the histogram, with the mean of those that were looked at together', () => {
  const metrics = new MemoryMetrics()
  const wal: { durableLsn: number; now: WalSyncs; syncs: () => WalSyncs } = {
    durableLsn: 100,
    now: { count: 4, ms: 10, frames: 9 },
    syncs: () => wal.now,
  }
  const meter = new WalMeter(metrics, wal)
  wal.now = { count: 7, ms: 16, frames: 20 }
  wal.durableLsn = 900
  meter.look()
  meter.look()
  expect(metrics.value('stratalog_wal_sync_ms_count')).toBe(3)
  expect(metrics.value('stratalog_wal_sync_ms_sum')).toBe(6)
  expect(metrics.value('stratalog_wal_sync_frames_total')).toBe(11)
  expect(metrics.value('stratalog_wal_sync_bytes_total')).toBe(800)
})
