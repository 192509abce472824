import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import type { Location } from '../../../src/format/manifest.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { detachLog } from '../../../src/tiering/detach.ts'
import { removeFiles } from '../../../src/tiering/evict.ts'
import { sweepPacks } from '../../../src/tiering/loose-packs.ts'
import { retirePartition } from '../../../src/tiering/retire.ts'
import { tidyPacks } from '../../../src/tiering/thin-files.ts'
import { sha256Hex } from '../../../src/format/checksum.ts'
import { manifestFilesInDirectory } from '../../../src/log/manifest-files.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import { readWhole } from '../../../src/log/segment-copies.ts'
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
    for (let round = 0; round < 8; round++) await bench.scheduler.run()
    for (const log of [...leaving, ...staying]) {
      const { flushedEnd, nextOffset } = log.partition(0)
      expect([log.name, wave, flushedEnd]).toEqual([log.name, wave, nextOffset])
    }
  }
  const bytesOf = (logs: readonly LiveLog[]): number =>
    logs
      .flatMap((log) => [...log.partition(0).segments.having('disk')])
      .reduce((sum, { length }) => sum + length, 0)
  // What was merged of those that stay is in packs that hold others of them, less than half.
  const dead = bench.diskBudget.usedBytes - bytesOf([...leaving, ...staying])
  expect(dead).toBeGreaterThanOrEqual(0)
  expect(dead).toBeLessThan(bytesOf(staying))
  for (const log of staying) {
    const { segments } = log.partition(0)
    expect(segments.countHaving('disk')).toBe(segments.length)
  }
})

/** Logs that stay on disk, whose segments of one record share a pack. */
async function sharing(bench: Bench, count: number, rows = 10): Promise<LiveLog[]> {
  const logs: LiveLog[] = []
  for (let number = 0; number < count; number++) {
    logs.push(
      await bench.addLog({
        policy: eager({ mode: 'persistent', archiveAfter: null, diskTtl: null }),
      }),
    )
    await append(bench, logs.at(-1) as LiveLog, rows)
  }
  await bench.scheduler.run()
  expect(new Set(logs.map(fileOf)).size).toBe(1)
  bench.steps.length = 0
  return logs
}

function fileOf(log: LiveLog): string | undefined {
  return log.partition(0).segments.at(0)?.disk?.object
}

/** As retention does. */
async function retired(bench: Bench, logs: readonly LiveLog[]): Promise<void> {
  for (const log of logs)
    await retirePartition(bench.context, log, log.partition(0), log.partition(0).flushedEnd)
}

/** What the manifest on disk names of a log, and whether its bytes are there. */
async function soundIn(bench: Bench, log: LiveLog): Promise<boolean[]> {
  const files = manifestFilesInDirectory(bench.files, DATA_DIR)
  const { state } = await ManifestStore.open(files, { clock: bench.clock })
  const sound: boolean[] = []
  for (const { disk, sha256 } of state.logs.get(log.id)?.partitions[0]?.segments ?? [])
    sound.push(disk !== null && sha256Hex(await readWhole(bench.files, DATA_DIR, disk)) === sha256)
  return sound
}

describe('a pack on disk of which little is left', () => {
  test('is written anew, and the disk has back what was dead in it', async () => {
    const bench = await tieringBench({ maxDiskBytes: 1e6, hasArchive: false })
    const logs = await sharing(bench, 8)
    const before = fileOf(logs[0] as LiveLog)
    await retired(bench, logs.slice(0, 3))
    await bench.scheduler.run()
    expect(fileOf(logs[7] as LiveLog)).toBe(before)
    await retired(bench, logs.slice(3, 4))
    await append(bench, logs[7] as LiveLog, 10)
    await bench.scheduler.run()
    const left = logs.slice(4)
    for (const log of left) {
      expect(fileOf(log)).not.toBe(before)
      expect(await soundIn(bench, log)).toEqual((await soundIn(bench, log)).map(() => true))
    }
    expect(await bench.files.stat(`${DATA_DIR}/${before}`)).toBeNull()
    const live = left.flatMap((log) => [...log.partition(0).segments])
    expect(bench.diskBudget.usedBytes).toBe(live.reduce((sum, { length }) => sum + length, 0))
  })

  test('is written anew after a day, however little of it is dead', async () => {
    const bench = await tieringBench({ hasArchive: false })
    const logs = await sharing(bench, 8)
    const before = fileOf(logs[1] as LiveLog)
    await retired(bench, logs.slice(0, 1))
    const round = async (): Promise<void> => {
      await append(bench, logs[7] as LiveLog, 1)
      await bench.scheduler.run()
    }
    await round()
    bench.clock.advance(23 * 3_600_000)
    await round()
    expect(fileOf(logs[1] as LiveLog)).toBe(before)
    bench.clock.advance(3_600_000)
    await round()
    expect(fileOf(logs[1] as LiveLog)).not.toBe(before)
    expect(await bench.files.stat(`${DATA_DIR}/${before}`)).toBeNull()
  })

  test('is found when the engine is opened again, and counted', async () => {
    const bench = await tieringBench({ maxDiskBytes: 1e6, hasArchive: false })
    const logs = await sharing(bench, 8)
    const before = fileOf(logs[1] as LiveLog)
    await bench.disk.manifest.commit([
      { kind: 'start-moved', logId: 1, partition: 0, startOffset: 10, retiredAt: null },
    ])
    logs[0]?.partition(0).retireTo(10)
    // Another engine knows of nothing that was dropped.
    const disk = { ...bench.disk }
    const named = logs.slice(1).flatMap((log) => [...log.partition(0).segments])
    const live = named.reduce((sum, { length }) => sum + length, 0)
    bench.diskBudget.hold(live, true)
    const facts = await sweepPacks({ ...bench.context, disk }, false)
    expect(facts).toMatchObject([{ path: before, liveBytes: live, deadSince: -Infinity }])
    expect(bench.diskBudget.usedBytes).toBe(live + (facts[0]?.deadBytes ?? 0))
    await tidyPacks({ ...bench.context, disk: { ...disk } })
    expect(await bench.files.stat(`${DATA_DIR}/${before}`)).toBeNull()
  })

  test.each(
    [
      'disk create',
      'disk sync tmp',
      'disk rename packs',
      'disk syncDirectory',
      'disk put manifest',
      'disk remove',
    ].flatMap((step) => [false, true].map((isLost) => [step, isLost] as const)),
  )('loses nothing where %s fails, or did and was not heard of (%s)', async (step, isLost) => {
    const bench = await tieringBench({ maxDiskBytes: 1e6, hasArchive: false })
    const logs = await sharing(bench, 10)
    const left = logs.slice(6)
    await retired(bench, logs.slice(0, 6))
    let faults = 0
    let isFaulty = true
    const isIt = (made: string): boolean => isFaulty && made.startsWith(step) && ++faults > 0
    if (isLost) bench.lostReply = isIt
    else bench.fault = (made) => (isIt(made) ? 'file_system_failed' : null)
    for (let round = 0; round < 3; round++) {
      await tidyPacks(bench.context).catch(() => {})
      for (const log of left) {
        expect(await soundIn(bench, log)).toEqual([true])
        const { disk, sha256 } = log.partition(0).segments.at(0) ?? {}
        expect(disk).toBeTruthy()
        if (disk !== undefined && disk !== null)
          expect(sha256Hex(await readWhole(bench.files, DATA_DIR, disk))).toBe(sha256)
      }
    }
    expect(faults).toBeGreaterThan(0)
    isFaulty = false
    for (let round = 0; round < 3; round++) {
      await append(bench, logs[9] as LiveLog, 1)
      await bench.scheduler.run()
    }
    for (const log of left) expect(await soundIn(bench, log)).not.toContain(false)
    expect(left.some((log) => fileOf(log) === undefined)).toBe(false)
  })

  test('goes to nobody where its last segment is dropped while it is copied', async () => {
    const bench = await tieringBench({ maxDiskBytes: 1e6, hasArchive: false })
    const logs = await sharing(bench, 8)
    await retired(bench, logs.slice(0, 6))
    bench.fault = (step) => {
      if (!step.startsWith('disk rename')) return null
      bench.fault = () => null
      return retired(bench, logs.slice(6))
    }
    await tidyPacks(bench.context)
    await tidyPacks(bench.context)
    await systemClock.yield()
    expect(bench.diskBudget.usedBytes).toBe(0)
    expect(await packBytes(bench)).toBe(0)
  })
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
  await sweepPacks(bench.context, false)
  await bench.disk.manifest.commit(forget)
  for (const log of logs) log.partition(0).setCopy(0, 'disk', null)
  removeFiles(bench.context, bench.disk, locations)
  await sweepPacks(bench.context, false)
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
  await sweepPacks(bench.context, false)
  await systemClock.yield()
  // Who begins to read now is given the pack.
  expect(await packBytes(bench)).toBeGreaterThan(0)
  drop(logs.slice(4), locations.slice(4))
  await sweepPacks(bench.context, false)
  await systemClock.yield()
  expect(await packBytes(bench)).toBe(0)
})
