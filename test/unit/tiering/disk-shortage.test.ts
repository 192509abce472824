import { expect, test } from 'vitest'
import { noMetrics } from '../../../src/base/metrics.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import type { DiskShortage } from '../../../src/tiering/disk-shortage.ts'
import { MemoryGovernor } from '../../../src/tiering/governor.ts'
import { MEMORY_POLICY, Surroundings, appendRows, liveLog } from '../../support/live-logs.ts'
import { HYBRID_POLICY } from '../../support/manifests.ts'

const MIB = 1024 * 1024

test('an append that waited for what the disk has no room for is told so, and what to do', async () => {
  const clock = new VirtualClock()
  const around = new Surroundings()
  const policy = { ...HYBRID_POLICY, wal: false, ack: 'memory' } as const
  const log = liveLog(around, { policy })
  const inRam = liveLog(around, {
    policy: { ...MEMORY_POLICY, evictionPolicy: 'reject', maxMemoryBytes: 1 },
  })
  let shortage: DiskShortage | null = null
  const governor = new MemoryGovernor({
    pool: around.pool,
    maxBytes: MIB,
    watermark: 0.5,
    clock,
    metrics: noMetrics,
    logs: () => [log],
    relieve: () => Promise.resolve(),
    shortage: () => shortage,
  })
  for (let batch = 0; batch < 8; batch++) {
    await appendRows(log, [{ text: 'x'.repeat(240_000) }])
    log.partition(0).sealOpenBatch()
  }
  const disk = {
    usedBytes: 9 * MIB,
    maxBytes: 10 * MIB,
    roomBytes: 0,
    excessBytes: 0,
    lowBytes: 8 * MIB,
  }
  const refusals: unknown[] = []
  for (const hasArchive of [false, true]) {
    shortage = { disk, hasArchive }
    const refused = governor.admit(log, null)?.catch((error: unknown) => error)
    for (let waited = 0; waited < 10_500; waited += 500) {
      clock.advance(500)
      await clock.yield()
    }
    refusals.push(await refused)
  }
  const known = { kind: 'overloaded', code: 'disk_budget_full' }
  const details = {
    log: log.name,
    usedBytes: 9 * MIB,
    maxBytes: 10 * MIB,
    retryAfterMs: expect.any(Number),
  }
  expect(refusals).toMatchObject([
    { ...known, details, message: expect.stringContaining('open the engine with an archive') },
    { ...known, details, message: expect.stringContaining('look at the upload lag') },
  ])
  // With room in RAM, a log that is over its own budget has nothing to do with the disk.
  for (const batch of log.partition(0).batches) log.partition(0).evict(batch)
  inRam.partition(0).logMemory.setBudget(0, 0.9)
  await expect(governor.admit(inRam, null)).rejects.toMatchObject({ code: 'memory_full' })
})
