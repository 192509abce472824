import { expect, test } from 'vitest'
import { noMetrics } from '../../../src/base/metrics.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { MemoryGovernor } from '../../../src/tiering/governor.ts'
import { Surroundings, appendRows, liveLog } from '../../support/live-logs.ts'
import { HYBRID_POLICY, segmentEntry } from '../../support/manifests.ts'

const MIB = 1024 * 1024

test('what can be flushed is, also below the watermark, for an append that finds no room there', async () => {
  const around = new Surroundings()
  const policy = { ...HYBRID_POLICY, wal: false, ack: 'memory' } as const
  const log = liveLog(around, { policy })
  const partition = log.partition(0)
  let reliefs = 0
  const governor = new MemoryGovernor({
    pool: around.pool,
    maxBytes: MIB,
    watermark: 0.9,
    clock: new VirtualClock(),
    metrics: noMetrics,
    logs: () => [log],
    relieve: async () => {
      reliefs++
      partition.addSegment(segmentEntry(partition.flushedEnd, partition.nextOffset))
      partition.dropHot(Infinity)
    },
    shortage: () => null,
  })
  await appendRows(log, [{ text: 'x'.repeat(500_000) }])
  partition.sealOpenBatch()
  expect(governor.usedBytes).toBeLessThan(0.9 * MIB)
  governor.makeRoom(log, 700_000, 700_000)
  expect([reliefs, governor.usedBytes]).toEqual([1, 0])
})
