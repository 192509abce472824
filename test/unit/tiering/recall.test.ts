import { expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { dropDiskCopies } from '../../../src/tiering/evict.ts'
import { recallSegments } from '../../../src/tiering/recall.ts'
import { filled } from '../../support/moved-log.ts'
import { DATA_DIR, tieringBench } from '../../support/tiering.ts'

test('what a reader held of a file that was dropped takes nothing along that was recalled since', async () => {
  const bench = await tieringBench()
  const log = await filled(bench)
  await bench.scheduler.now([log], 'object')
  const partition = log.partition(0)
  const path = `${DATA_DIR}/${partition.segments.at(0)?.disk?.object ?? ''}`
  const view = log.view()
  const recall = () => recallSegments(bench.context, log, partition, [0])
  await dropDiskCopies(bench.context, log, partition, [0])
  // Its name is not free yet.
  expect(await recall()).toEqual([])
  view.release()
  await systemClock.yield()
  expect(await bench.files.stat(path)).toBeNull()
  const before = bench.diskBudget.usedBytes
  expect(await recall()).toHaveLength(1)
  await systemClock.yield()
  expect(partition.segments.at(0)?.disk).not.toBeNull()
  expect((await bench.files.stat(path))?.length).toBe(bench.diskBudget.usedBytes - before)
})
