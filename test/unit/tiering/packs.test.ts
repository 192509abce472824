import { describe, expect, test } from 'vitest'
import type { SegmentEntry } from '../../../src/format/manifest.ts'
import { segmentsAt, readingStore } from '../../../src/log/pack-contents.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { fetchWhole, readWhole } from '../../../src/log/segment-copies.ts'
import { sha256Hex } from '../../../src/format/checksum.ts'
import { COLLECT_GRACE_MS } from '../../../src/tiering/collect.ts'
import { putSegments } from '../../../src/tiering/packs.ts'
import { present } from '../../../src/base/assert.ts'
import { appendRows } from '../../support/live-logs.ts'
import { type Bench, DATA_DIR, eager, outline, tieringBench } from '../../support/tiering.ts'

const format = 'arrow' as const
const LATER = { archiveAfter: 1_000, diskTtl: 2_000 }

/** Logs with a few records each. */
async function quietLogs(bench: Bench, count: number, policy = eager(LATER)): Promise<LiveLog[]> {
  const logs: LiveLog[] = []
  for (let number = 0; number < count; number++) {
    const log = await bench.addLog({ policy, definition: { name: `quiet-${number}` } })
    logs.push(log)
    await appendRows(log, [{ n: number }], 0, bench.clock.now())
  }
  bench.steps.length = 0
  return logs
}

function entries(logs: readonly LiveLog[]): SegmentEntry[] {
  return logs.flatMap((log) => [...log.partition(0).segments])
}

/** Steps of a kind. */
function counted(bench: Bench, pattern: RegExp): number {
  return bench.steps.filter((step) => pattern.test(step)).length
}

async function sound(bench: Bench, segment: SegmentEntry): Promise<unknown> {
  const { disk, object } = segment
  const onDisk = disk === null ? null : sha256Hex(await readWhole(bench.files, DATA_DIR, disk))
  const stored =
    object === null ? null : sha256Hex(await fetchWhole(bench.objects, object, undefined))
  return [
    onDisk === null || onDisk === segment.sha256,
    stored === null || stored === segment.sha256,
  ]
}

async function packsIn(bench: Bench): Promise<string[]> {
  const packs: string[] = []
  for await (const { key } of bench.objects.list('packs/')) packs.push(key)
  return packs
}

/** Retention takes the only record of each log, and the grace of its segment is over. */
async function retire(bench: Bench, logs: readonly LiveLog[]): Promise<void> {
  for (const log of logs) {
    const moved = { logId: log.id, partition: 0, startOffset: 1, retiredAt: null }
    await bench.disk.manifest.commit([{ kind: 'start-moved', ...moved }])
    log.partition(0).retireTo(1)
    await bench.archive.commitStarts(log)
  }
  bench.clock.advance(COLLECT_GRACE_MS + 1)
}

/** A round for what is due by then. */
async function runAfter(bench: Bench, ms: number): Promise<void> {
  bench.clock.advance(ms)
  bench.steps.length = 0
  await bench.scheduler.run()
}

describe('small segments of many logs', () => {
  test('share a file on disk, an object, and one commit a round, in the only safe order', async () => {
    const bench = await tieringBench()
    const logs = await quietLogs(bench, 20)
    await bench.scheduler.run()
    expect(outline(bench.steps)).toEqual([
      'disk create tmp',
      'disk write tmp',
      'disk sync tmp',
      'disk rename packs',
      'disk syncDirectory packs',
      'disk put manifest',
      // The checkpoint.
    ])
    expect(counted(bench, /^disk rename/)).toBe(1)
    expect(counted(bench, /^disk put manifest/)).toBe(2)
    await runAfter(bench, 1_000)
    expect(outline(bench.steps)).toEqual([
      'object get manifest',
      'object put manifest',
      'object put packs',
      'object put manifest',
      'disk put manifest',
    ])
    // The archive's manifest is opened, which is a commit, and then has all of the round in one.
    expect(counted(bench, /^object put packs/)).toBe(1)
    expect(counted(bench, /^object put manifest/)).toBe(2)
    expect(counted(bench, /^disk put manifest/)).toBe(1)
    const all = entries(logs)
    expect(new Set(all.map(({ disk }) => disk?.object)).size).toBe(1)
    expect(new Set(all.map(({ object }) => object?.position)).size).toBe(20)
    for (const segment of all) expect(await sound(bench, segment)).toEqual([true, true])
    // Both manifests say the same.
    const states = [bench.disk.manifest.state, bench.archive.state]
    const named = states.map((state) =>
      logs.map((log) => state?.logs.get(log.id)?.partitions[0]?.segments.at(0)?.object),
    )
    expect(named[0]).toEqual(all.map(({ object }) => object))
    expect(named[1]).toEqual(named[0])
    const [pack = ''] = await packsIn(bench)
    const held = await segmentsAt(pack, readingStore(bench.objects))
    expect(held.map(({ logId }) => logId)).toEqual(logs.map(({ id }) => id))
  })

  test('are read back at once where one of them has no file that waits for it', async () => {
    for (const isProvenLater of [true, false]) {
      const bench = await tieringBench()
      const [log] = await quietLogs(bench, 1)
      const partition = present(log, 'the one that was made').partition(0)
      await bench.archive.manifest()
      bench.steps.length = 0
      const segments = [0, 1, 2, 3].map((baseOffset) => {
        const bytes = Buffer.from(`segment ${baseOffset}`)
        const name = { logId: 1, partition: 0, baseOffset, sha256: sha256Hex(bytes) }
        const proof = baseOffset === 2 ? { isProvenLater } : { isProvenLater: true }
        return { partition, retention: null, name: { ...name, format }, bytes, ...proof }
      })
      await putSegments(bench.context, segments)
      expect(outline(bench.steps)).toEqual([
        'object put packs',
        ...(isProvenLater ? [] : ['object head packs']),
      ])
    }
  })

  test('lose the file on disk together: it goes with the last of them', async () => {
    const bench = await tieringBench()
    const early = await quietLogs(bench, 5)
    const late = await quietLogs(bench, 5, eager({ ...LATER, diskTtl: 5_000 }))
    await bench.scheduler.run()
    await runAfter(bench, 1_000)
    await runAfter(bench, 1_000)
    expect(entries(early).map(({ disk }) => disk)).toEqual([null, null, null, null, null])
    expect(counted(bench, /^object head packs/)).toBe(1)
    expect(counted(bench, /^disk put manifest/)).toBe(1)
    // The next round of the disk's lane looks, and finds the others.
    await bench.scheduler.run()
    for (const segment of entries(late)) expect(await sound(bench, segment)).toEqual([true, true])
    await runAfter(bench, 3_000)
    await bench.scheduler.run()
    expect(entries(late).map(({ disk }) => disk)).toEqual([null, null, null, null, null])
    expect(counted(bench, /^disk remove packs/)).toBe(1)
    expect(await bench.files.list(`${DATA_DIR}/packs`)).toEqual([])
  })

  test('keep their file while a commit may have been done that would name it', async () => {
    const bench = await tieringBench()
    await quietLogs(bench, 5)
    await bench.scheduler.run()
    await runAfter(bench, 1_000)
    await runAfter(bench, 1_000)
    bench.fault = (step) => (step.startsWith('disk put manifest') ? 'file_system_failed' : null)
    await expect(bench.disk.manifest.commit([{ kind: 'wal-reached', walLsn: 1 }])).rejects.toThrow()
    await bench.scheduler.run()
    expect(counted(bench, /^disk remove packs/)).toBe(0)
    bench.fault = () => null
    await bench.scheduler.run()
    expect(counted(bench, /^disk remove packs/)).toBe(1)
  })

  test('fail alone: what a manifest refuses of one is left out, and the others go on', async () => {
    const bench = await tieringBench()
    const logs = await quietLogs(bench, 6)
    const [first] = logs
    await bench.disk.manifest.commit([
      { kind: 'log-deleted', logId: first?.id ?? 0, deletedAt: null },
    ])
    await bench.scheduler.run()
    expect(logs.map((log) => log.partition(0).segments.length)).toEqual([0, 1, 1, 1, 1, 1])
    expect(logs.map((log) => log.partition(0).lastError === null)).toEqual([
      false,
      true,
      true,
      true,
      true,
      true,
    ])
  })

  test.each([
    ['disk', 'sync tmp'],
    ['disk', 'rename packs'],
    ['disk', 'syncDirectory packs'],
    ['disk', 'put manifest'],
    ['object', 'put packs'],
    ['object', 'put manifest'],
  ])(
    'whose %s %s failed, or did and was not heard of, are moved by the next round',
    async (tier, step) => {
      for (const isLost of [false, true]) {
        const bench = await tieringBench()
        const logs = await quietLogs(bench, 8)
        let faults = 0
        let isFaulty = true
        const isIt = (made: string): boolean =>
          made.startsWith(`${tier} ${step}`) && isFaulty && ++faults > 0
        if (isLost) bench.lostReply = isIt
        else bench.fault = (made) => (isIt(made) ? 'store_unavailable' : null)
        for (let round = 0; round < 5; round++) await runAfter(bench, 1_000)
        isFaulty = false
        for (let round = 0; round < 5; round++) await runAfter(bench, 60_000)
        expect(faults).toBeGreaterThan(0)
        for (const segment of entries(logs)) {
          expect([segment.disk, segment.object === null]).toEqual([null, false])
          expect(await sound(bench, segment)).toEqual([true, true])
        }
        await bench.scheduler.run()
        // A pack that no manifest came to name goes at the next open.
        const left = await packsIn(bench)
        expect(left.length).toBeLessThanOrEqual(2)
      }
    },
  )

  test('stay in mind when they are retired, as long as their object holds others', async () => {
    const bench = await tieringBench()
    const policy = eager(LATER)
    const brief = await quietLogs(bench, 1, { ...policy, retentionBytes: 1 })
    const lasting = await quietLogs(bench, 5, policy)
    await bench.scheduler.run()
    await runAfter(bench, 1_000)
    expect(await packsIn(bench)).toHaveLength(1)
    const retired = (log: LiveLog | undefined): number | undefined =>
      bench.archive.state?.logs.get(log?.id ?? 0)?.partitions[0]?.retired?.length
    await retire(bench, brief)
    expect(await bench.scheduler.collect()).toEqual({
      rewritten: 0,
      collected: [],
      bytes: 0,
      pinned: 0,
      waiting: 1,
      orphans: [],
    })
    expect(brief.map(retired)).toEqual([1])
    await retire(bench, lasting)
    const report = await bench.scheduler.collect()
    expect(report.collected.map(({ log }) => log)).toEqual([
      'quiet-0',
      ...['quiet-0', 'quiet-1', 'quiet-2', 'quiet-3', 'quiet-4'],
    ])
    expect(await packsIn(bench)).toEqual([])
    expect([...brief, ...lasting].map(retired)).toEqual(Array.from({ length: 6 }, () => undefined))
  })

  test('of fewer than make a pack lie by themselves', async () => {
    const bench = await tieringBench()
    const logs = await quietLogs(bench, 3)
    await bench.scheduler.run()
    await runAfter(bench, 1_000)
    for (const { disk, object } of entries(logs))
      expect([disk?.position, object?.position]).toEqual([0, 0])
    expect(counted(bench, /^object put segments/)).toBe(3)
    expect(counted(bench, /^disk put manifest/)).toBe(1)
  })

  test('of logs without a WAL lie in files of their own, where an open finds them without a manifest', async () => {
    const bench = await tieringBench()
    const logs = await quietLogs(bench, 6, eager({ ...LATER, wal: false }))
    await bench.scheduler.run()
    expect(counted(bench, /^disk rename segments/)).toBe(6)
    expect(counted(bench, /^disk put manifest/)).toBe(1)
    await runAfter(bench, 1_000)
    expect(new Set(entries(logs).map(({ object }) => object?.object)).size).toBe(1)
  })
})
