import { expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { type WalActivity, WalWatch } from '../../../src/log/wal-watch.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import { type DiskBench, diskBench, numbersOf } from '../../support/disk-bench.ts'
import { expectError } from '../../support/expect-error.ts'

const STUCK_AFTER_MS = 10_000

function watched(): {
  clock: VirtualClock
  activity: WalActivity
  said: boolean[]
  watch: WalWatch
} {
  const bench = {
    clock: new VirtualClock(),
    activity: { isBusy: false, steps: 0 } as WalActivity,
    said: [] as boolean[],
  }
  const watch = new WalWatch(
    bench.clock,
    STUCK_AFTER_MS,
    () => bench.activity,
    (isStuck) => bench.said.push(isStuck),
  )
  return Object.assign(bench, { watch })
}

test('a writer that gets on is never stuck, however long it has work', () => {
  const bench = watched()
  for (let steps = 0; steps < 100; steps++) {
    bench.activity = { isBusy: true, steps }
    bench.clock.advance(STUCK_AFTER_MS - 1)
  }
  expect(bench.said).toEqual([])
})

test('a writer that has work and does not get on is stuck after the limit, and not before, until it gets on', () => {
  const bench = watched()
  bench.clock.advance(1_000_000)
  bench.activity = { isBusy: true, steps: 5 }
  bench.clock.advance(STUCK_AFTER_MS)
  expect(bench.said).toEqual([])
  bench.clock.advance(STUCK_AFTER_MS / 2)
  expect(bench.said).toEqual([true])
  bench.clock.advance(10 * STUCK_AFTER_MS)
  expect(bench.said).toEqual([true])
  bench.activity = { isBusy: true, steps: 6 }
  bench.watch.look()
  expect(bench.said).toEqual([true, false])
})

test('a thread that could not look for long does not take that for a writer that is stuck', () => {
  const bench = watched()
  bench.activity = { isBusy: true, steps: 0 }
  bench.watch.look()
  bench.clock.monotonic = () => 60_000
  bench.watch.look()
  expect(bench.said).toEqual([])
})

test('nothing is looked at after closing', () => {
  const bench = watched()
  bench.activity = { isBusy: true, steps: 0 }
  bench.watch.close()
  bench.clock.advance(10 * STUCK_AFTER_MS)
  expect(bench.said).toEqual([])
})

async function stuckBench(): Promise<DiskBench> {
  const bench = diskBench(new MemorySyncFileSystem(), { stuckAfterMs: STUCK_AFTER_MS })
  bench.isRunning = false
  return bench
}

test('a stuck disk refuses appends and says so; what waits is acknowledged when the call returns', async () => {
  const bench = await stuckBench()
  const { durable, ram } = bench
  const append = (n: number): Promise<unknown> =>
    durable.append(durable.partition(0), { kind: 'rows', rows: [{ n }] }, 'disk', 1_000)
  const waiting = append(1)
  await bench.settle()
  bench.clock.advance(2 * STUCK_AFTER_MS)
  expect(bench.disk.state).toBe('stuck')
  const refused = await expectError(append(2), 'disk_stuck')
  expect([refused.kind, refused.details['fate']]).toEqual(['unavailable', 'not_applied'])
  await ram.append(ram.partition(0), { kind: 'rows', rows: [{ n: 3 }] }, 'memory', 1_000)
  expect(numbersOf(durable)).toEqual([])
  bench.isRunning = true
  await bench.settle()
  await waiting
  expect(bench.disk.state).toBe('working')
  const last = append(4)
  await bench.settle()
  await last
  expect(numbersOf(durable)).toEqual([1, 4])
  const changes = bench.logger.entries.map(({ fields }) => [fields['from'], fields['to']])
  expect(changes).toEqual([
    ['working', 'stuck'],
    ['stuck', 'working'],
  ])
  expect(bench.metrics.total('stratalog_disk_state_changes_total')).toBe(2)
})

test('a stuck disk whose call returns with an error is a failed one, and recovers as that', async () => {
  const fileSystem = new MemorySyncFileSystem()
  const bench = diskBench(fileSystem, { stuckAfterMs: STUCK_AFTER_MS })
  const { durable } = bench
  bench.isRunning = false
  const rows = [{ n: 1 }]
  const waiting = durable.append(durable.partition(0), { kind: 'rows', rows }, 'disk', 1_000)
  const refused = expectError(waiting, 'disk_failed')
  await bench.settle()
  bench.clock.advance(2 * STUCK_AFTER_MS)
  expect(bench.disk.state).toBe('stuck')
  fileSystem.faults = ({ kind, path }): undefined => {
    if (kind === 'dataSync')
      throw new StratalogError('file_system_failed', 'EIO', { details: { errno: 'EIO', path } })
  }
  bench.isRunning = true
  await bench.settle()
  expect((await refused).details['fate']).toBe('unknown')
  expect(bench.disk.state).toBe('failed')
  fileSystem.faults = (): undefined => undefined
  await bench.heal()
  expect([bench.disk.state, bench.epoch()]).toEqual(['working', 2])
})

test('a stuck disk that fails elsewhere is given up once its call returns', async () => {
  const bench = await stuckBench()
  const { durable } = bench
  const rows = [{ n: 1 }]
  const waiting = durable.append(durable.partition(0), { kind: 'rows', rows }, 'disk', 1_000)
  const refused = expectError(waiting, 'disk_failed')
  await bench.settle()
  bench.clock.advance(2 * STUCK_AFTER_MS)
  bench.wal.abandon(new StratalogError('disk_failed', 'a segment could not be synced'))
  await bench.heal(30_000)
  expect(bench.disk.state).toBe('failed')
  bench.isRunning = true
  await bench.heal()
  await refused
  // It was written before its writer ended, so it is there, though nobody was told.
  expect([bench.disk.state, bench.epoch(), numbersOf(durable)]).toEqual(['working', 2, [1]])
})
