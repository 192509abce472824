import { describe, expect, test, vi } from 'vitest'
import { sha256Hex } from '../../../src/format/checksum.ts'
import { encodePack } from '../../../src/format/pack.ts'
import { packPath } from '../../../src/format/paths.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { readingStore, segmentsAt } from '../../../src/log/pack-contents.ts'
import { fetchWhole } from '../../../src/log/segment-copies.ts'
import { COLLECT_GRACE_MS, collectArchive } from '../../../src/tiering/collect.ts'
import type { Orphan } from '../../../src/tiering/orphans.ts'
import { expectError } from '../../support/expect-error.ts'
import { appendRows } from '../../support/live-logs.ts'
import { type Bench, eager, isManifestPut, tieringBench } from '../../support/tiering.ts'

/** Logs of three segments each, of ten records, in the archive. */
async function filled(bench: Bench, count: number): Promise<LiveLog[]> {
  const logs: LiveLog[] = []
  for (let number = 0; number < count; number++)
    logs.push(await bench.addLog({ policy: eager(), definition: { name: `log-${number}` } }))
  for (let index = 0; index < 3; index++) {
    for (const log of logs)
      await appendRows(
        log,
        Array.from({ length: 10 }, (_, row) => ({ n: index * 10 + row })),
      )
    await bench.scheduler.now(logs, 'object')
  }
  return logs
}

async function putPack(
  bench: Bench,
  held: readonly (readonly [logId: number, baseOffset: number])[],
): Promise<string> {
  const { bytes, sha256 } = encodePack(
    held.map(([logId, baseOffset]) => {
      const content = Buffer.from(`${logId}/${baseOffset}`)
      const name = { logId, partition: 0, baseOffset, format: 'arrow' as const }
      return { name: { ...name, sha256: sha256Hex(content) }, bytes: content }
    }),
  )
  await bench.objects.put(packPath(sha256), bytes)
  return packPath(sha256)
}

async function collect(bench: Bench, dryRun = false): Promise<readonly Orphan[]> {
  return (await collectArchive(bench.context, { orphans: true, dryRun })).orphans
}

const states = (orphans: readonly Orphan[]): unknown =>
  Object.fromEntries(orphans.map(({ key, kind, state }) => [key, `${kind} ${state}`]))

async function packsIn(bench: Bench): Promise<string[]> {
  const packs: string[] = []
  for await (const { key } of bench.objects.list('packs/')) packs.push(key)
  return packs
}

/** Compactions of all logs, whose commit never came, and their pack. */
async function compactionsCutShort(bench: Bench, logs: readonly LiveLog[]): Promise<string> {
  const before = await packsIn(bench)
  bench.fault = (step) => (isManifestPut('object', step) ? 'store_unavailable' : null)
  expect((await bench.scheduler.compact(logs)).failed).toHaveLength(logs.length)
  bench.fault = () => null
  const made = (await packsIn(bench)).filter((key) => !before.includes(key))
  expect(made).toHaveLength(1)
  return made[0] ?? ''
}

async function expectCompacted(bench: Bench, logs: readonly LiveLog[]): Promise<void> {
  for (const log of logs) {
    const segments = [...log.partition(0).segments]
    expect(segments.map(({ baseOffset, endOffset }) => [baseOffset, endOffset])).toEqual([[0, 30]])
    for (const { object, sha256 } of segments) {
      const location = object ?? { object: '', position: 0, length: 0 }
      expect(sha256Hex(await fetchWhole(bench.objects, location, undefined))).toBe(sha256)
    }
  }
}

describe('a pack that nothing names', () => {
  test('is noted, and removed a grace later; its key stays in mind', async () => {
    const bench = await tieringBench()
    await filled(bench, 4)
    const named = await packsIn(bench)
    const key = await putPack(bench, [
      [1, 0],
      [2, 10],
    ])
    expect(states(await collect(bench, true))).toEqual({ [key]: 'pack waiting' })
    expect(states(await collect(bench))).toEqual({ [key]: 'pack waiting' })
    bench.clock.advance(COLLECT_GRACE_MS)
    expect(states(await collect(bench, true))).toEqual({ [key]: 'pack due' })
    expect(states(await collect(bench))).toEqual({ [key]: 'pack removed' })
    expect(await packsIn(bench)).toEqual(named)
    expect(await collect(bench)).toEqual([])
    expect(bench.archive.isDoomed(key)).toBe(true)
  })

  test('stays for one of its segments that lies behind the manifest, or cannot be told', async () => {
    const bench = await tieringBench()
    await filled(bench, 4)
    const kept = [
      await putPack(bench, [
        [1, 0],
        [1, 30],
      ]),
      await putPack(bench, [
        [1, 0],
        [9, 0],
      ]),
      packPath('c'.repeat(64)),
    ]
    await bench.objects.put(kept[2] ?? '', Buffer.from('not a pack'))
    await collect(bench)
    bench.clock.advance(2 * COLLECT_GRACE_MS)
    expect(await collect(bench)).toEqual([])
    expect(await packsIn(bench)).toEqual(expect.arrayContaining(kept))
  })

  test('is not one of which anything is named, or retired and not collected', async () => {
    const bench = await tieringBench()
    const logs = await filled(bench, 4)
    const [first] = logs
    await bench.scheduler.compact(first === undefined ? [] : [first])
    const before = await packsIn(bench)
    const get = vi.spyOn(bench.objects, 'get')
    await collect(bench)
    // Named packs are not looked into.
    expect(get.mock.calls.filter(([key]) => key.startsWith('packs/'))).toEqual([])
    bench.clock.advance(2 * COLLECT_GRACE_MS)
    expect(await collect(bench)).toEqual([])
    // One that holds what was retired is written anew, and waits for its grace.
    expect(await packsIn(bench)).toEqual(expect.arrayContaining(before))
    await bench.scheduler.compact(logs)
    expect(await collect(bench)).toEqual([])
  })

  test('is one whose logs were all deleted', async () => {
    const bench = await tieringBench()
    await filled(bench, 1)
    const archive = await bench.archive.manifest()
    await archive.commit([{ kind: 'log-deleted', logId: 1, deletedAt: null }])
    const key = await putPack(bench, [[1, 70]])
    await collect(bench)
    bench.clock.advance(COLLECT_GRACE_MS)
    expect(states(await collect(bench))).toMatchObject({ [key]: 'pack removed' })
  })
})

describe('compactions that were cut short and are tried again', () => {
  test('take their pack back from those that were noted', async () => {
    const bench = await tieringBench()
    const logs = await filled(bench, 4)
    const key = await compactionsCutShort(bench, logs)
    expect(states(await collect(bench))).toEqual({ [key]: 'pack waiting' })
    expect((await bench.scheduler.compact(logs)).failed).toEqual([])
    bench.clock.advance(2 * COLLECT_GRACE_MS)
    expect(await collect(bench)).toEqual([])
    await expectCompacted(bench, logs)
    expect(logs.map((log) => log.partition(0).segments.at(0)?.object?.object)).toEqual(
      logs.map(() => key),
    )
  })

  test('get a pack of another name when theirs is doomed, as often as need be', async () => {
    const bench = await tieringBench()
    const logs = await filled(bench, 4)
    const doomed: string[] = []
    for (let turn = 0; turn < 2; turn++) {
      doomed.push(await compactionsCutShort(bench, logs))
      await collect(bench)
      bench.clock.advance(COLLECT_GRACE_MS)
      expect(states(await collect(bench))).toMatchObject({ [doomed[turn] ?? '']: 'pack removed' })
    }
    expect((await bench.scheduler.compact(logs)).failed).toEqual([])
    await expectCompacted(bench, logs)
    const packs = new Set(
      logs.map((log) => log.partition(0).segments.at(0)?.object?.object ?? 'none'),
    )
    expect(packs.size).toBe(1)
    expect(new Set([...packs, ...doomed]).size).toBe(3)
    const [pack = ''] = packs
    const held = await segmentsAt(pack, readingStore(bench.objects))
    expect(held.map(({ logId }) => logId)).toEqual(logs.map(({ id }) => id))
  })

  test('get another pack while the doomed one is still there', async () => {
    const bench = await tieringBench()
    const logs = await filled(bench, 4)
    const key = await compactionsCutShort(bench, logs)
    await collect(bench)
    bench.clock.advance(COLLECT_GRACE_MS)
    bench.fault = (step) => (step.startsWith('object remove') ? 'store_unavailable' : null)
    await expectError(collect(bench), 'store_unavailable')
    bench.fault = () => null
    expect((await bench.scheduler.compact(logs)).failed).toEqual([])
    expect(states(await collect(bench))).toEqual({ [key]: 'pack removed' })
    await expectCompacted(bench, logs)
  })

  test('cannot be named by a key that was doomed after the put, and get through the next time', async () => {
    const bench = await tieringBench()
    const logs = await filled(bench, 4)
    const key = await compactionsCutShort(bench, logs)
    await collect(bench)
    bench.clock.advance(COLLECT_GRACE_MS)
    const hasPack = bench.archive.hasPack.bind(bench.archive)
    let calls = 0
    vi.spyOn(bench.archive, 'hasPack').mockImplementation(async (location) => {
      const has = await hasPack(location)
      // All of them have looked by then.
      if (++calls === logs.length)
        expect(states(await collect(bench))).toEqual({ [key]: 'pack removed' })
      return has
    })
    expect((await bench.scheduler.compact(logs)).failed).toHaveLength(logs.length)
    for (const log of logs)
      for (const { object } of log.partition(0).segments)
        expect(await bench.objects.head(object?.object ?? '')).not.toBeNull()
    expect((await bench.scheduler.compact(logs)).failed).toEqual([])
    await expectCompacted(bench, logs)
  })
})
