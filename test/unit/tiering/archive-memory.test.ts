/** Snapshots of logs in RAM: what is there goes to the archive, once. */
import { expect, test } from 'vitest'
import { archiveMemory } from '../../../src/tiering/archive-memory.ts'
import { flushPartition } from '../../../src/tiering/flush.ts'
import { uploadSegments } from '../../../src/tiering/upload.ts'
import { expectError } from '../../support/expect-error.ts'
import { MEMORY_POLICY, appendRows } from '../../support/live-logs.ts'
import { HYBRID_POLICY, isManifestPut, tieringBench } from '../../support/tiering.ts'

function rows(count: number, from = 0): { n: number }[] {
  return Array.from({ length: count }, (_, index) => ({ n: from + index }))
}

test('a snapshot of RAM leaves out what expired or was evicted, and its segments end at the holes', async () => {
  const bench = await tieringBench()
  bench.around.now = () => bench.clock.now()
  const log = await bench.addLog({ policy: MEMORY_POLICY })
  const soon = { expiresAt: bench.clock.now() + 100, priority: 0 }
  const low = { expiresAt: Infinity, priority: -1 }
  await appendRows(log, rows(2), 0, 1_000)
  await appendRows(log, rows(2, 2), 0, 1_000, soon)
  await appendRows(log, rows(2, 4), 0, 1_000)
  await appendRows(log, rows(2, 6), 0, 1_000, low)
  await appendRows(log, rows(2, 8), 0, 1_000)
  const partition = log.partition(0)
  bench.clock.advance(100)
  for (const batch of partition.batches)
    partition.evictRuns(batch, (_, priority) => priority === -1)
  const moves = await archiveMemory(bench.context, log, partition, partition.nextOffset)
  expect(moves.map(({ from, to }) => [from, to])).toEqual([
    [0, 2],
    [4, 6],
    [8, 10],
  ])
})

test('what is evicted while the archive hears of its log is archived all the same', async () => {
  const bench = await tieringBench()
  const log = await bench.addLog({ policy: MEMORY_POLICY })
  const partition = log.partition(0)
  await appendRows(log, rows(4))
  partition.sealOpenBatch()
  await appendRows(log, rows(2, 4))
  bench.fault = (step) => {
    const [oldest] = partition.batches
    if (step.startsWith('object put segments/') && partition.startOffset === 0 && oldest)
      partition.evict(oldest)
    return null
  }
  await archiveMemory(bench.context, log, partition, partition.nextOffset)
  expect(partition.startOffset).toBe(4)
  const archived = bench.archive.state?.logs.get(log.id)?.partitions[0]?.segments ?? []
  expect([...archived].map(({ baseOffset, endOffset }) => [baseOffset, endOffset])).toEqual([
    [0, 6],
  ])
})

test('a snapshot of RAM goes on behind what an earlier one archived and was not told of', async () => {
  const bench = await tieringBench()
  const log = await bench.addLog({ policy: MEMORY_POLICY })
  const partition = log.partition(0)
  const archive = (): Promise<unknown> =>
    archiveMemory(bench.context, log, partition, partition.nextOffset)
  await bench.archive.manifest()
  await appendRows(log, rows(4))
  bench.lostReply = (step) => isManifestPut('object', step)
  bench.fault = (step) => (step.startsWith('object get manifest/') ? 'store_unavailable' : null)
  await expectError(archive(), 'store_unavailable')
  bench.lostReply = () => false
  bench.fault = () => null
  await appendRows(log, rows(2, 4))
  await archive()
  const archived = bench.archive.state?.logs.get(log.id)?.partitions[0]?.segments ?? []
  expect(archived.map(({ baseOffset, endOffset }) => [baseOffset, endOffset])).toEqual([
    [0, 4],
    [4, 6],
  ])
})

test('a flush after a change of mode takes over what a snapshot archived, and makes the rest', async () => {
  const bench = await tieringBench()
  const log = await bench.addLog({ policy: MEMORY_POLICY })
  const partition = log.partition(0)
  await appendRows(log, rows(4))
  await archiveMemory(bench.context, log, partition, partition.nextOffset)
  // Into the same batch, so that its facts are others than the snapshot's.
  await appendRows(log, rows(2, 4))
  const policy = { ...HYBRID_POLICY, wal: false, ack: 'memory' } as const
  await log.alter(async () => ({ policy, isDenseFromHere: true, isOwed: true }))
  const moves = await flushPartition(bench.context, log, partition, 'disk')
  expect(moves.map(({ from, to, toTier }) => [from, to, toTier])).toEqual([
    [0, 4, 'object'],
    [4, 6, 'disk'],
  ])
  await uploadSegments(bench.context, log, partition, [4])
  const archived = bench.archive.state?.logs.get(log.id)?.partitions[0]?.segments ?? []
  expect(archived.map(({ sha256 }) => sha256)).toEqual(
    partition.segments.map(({ sha256 }) => sha256),
  )
})

test('a snapshot of a log that was on disk uploads what is there instead of making it again', async () => {
  const bench = await tieringBench()
  const log = await bench.addLog({ policy: HYBRID_POLICY })
  const partition = log.partition(0)
  await appendRows(log, rows(4))
  await flushPartition(bench.context, log, partition, 'disk')
  await log.alter(async () => ({ policy: MEMORY_POLICY, isDenseFromHere: false, isOwed: false }))
  await appendRows(log, rows(2, 4))
  const moves = await archiveMemory(bench.context, log, partition, partition.nextOffset)
  expect(moves.map(({ from, to, fromTier }) => [from, to, fromTier])).toEqual([
    [0, 4, 'disk'],
    [4, 6, 'memory'],
  ])
})

test('what a snapshot archives keeps its offsets and schemas, though the archive is away at the next opening', async () => {
  const bench = await tieringBench()
  const log = await bench.addLog({ policy: MEMORY_POLICY })
  await appendRows(log, rows(4))
  bench.fault = (step) => (step.startsWith('object put segments/') ? 'store_unavailable' : null)
  await expectError(archiveMemory(bench.context, log, log.partition(0), 4), 'store_unavailable')
  const known = bench.disk.manifest.state.logs.get(log.id)
  expect([known?.partitions[0]?.denseFrom, known?.schemas.length]).toEqual([4, 1])
})

test('what is taken over brings producers as of its end: what follows may be lost, and is then sent again', async () => {
  const bench = await tieringBench()
  const log = await bench.addLog({ policy: MEMORY_POLICY })
  const partition = log.partition(0)
  const send = (sequence: number): Promise<unknown> =>
    appendRows(log, rows(1, sequence), 0, 1_000, {
      expiresAt: Infinity,
      priority: 0,
      producer: { producerId: 'p', epoch: 0, sequence },
    })
  await send(0)
  await archiveMemory(bench.context, log, partition, partition.nextOffset)
  await send(1)
  const policy = { ...HYBRID_POLICY, wal: false, ack: 'memory' } as const
  await log.alter(async () => ({ policy, isDenseFromHere: true, isOwed: true }))
  // The segment of the rest cannot be written.
  bench.fault = (step) => (step.startsWith('disk create tmp/') ? 'disk_full' : null)
  await expectError(flushPartition(bench.context, log, partition, 'disk'), 'disk_full')
  const noted = bench.disk.manifest.state.logs.get(log.id)?.partitions[0]
  expect(noted?.segments.map(({ endOffset }) => endOffset)).toEqual([1])
  expect([...(noted?.producers?.values() ?? [])].map(({ sequence }) => sequence)).toEqual([0])
})
