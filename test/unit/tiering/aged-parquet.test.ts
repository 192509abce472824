/** Arrow segments that are old enough become Parquet, on the tiers that they lie on. */
import { expect, test } from 'vitest'
import { pullFromArchive } from '../../../src/engine/archive-connection.ts'
import { applyEdits } from '../../../src/format/manifest-builder.ts'
import type { ManifestState, StoragePolicy } from '../../../src/format/manifest.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import {
  type ManifestFiles,
  manifestFilesInDirectory,
  manifestFilesInStore,
} from '../../../src/log/manifest-files.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import { SegmentReading } from '../../../src/log/segment-reading.ts'
import { dropDiskCopies } from '../../../src/tiering/evict.ts'
import { appendRows, batchRows } from '../../support/live-logs.ts'
import {
  type Bench,
  DATA_DIR,
  eager,
  isManifestPut,
  outline,
  tieringBench,
} from '../../support/tiering.ts'

const AGE_MS = 10_000

/** A log with as many segments of ten records as asked for. */
async function filled(
  bench: Bench,
  segments: number,
  target: 'disk' | 'object',
  changes: Partial<StoragePolicy> = {},
): Promise<LiveLog> {
  const policy = eager({ archiveAfter: null, diskTtl: null, parquetAfter: AGE_MS, ...changes })
  const log = await bench.addLog({ policy })
  for (let index = 0; index < segments; index++) await more(bench, log, index, target)
  bench.steps.length = 0
  return log
}

async function more(
  bench: Bench,
  log: LiveLog,
  index: number,
  target: 'disk' | 'object',
): Promise<void> {
  await appendRows(
    log,
    Array.from({ length: 10 }, (_, n) => ({ n: index * 10 + n })),
    0,
    bench.clock.now(),
  )
  await bench.scheduler.now([log], target)
}

function records(segments: number): number[] {
  return Array.from({ length: segments * 10 }, (_, n) => n)
}

function kinds(state: ManifestState | LiveLog): unknown[] {
  const segments =
    'partition' in state
      ? state.partition(0).segments
      : (state.logs.get(1)?.partitions[0]?.segments ?? [])
  return Array.from(segments, ({ baseOffset, endOffset, format }) => [
    baseOffset,
    endOffset,
    format,
  ])
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

async function recordsIn(bench: Bench, state: ManifestState): Promise<unknown[]> {
  const rows: unknown[] = []
  for (const segment of state.logs.get(1)?.partitions[0]?.segments ?? []) {
    const bytes =
      segment.disk === null
        ? await bench.objects.get(segment.object?.object ?? '')
        : await bench.files.read(`${DATA_DIR}/${segment.disk.object}`)
    const reading = SegmentReading.fromBytes(bytes, segment, { logId: 1, partition: 0 })
    for await (const batch of reading.read([...reading.facts.batches.keys()]))
      rows.push(...batchRows(batch).map(({ n }) => n))
  }
  return rows
}

test('segments of the age become one Parquet segment, written, proven and committed before anything goes', async () => {
  const bench = await tieringBench()
  const log = await filled(bench, 3, 'object')
  await bench.scheduler.run()
  expect(kinds(log)).toEqual([0, 10, 20].map((from) => [from, from + 10, 'arrow']))
  bench.clock.advance(AGE_MS)
  await more(bench, log, 3, 'object')
  bench.steps.length = 0
  await bench.scheduler.run()
  const expected = [
    [0, 30, 'parquet'],
    [30, 40, 'arrow'],
  ]
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
  for (const state of [log, await local(bench), await archived(bench)])
    expect(kinds(state)).toEqual(expected)
  expect(await recordsIn(bench, await local(bench))).toEqual(records(4))
  expect(await recordsIn(bench, await archived(bench))).toEqual(records(4))
  bench.steps.length = 0
  await bench.scheduler.run()
  expect(bench.steps).toEqual([])
})

test('one segment alone becomes Parquet, also in the archive only', async () => {
  const bench = await tieringBench()
  const log = await filled(bench, 1, 'object')
  await dropDiskCopies(bench.context, log, log.partition(0), [0])
  bench.clock.advance(AGE_MS)
  await bench.scheduler.run()
  expect(kinds(log)).toEqual([[0, 10, 'parquet']])
  expect(log.partition(0).segments.at(0)?.disk).toBeNull()
  const state = await archived(bench)
  expect(kinds(state)).toEqual([[0, 10, 'parquet']])
  expect(state.logs.get(1)?.partitions[0]?.retired).toHaveLength(1)
  expect(await recordsIn(bench, state)).toEqual(records(1))
})

test('a crash between the commits leaves an archive that knows more, and the next open learns it', async () => {
  const bench = await tieringBench()
  const log = await filled(bench, 1, 'object')
  bench.clock.advance(AGE_MS)
  bench.fault = (step) => (isManifestPut('disk', step) ? 'disk_full' : null)
  await bench.scheduler.run()
  bench.fault = () => null
  const here = await local(bench)
  expect(kinds(here)).toEqual([[0, 10, 'arrow']])
  const there = await archived(bench)
  expect(kinds(there)).toEqual([[0, 10, 'parquet']])
  const next = applyEdits(here, pullFromArchive(here, there))
  expect(kinds(next)).toEqual([[0, 10, 'parquet']])
  expect(next.logs.get(1)?.partitions[0]?.segments.at(0)?.object).not.toBeNull()
  bench.clock.advance(60_000)
  await bench.scheduler.run()
  expect(kinds(log)).toEqual([[0, 10, 'parquet']])
})

test('a log of Parquet segments has them from the start, and keeps them when its policy is another', async () => {
  const bench = await tieringBench({ hasArchive: false })
  const log = await filled(bench, 8, 'disk', { segmentFormat: 'parquet', parquetAfter: null })
  expect(kinds(log)).toEqual(
    Array.from({ length: 8 }, (_, index) => [index * 10, index * 10 + 10, 'parquet']),
  )
  const policy = { ...log.policy, segmentFormat: 'arrow' } as const
  await log.alter(async () => ({ policy, isDenseFromHere: false, isOwed: false }))
  await bench.scheduler.run()
  expect(kinds(log)).toEqual([[0, 80, 'parquet']])
  expect(await recordsIn(bench, await local(bench))).toEqual(records(8))
})
