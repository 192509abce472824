import { describe, expect, test } from 'vitest'
import { MemoryMetrics } from '../../../src/base/metrics.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import type { StoragePolicy } from '../../../src/format/manifest.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { MemoryGovernor } from '../../../src/tiering/governor.ts'
import {
  MEMORY_POLICY,
  Surroundings,
  appendRows,
  liveLog,
  visibleRows,
} from '../../support/live-logs.ts'
import { HYBRID_POLICY, segmentEntry } from '../../support/manifests.ts'

const MIB = 1024 * 1024

interface Setting {
  readonly around: Surroundings
  readonly clock: VirtualClock
  readonly metrics: MemoryMetrics
  readonly governor: MemoryGovernor
  readonly logs: LiveLog[]
  relieve: () => Promise<void>
  reliefs: number
}

function setting(maxBytes: number): Setting {
  const clock = new VirtualClock()
  const metrics = new MemoryMetrics()
  const around = new Surroundings()
  const logs: LiveLog[] = []
  const given: Setting = {
    around,
    clock,
    metrics,
    logs,
    relieve: () => Promise.resolve(),
    reliefs: 0,
    governor: new MemoryGovernor({
      pool: around.pool,
      maxBytes,
      watermark: 0.5,
      clock,
      metrics,
      logs: () => logs,
      relieve: () => {
        given.reliefs++
        return given.relieve()
      },
    }),
  }
  return given
}

function addLog({ around, logs }: Setting, policy: Partial<StoragePolicy> = {}): LiveLog {
  const log = liveLog(around, {
    policy: { ...MEMORY_POLICY, ...policy },
    definition: { id: logs.length + 1 },
  })
  logs.push(log)
  return log
}

const FLUSHABLE: Partial<StoragePolicy> = { ...HYBRID_POLICY, wal: false, ack: 'memory' }

/** Appends sealed batches of about a quarter of a MiB. */
async function fill(log: LiveLog, batches: number, time = 1): Promise<void> {
  const text = 'x'.repeat(60_000)
  for (let batch = 0; batch < batches; batch++) {
    await appendRows(log, [{ text }], 0, time + batch)
    log.partition(0).sealOpenBatch()
  }
}

function flushed(log: LiveLog): void {
  const partition = log.partition(0)
  partition.addSegment(segmentEntry(partition.flushedEnd, partition.nextOffset))
}

describe('an append', () => {
  test('goes on at once below the watermark, and nothing is touched', async () => {
    const given = setting(16 * MIB)
    const log = addLog(given)
    await fill(log, 3)
    expect(given.governor.admit(log)).toBeNull()
    expect([given.reliefs, given.governor.evictionCount]).toEqual([0, 0])
  })

  test('costs RAM copies first that have a lower copy', async () => {
    const given = setting(2 * MIB)
    const [memory, hybrid] = [addLog(given), addLog(given, FLUSHABLE)]
    await fill(memory, 2)
    await fill(hybrid, 6)
    flushed(hybrid)
    expect(given.governor.usedBytes).toBeGreaterThan(MIB)
    expect(given.governor.admit(memory)).toBeNull()
    expect([hybrid.partition(0).batches.length, memory.partition(0).batches.length]).toEqual([0, 2])
    expect([given.reliefs, given.governor.evictionCount]).toEqual([0, 0])
  })

  test('has flushed early what can be flushed, before anything is evicted', async () => {
    const given = setting(4 * MIB)
    const [memory, hybrid] = [addLog(given), addLog(given, FLUSHABLE)]
    await fill(memory, 4)
    await fill(hybrid, 6)
    expect(given.governor.admit(memory)).toBeNull()
    expect([given.reliefs, given.governor.evictionCount]).toEqual([1, 0])
    expect(memory.partition(0).batches).toHaveLength(4)
  })

  test('evicts the oldest batches of all logs in RAM, down to the watermark, and counts them', async () => {
    const given = setting(2 * MIB)
    const [older, newer] = [addLog(given), addLog(given)]
    await fill(newer, 6, 100)
    await fill(older, 4, 1)
    expect(given.governor.admit(newer)).toBeNull()
    expect(given.governor.usedBytes).toBeLessThan(MIB)
    expect(older.partition(0).batches).toHaveLength(0)
    expect(newer.partition(0).batches.length).toBeGreaterThan(0)
    expect(given.governor.evictedRecords).toBe(
      older.partition(0).startOffset + newer.partition(0).startOffset,
    )
    expect(given.governor.evictionCount).toBe(given.governor.evictedRecords)
    expect(given.metrics.total('stratalog_evicted_records_total')).toBe(
      given.governor.evictedRecords,
    )
  })

  test('is refused at once under reject when memory is full', async () => {
    const given = setting(MIB)
    const log = addLog(given, { evictionPolicy: 'reject' })
    await fill(log, 8)
    await expect(given.governor.admit(log)).rejects.toMatchObject({
      code: 'memory_full',
      details: { log: log.name, maxBytes: MIB },
    })
    expect(visibleRows(log)).toHaveLength(8)
  })

  test('waits for room, and goes on when a flush has made it', async () => {
    const given = setting(MIB)
    const log = addLog(given, FLUSHABLE)
    await fill(log, 8)
    const room = Promise.withResolvers<void>()
    given.relieve = async () => {
      await room.promise
      flushed(log)
      log.partition(0).dropHot(Infinity)
    }
    let isAdmitted = false
    const admitted = given.governor.admit(log)?.then(() => {
      isAdmitted = true
    })
    for (let look = 0; look < 5; look++) {
      given.clock.advance(5)
      await Promise.resolve()
    }
    expect([isAdmitted, given.reliefs]).toEqual([false, 1])
    room.resolve()
    for (let look = 0; look < 5; look++) {
      given.clock.advance(5)
      await given.clock.yield()
    }
    await admitted
    expect(isAdmitted).toBe(true)
  })

  test('that waits lets everything else run, though there is nothing to relieve, and is refused in the end', async () => {
    const given = setting(MIB)
    const log = addLog(given, FLUSHABLE)
    await fill(log, 8)
    const refused = expect(given.governor.admit(log)).rejects.toMatchObject({ code: 'memory_full' })
    // A loop of microtasks would never come back from here.
    await given.clock.yield()
    expect(given.reliefs).toBe(1)
    for (let waited = 0; waited < 10_000; waited += 500) {
      given.clock.advance(500)
      await given.clock.yield()
    }
    await refused
  })

  test('that waits for leases of a reader goes on when the reader lets go', async () => {
    const given = setting(MIB)
    const log = addLog(given)
    await fill(log, 8)
    const view = log.view()
    const admitted = given.governor.admit(log)
    expect(admitted).not.toBeNull()
    expect(log.partition(0).batches).toHaveLength(0)
    view.release()
    given.clock.advance(5)
    await admitted
    expect(given.governor.usedBytes).toBe(0)
  })
})
