import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { SegmentEntries } from '../../../src/format/segment-entries.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { pauseEdits, resumeEdits } from '../../../src/tiering/pause.ts'
import { appendRows, visibleRows } from '../../support/live-logs.ts'
import {
  type Bench,
  HYBRID_POLICY,
  MEMORY_POLICY,
  eager,
  tieringBench,
} from '../../support/tiering.ts'

const ROWS = Array.from({ length: 10 }, (_, n) => ({ n }))

async function filled(bench: Bench, policy = eager(), definition = {}): Promise<LiveLog> {
  const log = await bench.addLog({ policy, definition })
  for (const { partition } of log.partitions)
    await appendRows(log, ROWS, partition, bench.clock.now())
  return log
}

/** Lets everything that is ready run, timers aside. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 30; turn++) await systemClock.yield()
}

/** Which tiers hold the log's segments, and how many batches RAM has. */
function places(log: LiveLog, partition = 0): unknown {
  const { segments, batches } = log.partition(partition)
  return [
    segments.filter(({ disk }) => disk !== null).length,
    segments.filter(({ object }) => object !== null).length,
    batches.length,
  ]
}

function isStoreAway(step: string): 'store_unavailable' | null {
  return step.startsWith('object ') ? 'store_unavailable' : null
}

describe('a round', () => {
  test('moves what is due, tier by tier, and ends with a checkpoint', async () => {
    const bench = await tieringBench()
    const log = await filled(
      bench,
      eager({ memoryTtl: 3_000, archiveAfter: 1_000, diskTtl: 2_000 }),
    )
    const moved: unknown[] = []
    for (const wait of [0, 1_000, 1_000, 1_000]) {
      bench.clock.advance(wait)
      const moves = await bench.scheduler.run()
      moved.push([moves.map(({ toTier }) => toTier), places(log)])
    }
    expect(moved).toEqual([
      [['disk'], [1, 0, 1]],
      [['object'], [1, 1, 1]],
      [['object'], [0, 1, 1]],
      [[], [0, 1, 0]],
    ])
    expect(bench.disk.manifest.state.walLsn).toBe(bench.wal.durableLsn)
    expect(log.partition(0).lastError).toBeNull()
  })

  test('leaves logs in RAM alone, however old they are', async () => {
    const bench = await tieringBench()
    const log = await filled(bench, MEMORY_POLICY)
    bench.clock.advance(1e9)
    expect(await bench.scheduler.run()).toEqual([])
    expect(places(log)).toEqual([0, 0, 1])
  })

  test('is begun by the clock once it is started, not while it is paused, and not after the end', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    bench.clock.advance(1_000)
    await settle()
    expect(places(log)).toEqual([0, 0, 1])
    bench.scheduler.start()
    await bench.disk.manifest.commit((state) => pauseEdits(state, null, 0))
    bench.clock.advance(1_000)
    await settle()
    expect(places(log)).toEqual([0, 0, 1])
    await bench.disk.manifest.commit((state) => resumeEdits(state, null))
    bench.clock.advance(250)
    await settle()
    expect(log.partition(0).segments).toHaveLength(1)
    await bench.scheduler.close()
    await appendRows(log, ROWS)
    bench.clock.advance(10_000)
    await settle()
    expect(log.partition(0).segments).toHaveLength(1)
    await expect(bench.scheduler.run()).rejects.toMatchObject({ code: 'engine_closed' })
    await expect(bench.scheduler.now([log], 'disk')).rejects.toMatchObject({
      code: 'engine_closed',
    })
  })
})

describe('a store that fails', () => {
  test('costs lag only: the flush goes on, RAM is given back, and the upload is tried again ever later', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    bench.fault = isStoreAway
    await bench.scheduler.run()
    expect(places(log)).toEqual([1, 0, 1])
    expect(log.partition(0).lastError).toContain('planted')
    const tries = (): number => bench.steps.filter((step) => step.startsWith('object ')).length
    const seen: number[] = []
    for (const wait of [999, 1, 1_999, 1, 3_999, 1]) {
      bench.clock.advance(wait)
      const before = tries()
      await appendRows(log, ROWS, 0, bench.clock.now())
      await bench.scheduler.run()
      seen.push(tries() - before)
    }
    expect(seen).toEqual([0, 1, 0, 1, 0, 1])
    // Every round flushed, though none could upload; what was flushed before it left the RAM.
    expect(places(log)).toEqual([7, 0, 1])
    expect(bench.metrics.total('stratalog_tier_failures_total')).toBe(4)
    bench.fault = () => null
    bench.clock.advance(8_000)
    await bench.scheduler.run()
    expect(places(log)).toEqual([7, 7, 0])
    expect(log.partition(0).lastError).toBeNull()
    bench.clock.advance(1)
    await bench.scheduler.run()
    expect(places(log)).toEqual([0, 7, 0])
  })

  test('does not hold up other partitions, and each keeps its own error', async () => {
    const bench = await tieringBench()
    const log = await filled(bench, eager(), { partitions: 3 })
    bench.fault = (step) => (/object put segments\/1\/1\//.test(step) ? 'store_denied' : null)
    await bench.scheduler.run()
    expect([0, 1, 2].map((partition) => places(log, partition))).toEqual([
      [1, 1, 1],
      [1, 0, 1],
      [1, 1, 1],
    ])
    expect(log.partitions.map(({ lastError }) => lastError === null)).toEqual([true, false, true])
  })

  test('that hangs stops neither flushes nor the relief of memory', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    const other = await filled(bench)
    const hanging = Promise.withResolvers<void>()
    bench.fault = (step) => (step.startsWith('object put segments') ? hanging.promise : null)
    bench.scheduler.start()
    bench.clock.advance(250)
    await settle()
    expect([places(log), places(other)]).toEqual([
      [1, 0, 1],
      [1, 0, 1],
    ])
    await appendRows(log, ROWS, 0, bench.clock.now())
    bench.clock.advance(250)
    await settle()
    expect(places(log)).toEqual([2, 0, 1])
    await appendRows(other, ROWS, 0, bench.clock.now())
    await bench.scheduler.relieve()
    expect(places(other)).toEqual([2, 0, 0])
    for (let look = 0; look < 20; look++) bench.clock.advance(250)
    hanging.resolve()
    await bench.scheduler.close()
    expect(
      [log, other].map(({ partitions }) => partitions[0]?.segments.at(0)?.object?.position),
    ).toEqual([0, 0])
  })
})

describe('a disk that fails', () => {
  test('keeps everything in RAM and says why, and is tried again', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    bench.fault = (step) => (step.startsWith('disk create') ? 'disk_full' : null)
    await bench.scheduler.run()
    expect([places(log), visibleRows(log).length]).toEqual([[0, 0, 1], 10])
    expect(log.partition(0).lastError).toContain('planted')
    expect(bench.disk.manifest.state.walLsn).toBe(log.partition(0).firstUnflushedLsn)
    const before = bench.steps.length
    await bench.scheduler.relieve()
    expect(bench.steps.slice(before).filter((step) => step.includes('create'))).toEqual([])
    bench.fault = () => null
    bench.clock.advance(1_000)
    await bench.scheduler.run()
    expect(log.partition(0).lastError).toBeNull()
    expect(log.partition(0).segments).toHaveLength(1)
  })
})

describe('now', () => {
  test('brings everything down whatever its age, and says what moved', async () => {
    const bench = await tieringBench()
    const log = await filled(bench, HYBRID_POLICY)
    const report = await bench.scheduler.now([log], 'object')
    expect(
      report.moved.map(({ fromTier, toTier, from, to }) => [fromTier, toTier, from, to]),
    ).toEqual([
      ['memory', 'disk', 0, 10],
      ['disk', 'object', 0, 10],
    ])
    expect([report.pending, report.failed]).toEqual([0, []])
  })

  test('to the disk does not ask the store, nor wait for it', async () => {
    const bench = await tieringBench()
    const log = await filled(bench, HYBRID_POLICY)
    const hanging = Promise.withResolvers<void>()
    bench.fault = (step) => (step.startsWith('object') ? hanging.promise : null)
    const stuck = bench.scheduler.now([log], 'object')
    const report = await bench.scheduler.now([log], 'disk')
    expect(report).toMatchObject({ pending: 0, failed: [] })
    hanging.resolve()
    await stuck
  })

  test('names each partition that failed once, with its code', async () => {
    const bench = await tieringBench()
    const logs = [await filled(bench), await filled(bench)]
    bench.fault = (step) => (/disk rename segments\/1\//.test(step) ? 'disk_full' : null)
    const report = await bench.scheduler.now(logs, 'object')
    expect(report.failed).toMatchObject([{ log: 'log-1', partition: 0, code: 'disk_full' }])
    expect(report.pending).toBe(1)
    bench.fault = isStoreAway
    const again = await bench.scheduler.now(logs, 'object')
    expect(again.failed).toMatchObject([{ log: 'log-1', code: 'store_unavailable' }])
    expect(again.pending).toBe(1)
  })

  test('leaves a log alone whose mode has no archive, unless a snapshot asks', async () => {
    const bench = await tieringBench()
    const log = await filled(bench, { ...HYBRID_POLICY, mode: 'persistent', archiveAfter: null })
    await bench.scheduler.now([log], 'object')
    expect(places(log)).toEqual([1, 0, 1])
    await bench.scheduler.now([log], 'object', { forSnapshot: true })
    expect(places(log)).toEqual([1, 1, 1])
  })
})

describe('closing', () => {
  test('brings down what no WAL would bring back, to the tier that the log has', async () => {
    const bench = await tieringBench()
    const withWal = await filled(bench, HYBRID_POLICY)
    const onDisk = await filled(bench, { ...HYBRID_POLICY, wal: false, ack: 'memory' })
    const direct = await filled(bench, {
      ...HYBRID_POLICY,
      wal: false,
      ack: 'memory',
      localDisk: false,
    })
    const inRam = await filled(bench, MEMORY_POLICY)
    await bench.scheduler.close()
    expect([withWal, onDisk, direct, inRam].map((log) => places(log))).toEqual([
      [0, 0, 1],
      [1, 0, 1],
      [0, 1, 1],
      [0, 0, 1],
    ])
  })

  test('says what it could not save', async () => {
    const bench = await tieringBench()
    await filled(bench, { ...HYBRID_POLICY, wal: false, ack: 'memory' })
    bench.fault = (step) => (step.startsWith('disk create') ? 'disk_full' : null)
    await bench.scheduler.close()
    const errors = bench.logger.entries.filter(({ level }) => level === 'error')
    expect(errors).toMatchObject([{ fields: { log: 'log-1', code: 'disk_full' } }])
  })
})

test('archiving a log in RAM twice at once archives every record once', async () => {
  const bench = await tieringBench()
  const log = await filled(bench, MEMORY_POLICY)
  const partition = log.partition(0)
  partition.sealOpenBatch()
  const first = bench.scheduler.archiveMemory(log, partition, partition.nextOffset)
  await appendRows(log, ROWS)
  const second = bench.scheduler.archiveMemory(log, partition, partition.nextOffset)
  await Promise.all([first, second])
  const segments =
    bench.archive.state?.logs.get(log.id)?.partitions[0]?.segments ?? SegmentEntries.empty
  expect(segments.at(-1)?.endOffset).toBe(20)
  expect(
    [...segments].reduce((sum, { baseOffset, endOffset }) => sum + endOffset - baseOffset, 0),
  ).toBe(20)
  expect(places(log)).toEqual([0, 0, 2])
})
