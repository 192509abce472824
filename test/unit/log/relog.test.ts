import { expect, test } from 'vitest'
import { AckQueue } from '../../../src/log/ack-queue.ts'
import type { Partition } from '../../../src/log/partition.ts'
import { relog } from '../../../src/log/relog.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import { diskBench, numbersOf } from '../../support/disk-bench.ts'

test('what a log without a WAL has taken along meanwhile is not logged again', async () => {
  const bench = diskBench(new MemorySyncFileSystem())
  const { durable } = bench
  const rows = [0, 1, 2].map((n) => ({ n }))
  const appended = durable.append(durable.partition(0), { kind: 'rows', rows }, 'disk', 1_000)
  await bench.settle()
  await appended
  const partition = durable.partition(0)
  expect(partition.durableEnd).toBe(3)
  const kept = [1, 2, 3].map((endOffset) => ({ listener: partition, endOffset }))
  relog([durable], kept, 0, new AckQueue<Partition>())
  expect([partition.durableEnd, numbersOf(durable)]).toEqual([3, [0, 1, 2]])
})
