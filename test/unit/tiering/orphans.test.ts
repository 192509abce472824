import { describe, expect, test, vi } from 'vitest'
import type { ManifestState } from '../../../src/format/manifest.ts'
import { segmentKey } from '../../../src/format/paths.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { manifestFilesInStore } from '../../../src/log/manifest-files.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import type { UnfinishedPut } from '../../../src/storage/object-store.ts'
import { COLLECT_GRACE_MS, collectArchive } from '../../../src/tiering/collect.ts'
import type { Orphan } from '../../../src/tiering/orphans.ts'
import { expectError } from '../../support/expect-error.ts'
import { appendRows } from '../../support/live-logs.ts'
import { writer } from '../../support/manifests.ts'
import { type Bench, eager, isManifestPut, tieringBench } from '../../support/tiering.ts'

const BYTES = new Uint8Array([1, 2, 3])
const PAGE = `pages/${'c'.repeat(64)}.page`
const PROBE = `probe/${'d'.repeat(32)}`

/** Three segments of ten records each, in the archive. */
async function filled(bench: Bench): Promise<LiveLog> {
  const log = await bench.addLog({ policy: eager() })
  for (let index = 0; index < 3; index++) {
    await appendRows(
      log,
      Array.from({ length: 10 }, (_, row) => ({ n: index * 10 + row })),
    )
    await bench.scheduler.now([log], 'object')
  }
  return log
}

function leftOver(baseOffset: number, logId = 1, digit = 'e'): string {
  const sha256 = digit.repeat(64)
  return segmentKey({ logId, partition: 0, baseOffset, sha256, format: 'arrow' })
}

async function collect(bench: Bench, dryRun = false): Promise<readonly Orphan[]> {
  return (await collectArchive(bench.context, { orphans: true, dryRun })).orphans
}

const states = (orphans: readonly Orphan[]): unknown =>
  Object.fromEntries(orphans.map(({ key, state }) => [key, state]))

async function committed(bench: Bench): Promise<ManifestState> {
  const files = manifestFilesInStore(bench.objects)
  return (await ManifestStore.open(files, { clock: bench.clock })).state
}

async function isThere(bench: Bench, key: string): Promise<boolean> {
  return (await bench.objects.head(key)) !== null
}

/** A compaction whose commit never came, and its object. */
async function compactionCutShort(bench: Bench, log: LiveLog): Promise<string> {
  const before = new Set<string>()
  for await (const { key } of bench.objects.list('segments/')) before.add(key)
  bench.fault = (step) => (isManifestPut('object', step) ? 'store_unavailable' : null)
  expect((await bench.scheduler.compact([log])).failed).toHaveLength(1)
  bench.fault = () => null
  const made: string[] = []
  for await (const { key } of bench.objects.list('segments/')) if (!before.has(key)) made.push(key)
  expect(made).toHaveLength(1)
  return made[0] ?? ''
}

describe('what nothing names', () => {
  test('is noted, and removed in a sweep a grace later', async () => {
    const bench = await tieringBench()
    await filled(bench)
    const orphans = [leftOver(0), leftOver(10), PAGE, PROBE]
    for (const key of orphans) await bench.objects.put(key, BYTES)
    expect(states(await collect(bench))).toEqual(
      Object.fromEntries(orphans.map((key) => [key, 'waiting'])),
    )
    bench.clock.advance(COLLECT_GRACE_MS - 1)
    await collect(bench)
    for (const key of orphans) expect(await isThere(bench, key), key).toBe(true)
    bench.clock.advance(1)
    expect(states(await collect(bench))).toEqual(
      Object.fromEntries(orphans.map((key) => [key, 'removed'])),
    )
    for (const key of orphans) expect(await isThere(bench, key), key).toBe(false)
    expect(await collect(bench)).toEqual([])
    expect(bench.metrics.value('stratalog_collected_orphans_total')).toBe(4)
    // A removal may take effect late: the keys of segments are never given again.
    expect([...((await committed(bench)).unnamed?.keys() ?? [])]).toEqual([
      leftOver(0),
      leftOver(10),
    ])
  })

  test('is shown by a dry run, which writes nothing', async () => {
    const bench = await tieringBench()
    await filled(bench)
    await bench.objects.put(leftOver(0), BYTES)
    bench.steps.length = 0
    expect(await collect(bench, true)).toEqual([
      { key: leftOver(0), kind: 'segment', bytes: 3, state: 'waiting' },
    ])
    expect(bench.steps).toEqual([])
    await collect(bench)
    bench.clock.advance(COLLECT_GRACE_MS)
    expect(states(await collect(bench, true))).toEqual({ [leftOver(0)]: 'due' })
    expect(await isThere(bench, leftOver(0))).toBe(true)
  })

  test('stays when it lies behind all that the manifest names, or is not ours', async () => {
    const bench = await tieringBench()
    await filled(bench)
    const kept = [leftOver(30), leftOver(0, 7), 'foreign/a', 'segments/readme', 'pages/readme']
    for (const key of kept) await bench.objects.put(key, BYTES)
    await collect(bench)
    bench.clock.advance(2 * COLLECT_GRACE_MS)
    expect(await collect(bench)).toEqual([])
    for (const key of kept) expect(await isThere(bench, key), key).toBe(true)
  })

  test('is not listed unless it is asked for', async () => {
    const bench = await tieringBench()
    await filled(bench)
    const list = vi.spyOn(bench.objects, 'list')
    await bench.scheduler.collect()
    expect(list).not.toHaveBeenCalled()
    await bench.scheduler.collect({ orphans: true })
    expect(list).toHaveBeenCalled()
  })

  test('is forgotten when it went without us, or when its offsets are behind the start', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    for (const key of [leftOver(0), leftOver(10)]) await bench.objects.put(key, BYTES)
    await collect(bench)
    await bench.objects.remove(leftOver(10))
    await collect(bench)
    expect([...((await committed(bench)).unnamed?.keys() ?? [])]).toEqual([leftOver(0)])
    bench.clock.advance(COLLECT_GRACE_MS)
    await collect(bench)
    expect((await committed(bench)).unnamed?.get(leftOver(0))?.isDoomed).toBe(true)
    log.partition(0).retireTo(20)
    await bench.archive.commitStarts(log)
    await collect(bench)
    expect(await committed(bench)).not.toHaveProperty('unnamed')
  })

  test('does not take the pages that bases name', async () => {
    const bench = await tieringBench()
    await filled(bench)
    const manifest = await bench.archive.manifest()
    await manifest.rebase()
    await bench.objects.put(PAGE, BYTES)
    await collect(bench)
    bench.clock.advance(COLLECT_GRACE_MS)
    expect(states(await collect(bench))).toEqual({ [PAGE]: 'removed' })
    const warn = vi.spyOn(bench.logger, 'warn')
    expect((await committed(bench)).logs.size).toBe(1)
    expect(warn).not.toHaveBeenCalled()
    const pages: string[] = []
    for await (const { key } of bench.objects.list('pages/')) pages.push(key)
    expect(pages.length).toBeGreaterThan(0)
  })
})

describe('an upload that was cut short and is tried again', () => {
  test('takes its object back from those that were noted', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    const key = await compactionCutShort(bench, log)
    expect(states(await collect(bench))).toEqual({ [key]: 'waiting' })
    expect((await bench.scheduler.compact([log])).failed).toEqual([])
    bench.clock.advance(2 * COLLECT_GRACE_MS)
    expect(await collect(bench)).toEqual([])
    expect(await isThere(bench, key)).toBe(true)
    expect(log.partition(0).segments.at(0)?.object?.object).toBe(key)
    expect(await committed(bench)).not.toHaveProperty('unnamed')
  })

  test('is not given the key of one that is doomed, goes into a pack of its own, and loses nothing', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    const key = await compactionCutShort(bench, log)
    await collect(bench)
    bench.clock.advance(COLLECT_GRACE_MS)
    expect(states(await collect(bench))).toEqual({ [key]: 'removed' })
    expect((await bench.scheduler.compact([log])).failed).toEqual([])
    expect(await isThere(bench, key)).toBe(false)
    const segments = [...log.partition(0).segments]
    expect(segments.map(({ baseOffset, endOffset }) => [baseOffset, endOffset])).toEqual([[0, 30]])
    const [{ object } = { object: null }] = segments
    expect(object?.object).toMatch(/^packs\//)
    expect(await isThere(bench, object?.object ?? '')).toBe(true)
    await expectError(bench.archive.putSegment(key, BYTES, 'e'.repeat(64)), 'object_exists')
  })

  test('that was put before the doom cannot be named after it', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    const key = await compactionCutShort(bench, log)
    await collect(bench)
    bench.clock.advance(COLLECT_GRACE_MS)
    const verify = bench.archive.verify.bind(bench.archive)
    vi.spyOn(bench.archive, 'verify').mockImplementationOnce(async (...object) => {
      await verify(...object)
      expect(states(await collect(bench))).toEqual({ [key]: 'removed' })
    })
    expect((await bench.scheduler.compact([log])).failed).toHaveLength(1)
    for (const { object } of log.partition(0).segments)
      expect(await isThere(bench, object?.object ?? '')).toBe(true)
  })
})

describe('a collection that is cut short', () => {
  test('before the removal goes on with it the next time', async () => {
    const bench = await tieringBench()
    await filled(bench)
    await bench.objects.put(leftOver(0), BYTES)
    await collect(bench)
    bench.clock.advance(COLLECT_GRACE_MS)
    bench.fault = (step) => (step.startsWith('object remove') ? 'store_unavailable' : null)
    await expectError(collect(bench), 'store_unavailable')
    expect(await isThere(bench, leftOver(0))).toBe(true)
    expect((await committed(bench)).unnamed?.get(leftOver(0))?.isDoomed).toBe(true)
    bench.fault = () => null
    expect(states(await collect(bench))).toEqual({ [leftOver(0)]: 'removed' })
  })

  test('in its commit removes nothing that it did not doom', async () => {
    const bench = await tieringBench()
    await filled(bench)
    await bench.objects.put(leftOver(0), BYTES)
    await collect(bench)
    bench.clock.advance(COLLECT_GRACE_MS)
    bench.fault = (step) => (isManifestPut('object', step) ? 'store_unavailable' : null)
    await expectError(collect(bench), 'store_unavailable')
    expect(await isThere(bench, leftOver(0))).toBe(true)
  })

  test('because another writer is there removes nothing', async () => {
    const bench = await tieringBench()
    await filled(bench)
    await bench.objects.put(leftOver(0), BYTES)
    await collect(bench)
    bench.clock.advance(COLLECT_GRACE_MS)
    const files = manifestFilesInStore(bench.objects)
    const rival = await ManifestStore.open(files, { clock: bench.clock })
    await rival.claim(writer('rival'), 'unused')
    await expectError(collect(bench), 'writer_fenced')
    expect(await isThere(bench, leftOver(0))).toBe(true)
  })
})

test('puts in parts that did not end are given up when they are older than the grace', async () => {
  const bench = await tieringBench()
  await filled(bench)
  const now = bench.clock.now()
  const old = { key: 'segments/1/0/a', id: '1', startedAt: now - COLLECT_GRACE_MS }
  const young = { key: 'segments/1/0/b', id: '2', startedAt: now - COLLECT_GRACE_MS + 1 }
  const aborted: UnfinishedPut[] = []
  bench.objects.listUnfinished = async function* () {
    yield old
    yield young
  }
  bench.objects.abortUnfinished = async (unfinished?: UnfinishedPut) => {
    if (unfinished !== undefined) aborted.push(unfinished)
  }
  const parts = { key: old.key, kind: 'unfinished', bytes: null }
  expect(await collect(bench, true)).toEqual([{ ...parts, state: 'due' }])
  expect(aborted).toEqual([])
  expect(await collect(bench)).toEqual([{ ...parts, state: 'removed' }])
  expect(aborted).toEqual([old])
})
