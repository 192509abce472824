/** Snapshots of logs in RAM: what is there goes to the archive, once. */
import { expect, test } from 'vitest'
import { archiveMemory } from '../../../src/tiering/archive-memory.ts'
import { expectError } from '../../support/expect-error.ts'
import { MEMORY_POLICY, appendRows } from '../../support/live-logs.ts'
import { isManifestPut, tieringBench } from '../../support/tiering.ts'

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
