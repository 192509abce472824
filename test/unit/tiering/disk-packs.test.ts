import { expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import type { Location } from '../../../src/format/manifest.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { detachLog } from '../../../src/tiering/detach.ts'
import { removeFiles } from '../../../src/tiering/evict.ts'
import { sweepPacks } from '../../../src/tiering/loose-packs.ts'
import { appendRows } from '../../support/live-logs.ts'
import { type Bench, DATA_DIR, HYBRID_POLICY, eager, tieringBench } from '../../support/tiering.ts'

/** Ages that nothing reaches. */
const NEVER = { memoryTtl: 0, diskAfter: 0, archiveAfter: 1e9, diskTtl: 1e9 }

async function append(bench: Bench, log: LiveLog, rows: number): Promise<void> {
  const values = Array.from({ length: rows }, (_, n) => ({ n: Math.sin(log.id * rows + n) }))
  await appendRows(log, values, 0, bench.clock.now())
}

async function packBytes(bench: Bench): Promise<number> {
  let bytes = 0
  for (const name of await bench.files.list(`${DATA_DIR}/packs`))
    bytes += (await bench.files.stat(`${DATA_DIR}/packs/${name}`))?.length ?? 0
  return bytes
}

test('what stays on disk keeps nothing there that is to leave for want of room', async () => {
  const bench = await tieringBench({ maxDiskBytes: 250_000 })
  const leaving: LiveLog[] = []
  const staying: LiveLog[] = []
  for (let count = 0; count < 5; count++) {
    leaving.push(await bench.addLog({ policy: { ...HYBRID_POLICY, ...NEVER } }))
    staying.push(
      await bench.addLog({
        policy: {
          ...HYBRID_POLICY,
          ...NEVER,
          mode: 'persistent',
          archiveAfter: null,
          diskTtl: null,
        },
      }),
    )
  }
  for (let wave = 0; wave < 12; wave++) {
    for (const log of staying) await append(bench, log, 10)
    for (const log of leaving) await append(bench, log, 400)
    bench.clock.advance(1)
    // The disk has room again for what moves down, however small the rest is that stays.
    for (let round = 0; round < 6; round++) await bench.scheduler.run()
    for (const log of [...leaving, ...staying]) {
      const { flushedEnd, nextOffset } = log.partition(0)
      expect([log.name, wave, flushedEnd]).toEqual([log.name, wave, nextOffset])
    }
  }
  const onDisk = [...leaving, ...staying].flatMap((log) => [
    ...log.partition(0).segments.having('disk'),
  ])
  expect(bench.diskBudget.usedBytes).toBe(onDisk.reduce((sum, { length }) => sum + length, 0))
  for (const log of staying) {
    const { segments } = log.partition(0)
    expect(segments.countHaving('disk')).toBe(segments.length)
  }
})

test('the disk gets back all of a pack whose last log is detached', async () => {
  const bench = await tieringBench({ maxDiskBytes: 1e6 })
  await bench.files.makeDirectory(`${DATA_DIR}/packs`)
  const logs: LiveLog[] = []
  for (let count = 0; count < 5; count++) {
    const log = await bench.addLog({ policy: eager({ diskTtl: 1e9 }) })
    logs.push(log)
    await append(bench, log, 10)
  }
  await bench.scheduler.run()
  expect(new Set(logs.map((log) => log.partition(0).segments.at(0)?.disk?.object)).size).toBe(1)
  const live = [...bench.context.logs()] as LiveLog[]
  expect(live).toHaveLength(5)
  for (const log of logs) {
    expect(bench.diskBudget.usedBytes).toBeGreaterThan(0)
    await bench.scheduler.exclusively(log, () => detachLog(bench.context, log, () => {}))
    await bench.scheduler.run()
  }
  expect(bench.diskBudget.usedBytes).toBe(0)
  expect(await packBytes(bench)).toBe(0)
})

test('what two logs share of a pack is given back once', async () => {
  const bench = await tieringBench({ maxDiskBytes: 1e6 })
  const logs: LiveLog[] = []
  for (let count = 0; count < 5; count++) {
    logs.push(await bench.addLog({ policy: eager({ archiveAfter: 1e9, diskTtl: 1e9 }) }))
    await append(bench, logs[count] as LiveLog, 10)
  }
  await bench.scheduler.run()
  const locations = logs.flatMap((log) => log.partition(0).segments.at(0)?.disk ?? [])
  expect(locations).toHaveLength(5)
  const [shared] = locations
  const forget = logs.map(({ id: logId }) => ({
    kind: 'segment-copy-dropped' as const,
    logId,
    partition: 0,
    baseOffset: 0,
    tier: 'disk' as const,
  }))
  if (shared !== undefined) removeFiles(bench.context, bench.disk, [shared])
  await sweepPacks(bench.context)
  await bench.disk.manifest.commit(forget)
  for (const log of logs) log.partition(0).setCopy(0, 'disk', null)
  removeFiles(bench.context, bench.disk, locations)
  await sweepPacks(bench.context)
  await systemClock.yield()
  expect(await packBytes(bench)).toBe(0)
  expect(bench.diskBudget.usedBytes).toBe(0)
})

test('a pack stays while a partition names it that has not heard of the commit', async () => {
  const bench = await tieringBench()
  const logs: LiveLog[] = []
  for (let count = 0; count < 5; count++) {
    logs.push(await bench.addLog({ policy: eager({ diskTtl: 1e9 }) }))
    await append(bench, logs[count] as LiveLog, 10)
  }
  await bench.scheduler.run()
  const locations = logs.flatMap((log) => log.partition(0).segments.at(0)?.disk ?? [])
  expect(new Set(locations.map(({ object }) => object)).size).toBe(1)
  const drop = (dropped: readonly LiveLog[], at: readonly Location[]): void => {
    for (const log of dropped) log.partition(0).setCopy(0, 'disk', null)
    removeFiles(bench.context, bench.disk, at)
  }
  await bench.disk.manifest.commit(
    logs.map(({ id: logId }) => ({
      kind: 'segment-copy-dropped',
      logId,
      partition: 0,
      baseOffset: 0,
      tier: 'disk',
    })),
  )
  drop(logs.slice(0, 4), locations.slice(0, 4))
  await sweepPacks(bench.context)
  await systemClock.yield()
  // Who begins to read now is given the pack.
  expect(await packBytes(bench)).toBeGreaterThan(0)
  drop(logs.slice(4), locations.slice(4))
  await sweepPacks(bench.context)
  await systemClock.yield()
  expect(await packBytes(bench)).toBe(0)
})
