import { describe, expect, test, vi } from 'vitest'
import { applyEdits } from '../../../src/format/manifest-builder.ts'
import type { ManifestState, SegmentEntry } from '../../../src/format/manifest.ts'
import { pullFromArchive } from '../../../src/engine/archive-connection.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import {
  type ManifestFiles,
  manifestFilesInDirectory,
  manifestFilesInStore,
} from '../../../src/log/manifest-files.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import { SegmentReading } from '../../../src/log/segment-reading.ts'
import { collectArchive } from '../../../src/tiering/collect.ts'
import { dropDiskCopies } from '../../../src/tiering/evict.ts'
import { uploadSegments } from '../../../src/tiering/upload.ts'
import { appendRows, batchRows } from '../../support/live-logs.ts'
import {
  type Bench,
  DATA_DIR,
  eager,
  isManifestPut,
  outline,
  tieringBench,
} from '../../support/tiering.ts'

const SEGMENTS = 8
const ALL = Array.from({ length: SEGMENTS * 10 }, (_, n) => n)

/** Eight segments of ten records each, on disk and, where there is an archive, in it. */
async function filled(bench: Bench, target: 'disk' | 'object' = 'object'): Promise<LiveLog> {
  const log = await bench.addLog({ policy: eager({ archiveAfter: null, diskTtl: null }) })
  for (let index = 0; index < SEGMENTS; index++) {
    await appendRows(
      log,
      ALL.slice(index * 10, index * 10 + 10).map((n) => ({ n })),
    )
    await bench.scheduler.now([log], target)
  }
  bench.steps.length = 0
  return log
}

function ranges(segments: Iterable<SegmentEntry> | undefined): [number, number][] {
  return Array.from(segments ?? [], ({ baseOffset, endOffset }) => [baseOffset, endOffset])
}

async function committed(bench: Bench, files: ManifestFiles): Promise<ManifestState> {
  return (await ManifestStore.open(files, { clock: bench.clock })).state
}

function local(bench: Bench): Promise<ManifestState> {
  return committed(bench, manifestFilesInDirectory(bench.files, DATA_DIR))
}

function archived(bench: Bench): Promise<ManifestState> {
  return committed(bench, manifestFilesInStore(bench.objects))
}

/** The records that a manifest leads to, each segment read from its disk copy or else its object copy. */
async function recordsIn(bench: Bench, state: ManifestState): Promise<unknown[]> {
  const rows: unknown[] = []
  for (const segment of state.logs.get(1)?.partitions[0]?.segments ?? []) {
    const { disk, object } = segment
    const bytes =
      disk === null
        ? await bench.objects.get(object?.object ?? '')
        : await bench.files.read(`${DATA_DIR}/${disk.object}`)
    const reading = SegmentReading.fromBytes(bytes, segment, { logId: 1, partition: 0 })
    for await (const batch of reading.read([...reading.facts.batches.keys()]))
      rows.push(...batchRows(batch).map(({ n }) => n))
  }
  return rows
}

async function segmentFiles(bench: Bench): Promise<number> {
  return (await bench.files.list(`${DATA_DIR}/segments/1/0`)).length
}

/** What the next engine makes of both manifests. */
async function reopened(bench: Bench): Promise<ManifestState> {
  const here = await local(bench)
  return applyEdits(here, pullFromArchive(here, await archived(bench)))
}

describe('segments that become one', () => {
  test('are written, proven and committed before anything goes', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    const { moved, failed } = await bench.scheduler.compact([log])
    expect(failed).toEqual([])
    expect(moved).toEqual([
      expect.objectContaining({ from: 0, to: 80, fromTier: 'disk', toTier: 'disk' }),
    ])
    expect(outline(bench.steps)).toEqual([
      'disk create tmp',
      'disk write tmp',
      'disk sync tmp',
      'disk rename segments',
      'disk syncDirectory segments',
      'object put segments',
      'object head segments',
      'object put manifest',
      'disk put manifest',
      'disk remove segments',
    ])
    expect(ranges(log.partition(0).segments)).toEqual([[0, 80]])
    expect(await recordsIn(bench, await local(bench))).toEqual(ALL)
    const state = await archived(bench)
    expect(await recordsIn(bench, state)).toEqual(ALL)
    expect(state.logs.get(1)?.partitions[0]?.retired).toHaveLength(SEGMENTS)
    expect(await segmentFiles(bench)).toBe(1)
  })

  test('lie on disk only where they did before', async () => {
    const bench = await tieringBench({ hasArchive: false })
    const log = await filled(bench, 'disk')
    await bench.scheduler.run()
    expect(ranges(log.partition(0).segments)).toEqual([[0, 80]])
    expect(await recordsIn(bench, await local(bench))).toEqual(ALL)
    expect(bench.steps.filter((step) => step.startsWith('object'))).toEqual([])
  })

  test('lie in the archive only where they did before', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    const bases = log.partition(0).segments.map(({ baseOffset }) => baseOffset)
    await dropDiskCopies(bench.context, log, log.partition(0), bases)
    await bench.scheduler.run()
    expect(log.partition(0).segments.map(({ disk, endOffset }) => [disk, endOffset])).toEqual([
      [null, 80],
    ])
    expect(await recordsIn(bench, await local(bench))).toEqual(ALL)
  })

  test('stay as they are when one of them is damaged', async () => {
    const bench = await tieringBench({ hasArchive: false })
    const log = await filled(bench, 'disk')
    const [, second] = log.partition(0).segments
    const path = `${DATA_DIR}/${second?.disk?.object}`
    const bytes = Buffer.from(await bench.files.read(path))
    bytes[200] = (bytes[200] ?? 0) ^ 1
    await bench.files.remove(path)
    await bench.files.putIfAbsent(path, bytes)
    expect((await bench.scheduler.compact([log])).failed).toMatchObject([
      { code: 'segment_corrupt' },
    ])
    expect(log.partition(0).segments).toHaveLength(SEGMENTS)
    expect(await segmentFiles(bench)).toBe(SEGMENTS)
  })

  test('are one for who was told of an error though it was done', async () => {
    const bench = await tieringBench({ hasArchive: false })
    const log = await filled(bench, 'disk')
    bench.lostReply = (step) => isManifestPut('disk', step)
    const original = bench.files.read.bind(bench.files)
    const read = vi.spyOn(bench.files, 'read').mockImplementation(async (path) => {
      if (path.includes('/manifest/')) throw new Error('planted')
      return original(path)
    })
    expect((await bench.scheduler.compact([log])).failed).toHaveLength(1)
    read.mockRestore()
    bench.lostReply = () => false
    await appendRows(log, [{ n: 80 }])
    await bench.scheduler.now([log], 'disk')
    expect((await bench.scheduler.compact([log])).failed).toEqual([])
    expect(ranges(log.partition(0).segments)).toEqual([[0, 81]])
    expect(await recordsIn(bench, await local(bench))).toEqual([...ALL, 80])
  })

  test('stay as they are while the archive may know of one of them', async () => {
    const bench = await tieringBench()
    const log = await filled(bench, 'disk')
    // The archive has the first one, and nobody here was told.
    bench.lostReply = (step) => isManifestPut('object', step)
    bench.fault = (step) => (step.startsWith('object get manifest') ? 'store_unavailable' : null)
    await uploadSegments(bench.context, log, log.partition(0), [0]).catch(() => {})
    bench.lostReply = () => false
    expect((await bench.scheduler.compact([log])).moved).toEqual([])
    expect(await recordsIn(bench, await reopened(bench))).toEqual(ALL)
    bench.fault = () => null
    await bench.scheduler.now([log], 'object')
    expect((await bench.scheduler.compact([log])).failed).toEqual([])
    expect(ranges(log.partition(0).segments)).toEqual([[0, 80]])
    expect(await recordsIn(bench, await reopened(bench))).toEqual(ALL)
  })

  test('leave their objects to a collection, which waits', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    await bench.scheduler.compact([log])
    expect(await collectArchive(bench.context)).toMatchObject({ collected: [], waiting: SEGMENTS })
    bench.clock.advance(3_600_001)
    expect((await collectArchive(bench.context)).collected).toHaveLength(SEGMENTS)
    expect(await recordsIn(bench, await archived(bench))).toEqual(ALL)
  })
})

/** Every call of a compaction, as `[how it goes wrong, which call]`. */
async function everyFault(): Promise<(readonly ['fails' | 'is answered with an error', number])[]> {
  const bench = await tieringBench()
  const log = await filled(bench)
  await bench.scheduler.compact([log])
  return bench.steps.flatMap((_, index) => [
    ['fails', index] as const,
    ['is answered with an error', index] as const,
  ])
}

describe.each(await everyFault())('a compaction of which a call %s (%i)', (how, index) => {
  async function faulty(): Promise<{ bench: Bench; log: LiveLog }> {
    const bench = await tieringBench()
    const log = await filled(bench)
    let calls = 0
    const isIt = (): boolean => calls++ === index
    if (how === 'fails') bench.fault = () => (isIt() ? 'store_unavailable' : null)
    else bench.lostReply = isIt
    await bench.scheduler.compact([log])
    return { bench, log }
  }

  test('loses nothing in a crash then', async () => {
    const { bench } = await faulty()
    expect(await recordsIn(bench, await local(bench))).toEqual(ALL)
    expect(await recordsIn(bench, await archived(bench))).toEqual(ALL)
    expect(await recordsIn(bench, await reopened(bench))).toEqual(ALL)
  })

  test('is made up for, and both manifests agree', async () => {
    const { bench, log } = await faulty()
    bench.fault = () => null
    bench.lostReply = () => false
    await appendRows(log, [{ n: 80 }])
    await bench.scheduler.now([log], 'object')
    expect((await bench.scheduler.compact([log])).failed).toEqual([])
    const here = await local(bench)
    expect(ranges(here.logs.get(1)?.partitions[0]?.segments)).toEqual(
      ranges(log.partition(0).segments),
    )
    expect(pullFromArchive(here, await archived(bench))).toEqual([])
    expect(await recordsIn(bench, here)).toEqual([...ALL, 80])
    bench.clock.advance(3_600_001)
    await collectArchive(bench.context)
    expect(await recordsIn(bench, await archived(bench))).toEqual([...ALL, 80])
  })
})
