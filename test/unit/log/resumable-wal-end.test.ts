/** Failures of a disk that the engine must not go on from by itself, and an end in the middle of a failure. */
import { expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { DISK_RETRY_MAX_MS } from '../../../src/format/limits.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import { type DiskBench, diskBench, numbersOf } from '../../support/disk-bench.ts'
import { expectError } from '../../support/expect-error.ts'

async function append(bench: DiskBench, n: number): Promise<unknown> {
  const rows = [{ n, text: 'x'.repeat(200) }]
  const { durable } = bench
  const appended = durable.append(durable.partition(0), { kind: 'rows', rows }, 'disk', 1_000 + n)
  const outcome = appended.catch((error: unknown) => error)
  await bench.settle()
  return outcome
}

/** A bench with three records, and a disk whose syncs fail until they are let go. */
async function failing(): Promise<{ bench: DiskBench; fileSystem: MemorySyncFileSystem }> {
  const fileSystem = new MemorySyncFileSystem()
  const bench = diskBench(fileSystem)
  for (const n of [0, 1, 2]) expect(await append(bench, n)).toMatchObject({ offset: n })
  fileSystem.faults = ({ kind, path }): undefined => {
    if (kind === 'dataSync' || kind === 'sync')
      throw new StratalogError('file_system_failed', 'EIO', { details: { errno: 'EIO', path } })
  }
  expect(await append(bench, 3)).toMatchObject({ code: 'disk_failed' })
  return { bench, fileSystem }
}

test('what was acknowledged and is damaged when it is read back is refused for good, and reads go on', async () => {
  const { bench, fileSystem } = await failing()
  fileSystem.faults = (): undefined => undefined
  const path = `wal/${fileSystem.list('wal').find((name) => name.endsWith('.wal')) ?? ''}`
  const bytes = fileSystem.bytes(path)
  bytes[200] = (bytes[200] ?? 0) ^ 1
  fileSystem.replace(path, bytes)
  await bench.heal(5 * DISK_RETRY_MAX_MS)
  expect(bench.disk.state).toBe('damaged')
  expect(await append(bench, 4)).toMatchObject({ code: 'wal_corrupt', kind: 'corrupt' })
  expect(numbersOf(bench.durable)).toEqual([0, 1, 2])
  expect(fileSystem.bytes(path)).toEqual(bytes)
  await bench.wal.close()
})

test('the end of a WAL that is gone when it is read back is damage, though what is left reads well', async () => {
  const { bench, fileSystem } = await failing()
  fileSystem.faults = (): undefined => undefined
  const path = `wal/${fileSystem.list('wal').find((name) => name.endsWith('.wal')) ?? ''}`
  const bytes = fileSystem.bytes(path)
  fileSystem.replace(path, bytes.fill(0, 64 + 300))
  await bench.heal(5 * DISK_RETRY_MAX_MS)
  expect(bench.disk.state).toBe('damaged')
})

test('a writer that was superseded while its disk failed stays out', async () => {
  const { bench, fileSystem } = await failing()
  bench.wal.abandon(new StratalogError('writer_fenced', 'a newer writer'))
  expect(bench.disk.state).toBe('fenced')
  fileSystem.faults = (): undefined => undefined
  await bench.heal(5 * DISK_RETRY_MAX_MS)
  expect(bench.disk.state).toBe('fenced')
  expect(await append(bench, 4)).toMatchObject({ code: 'writer_fenced', kind: 'fenced' })
})

test('a writer that finds out at the claim of its next epoch that it was superseded stays out', async () => {
  const { bench, fileSystem } = await failing()
  fileSystem.faults = ({ kind }): undefined => {
    if (kind === 'list') throw new StratalogError('writer_fenced', 'a newer writer')
  }
  await bench.heal(5 * DISK_RETRY_MAX_MS)
  expect(bench.disk.state).toBe('fenced')
  expect(await append(bench, 4)).toMatchObject({ code: 'writer_fenced', kind: 'fenced' })
})

test('an engine that closes while its disk fails ends, and tries no more', async () => {
  const { bench, fileSystem } = await failing()
  await bench.settle()
  const closing = bench.wal.close()
  await bench.settle()
  await closing
  expect(bench.disk.state).toBe('closed')
  let calls = 0
  fileSystem.faults = (): undefined => void calls++
  bench.clock.advance(10 * DISK_RETRY_MAX_MS)
  await bench.settle()
  expect(calls).toBe(0)
  await expectError(bench.wal.flush(), 'engine_closed')
})

test('a disk that stays away is told of once', async () => {
  const { bench } = await failing()
  const before = bench.metrics.total('stratalog_disk_state_changes_total')
  await bench.heal(20 * DISK_RETRY_MAX_MS)
  expect(bench.disk.state).toBe('failed')
  // A probe that fails changes no state.
  expect(bench.metrics.total('stratalog_disk_state_changes_total')).toBe(before)
  expect(bench.logger.entries.filter(({ fields }) => fields['to'] === 'failed')).toHaveLength(1)
})
