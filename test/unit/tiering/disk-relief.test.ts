import { expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { diskShortage } from '../../../src/tiering/disk-shortage.ts'
import { appendRows, visibleRows } from '../../support/live-logs.ts'
import { type Bench, DATA_DIR, HYBRID_POLICY, eager, tieringBench } from '../../support/tiering.ts'

/** Ages that nothing reaches: what moves, moves for the sake of bytes. */
const LAZY = { ...HYBRID_POLICY, memoryTtl: 1e9, diskAfter: 0, archiveAfter: 1e9, diskTtl: 1e9 }
const ROWS = 500

/** About 8 KB of rows that do not compress well. */
function rows(seed: number): { n: number }[] {
  return Array.from({ length: ROWS }, (_, n) => ({ n: Math.sin(seed * ROWS + n) }))
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 100; turn++) await systemClock.yield()
}

/** Appends and flushes as long as the disk takes it; how many appends that were. */
async function fillDisk(bench: Bench, log: LiveLog, most = 100): Promise<number> {
  for (let count = 0; count < most; count++) {
    await appendRows(log, rows(count), 0, bench.clock.now())
    bench.clock.advance(1)
    await bench.scheduler.now([log], 'disk')
    if (log.partition(0).flushedEnd < log.partition(0).nextOffset) return count
  }
  return most
}

async function fillToWatermark(bench: Bench, log: LiveLog): Promise<void> {
  for (let count = 0; bench.diskBudget.facts().excessBytes === 0; count++) {
    expect(count).toBeLessThan(200)
    await fillDisk(bench, log, 1)
  }
}

/** Bytes of all files that are there, whoever names them. */
async function segmentFiles(
  bench: Pick<Bench, 'files'>,
  folder = `${DATA_DIR}/segments`,
): Promise<number> {
  let bytes = 0
  for (const name of await bench.files.list(folder)) {
    const path = `${folder}/${name}`
    const { isDirectory, length } = (await bench.files.stat(path)) ?? {}
    bytes += isDirectory === true ? await segmentFiles(bench, path) : (length ?? 0)
  }
  return bytes
}

test('what lies on disk is counted to the byte, through flushes, drops, merges and failures', async () => {
  const bench = await tieringBench({ maxDiskBytes: 10e6 })
  const log = await bench.addLog({ policy: eager({ archiveAfter: 1e6, diskTtl: 2e6 }) })
  await fillDisk(bench, log, 9)
  expect(bench.diskBudget.usedBytes).toBe(await segmentFiles(bench))
  // A commit that fails leaves a file that no manifest names, and the next flush writes it again.
  bench.fault = (step) => (step.startsWith('disk put manifest') ? 'disk_failed' : null)
  await appendRows(log, rows(9), 0, bench.clock.now())
  await bench.scheduler.now([log], 'disk')
  bench.fault = () => null
  expect(log.partition(0).segments).toHaveLength(9)
  expect(bench.diskBudget.usedBytes).toBe(await segmentFiles(bench))
  await bench.scheduler.now([log], 'disk')
  expect(log.partition(0).segments).toHaveLength(10)
  expect(bench.diskBudget.usedBytes).toBe(await segmentFiles(bench))
  await bench.scheduler.compact([log])
  expect(log.partition(0).segments).toHaveLength(1)
  await settle()
  expect(bench.diskBudget.usedBytes).toBe(await segmentFiles(bench))
  bench.clock.advance(3e6)
  await bench.scheduler.run()
  await bench.scheduler.run()
  await settle()
  expect([await segmentFiles(bench), bench.diskBudget.usedBytes]).toEqual([0, 0])
})

test('above the watermark segments are archived and leave the disk before their time, the oldest first', async () => {
  const bench = await tieringBench({ maxDiskBytes: 400_000 })
  const log = await bench.addLog({ policy: LAZY })
  await fillToWatermark(bench, log)
  const before = log.partition(0).segments.length
  bench.scheduler.start()
  bench.clock.advance(250)
  await settle()
  const { segments } = log.partition(0)
  const onDisk = Array.from(segments, ({ disk }) => disk !== null)
  const inStore = Array.from(segments, ({ object }) => object !== null)
  expect(segments).toHaveLength(before)
  expect(bench.diskBudget.usedBytes).toBeLessThanOrEqual(320_000)
  expect(bench.diskBudget.usedBytes).toBe(await segmentFiles(bench))
  // Down to the low watermark and no further: a prefix, and each of it is in the archive.
  const gone = onDisk.indexOf(true)
  expect(gone).toBeGreaterThan(0)
  expect(gone).toBeLessThan(before / 2)
  expect(onDisk).toEqual(onDisk.map((_, index) => index >= gone))
  expect(inStore).toEqual(onDisk.map((isOn) => !isOn))
  await bench.scheduler.close()
})

test('without an archive nothing is lost and nothing passes the line: records wait in RAM, and go on when there is room', async () => {
  const bench = await tieringBench({ maxDiskBytes: 100_000, hasArchive: false })
  const log = await bench.addLog({ policy: { ...LAZY, archiveAfter: null, diskTtl: null } })
  const flushed = await fillDisk(bench, log)
  for (let round = 0; round < 3; round++) {
    await appendRows(log, rows(flushed + 1 + round), 0, bench.clock.now())
    bench.clock.advance(1_000)
    expect(await bench.scheduler.run()).toEqual([])
    await bench.scheduler.relieve()
  }
  expect(await segmentFiles(bench)).toBeLessThanOrEqual(100_000)
  expect(log.partition(0).lastError).toBeNull()
  expect(visibleRows(log)).toHaveLength((flushed + 4) * ROWS)
  expect(diskShortage(bench.context)).toMatchObject({ hasArchive: false })
  // Its first half is more than retention allows now.
  await log.alter(() =>
    Promise.resolve({
      policy: { ...log.policy, retentionBytes: 50_000 },
      isDenseFromHere: false,
      isOwed: false,
    }),
  )
  await bench.scheduler.run()
  await settle()
  await bench.scheduler.run()
  expect(log.partition(0).flushedEnd).toBe(log.partition(0).nextOffset)
  expect(diskShortage(bench.context)).toBeNull()
  expect(await segmentFiles(bench)).toBeLessThanOrEqual(100_000)
})

test('a flush that is bigger than what is left below the line makes room for itself', async () => {
  const bench = await tieringBench({ maxDiskBytes: 60_000 })
  const log = await bench.addLog({ policy: LAZY })
  const first = await fillDisk(bench, log)
  expect(bench.diskBudget.facts().excessBytes).toBe(0)
  for (let round = 0; round < 4; round++) {
    await bench.scheduler.run()
    await settle()
  }
  expect(log.partition(0).flushedEnd).toBe(log.partition(0).nextOffset)
  expect(first).toBeGreaterThan(1)
  expect(await segmentFiles(bench)).toBeLessThanOrEqual(60_000)
})

test('a partition that cannot be archived does not keep others from making room', async () => {
  const bench = await tieringBench({ maxDiskBytes: 400_000 })
  const first = await bench.addLog({ policy: LAZY })
  const second = await bench.addLog({ policy: LAZY })
  for (let count = 0; count < 6; count++) await fillDisk(bench, first, 1)
  // What is gone from the disk cannot be archived.
  for (const { disk } of first.partition(0).segments)
    await bench.files.remove(`${DATA_DIR}/${disk?.object}`)
  await fillToWatermark(bench, second)
  await bench.scheduler.run()
  expect(first.partition(0).lastError).not.toBeNull()
  await bench.scheduler.run()
  await bench.scheduler.run()
  await settle()
  expect(first.partition(0).segments.countHaving('disk')).toBe(6)
  expect(bench.diskBudget.facts().excessBytes).toBe(0)
})

test('closing brings down what no WAL would bring back, whatever the disk may take', async () => {
  const bench = await tieringBench({ maxDiskBytes: 30_000, hasArchive: false })
  const policy = { ...LAZY, archiveAfter: null, diskTtl: null, wal: false, ack: 'memory' } as const
  const log = await bench.addLog({ policy })
  await fillDisk(bench, log)
  await bench.scheduler.close()
  expect(log.partition(0).flushedEnd).toBe(log.partition(0).nextOffset)
})
