import { describe, expect, test, vi } from 'vitest'
import { pullFromArchive } from '../../../src/engine/archive-connection.ts'
import { applyEdits } from '../../../src/format/manifest-builder.ts'
import type { ManifestState, PartitionState } from '../../../src/format/manifest.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import {
  type ManifestFiles,
  manifestFilesInDirectory,
  manifestFilesInStore,
} from '../../../src/log/manifest-files.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import { collectArchive } from '../../../src/tiering/collect.ts'
import { appendRows } from '../../support/live-logs.ts'
import {
  type Bench,
  DATA_DIR,
  eager,
  isManifestPut,
  outline,
  tieringBench,
} from '../../support/tiering.ts'

const KEPT = [[20, 30]]

/** Three segments of ten records, of which the policy keeps the last. */
async function filled(bench: Bench): Promise<LiveLog> {
  const policy = eager({ archiveAfter: null, diskTtl: null, retentionBytes: 1 })
  const log = await bench.addLog({ policy })
  for (let index = 0; index < 3; index++) {
    await appendRows(
      log,
      Array.from({ length: 10 }, (_, row) => ({ n: index * 10 + row })),
    )
    await bench.scheduler.now([log], 'object')
  }
  bench.steps.length = 0
  return log
}

async function committed(bench: Bench, files: ManifestFiles): Promise<ManifestState> {
  return (await ManifestStore.open(files, { clock: bench.clock })).state
}

async function states(bench: Bench): Promise<{ local: ManifestState; archive: ManifestState }> {
  return {
    local: await committed(bench, manifestFilesInDirectory(bench.files, DATA_DIR)),
    archive: await committed(bench, manifestFilesInStore(bench.objects)),
  }
}

function partitionIn(state: ManifestState): PartitionState | undefined {
  return state.logs.get(1)?.partitions[0]
}

function ranges(state: ManifestState): [number, number][] {
  const segments = partitionIn(state)?.segments ?? []
  return Array.from(segments, ({ baseOffset, endOffset }) => [baseOffset, endOffset])
}

/** Every file and object that a state names is there. */
async function expectAllThere(bench: Bench, state: ManifestState): Promise<void> {
  for (const { disk, object } of partitionIn(state)?.segments ?? []) {
    if (disk !== null)
      expect(await bench.files.stat(`${DATA_DIR}/${disk.object}`), disk.object).not.toBeNull()
    if (object !== null)
      expect(await bench.objects.head(object.object), object.object).not.toBeNull()
  }
}

/** Until there is nothing to do, and an hour later what was retired in the archive is collected. */
async function retire(bench: Bench): Promise<void> {
  for (let round = 0; round < 3; round++) {
    await bench.scheduler.run().catch(() => {})
    bench.clock.advance(70_000)
  }
  bench.clock.advance(3_600_001)
  await collectArchive(bench.context).catch(() => {})
}

test('records go from the manifest, then from the disk, then from the archive', async () => {
  const bench = await tieringBench()
  const log = await filled(bench)
  await retire(bench)
  expect(outline(bench.steps)).toEqual([
    'disk put manifest',
    'disk remove segments',
    'object put manifest',
    'object get manifest',
    'object remove segments',
    'object put manifest',
  ])
  const { local, archive } = await states(bench)
  expect([ranges(local), ranges(archive)]).toEqual([KEPT, KEPT])
  expect(partitionIn(archive)).not.toHaveProperty('retired')
  expect(log.partition(0)).toMatchObject({ startOffset: 20, firstOffset: 20 })
  expect(await bench.files.list(`${DATA_DIR}/segments/1/0`)).toHaveLength(1)
})

test('nothing goes while the archive may have one segment in the place of several', async () => {
  const bench = await tieringBench()
  const log = await filled(bench)
  bench.lostReply = (step) => isManifestPut('object', step)
  bench.fault = (step) => (step.startsWith('object get manifest') ? 'store_unavailable' : null)
  expect((await bench.scheduler.compact([log])).failed).toHaveLength(1)
  await bench.scheduler.run()
  expect(log.partition(0).firstOffset).toBe(0)
  bench.fault = () => null
  bench.lostReply = () => false
  await retire(bench)
  const { local, archive } = await states(bench)
  // The newest segment stays, and is all there is.
  expect([ranges(local), ranges(archive)]).toEqual([[[0, 30]], [[0, 30]]])
  expect(pullFromArchive(local, archive)).toEqual([])
})

test('nothing that the archive has goes before the archive was reached', async () => {
  const bench = await tieringBench()
  const log = await filled(bench)
  const away = vi.spyOn(bench.archive, 'isSure', 'get').mockReturnValue(false)
  bench.fault = (step) => (step.startsWith('object') ? 'store_unavailable' : null)
  await bench.scheduler.run()
  expect(log.partition(0).firstOffset).toBe(0)
  away.mockRestore()
  bench.fault = () => null
  await retire(bench)
  expect(log.partition(0).firstOffset).toBe(20)
})

test('a compaction that waits for the archive holds up no flush', async () => {
  const bench = await tieringBench()
  const log = await filled(bench)
  const answer = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<void>()
  bench.fault = (step) => {
    if (!step.startsWith('object put segments')) return null
    asked.resolve()
    return answer.promise
  }
  const compaction = bench.scheduler.compact([log])
  await asked.promise
  await appendRows(log, [{ n: 30 }])
  const round = bench.scheduler.run()
  await log.partition(0).waitForFlush(31)
  expect(log.partition(0).firstOffset).toBe(0)
  answer.resolve()
  await compaction
  await round
  await retire(bench)
  expect(log.partition(0).firstOffset).toBe(30)
})

/** Every call of it, as `[how it goes wrong, which call]`. */
async function everyFault(): Promise<(readonly ['fails' | 'is answered with an error', number])[]> {
  const bench = await tieringBench()
  await filled(bench)
  await retire(bench)
  return bench.steps.flatMap((_, index) => [
    ['fails', index] as const,
    ['is answered with an error', index] as const,
  ])
}

describe.each(await everyFault())('a retirement of which a call %s (%i)', (how, index) => {
  async function faulty(): Promise<Bench> {
    const bench = await tieringBench()
    await filled(bench)
    let calls = 0
    const isIt = (): boolean => calls++ === index
    if (how === 'fails') bench.fault = () => (isIt() ? 'store_unavailable' : null)
    else bench.lostReply = isIt
    return bench
  }

  test('names nothing that is gone, in a crash then', async () => {
    const bench = await faulty()
    // One round only: what it began is left as it is.
    await bench.scheduler.run().catch(() => {})
    const { local, archive } = await states(bench)
    const reopened = applyEdits(local, pullFromArchive(local, archive))
    for (const state of [local, archive, reopened]) {
      await expectAllThere(bench, state)
      expect(ranges(state)).toEqual(expect.arrayContaining(KEPT))
    }
  })

  test('is made up for', async () => {
    const bench = await faulty()
    await retire(bench)
    bench.fault = () => null
    bench.lostReply = () => false
    await retire(bench)
    const { local, archive } = await states(bench)
    expect([ranges(local), ranges(archive)]).toEqual([KEPT, KEPT])
    expect(partitionIn(archive)).not.toHaveProperty('retired')
    await expectAllThere(bench, local)
    await expectAllThere(bench, archive)
    const keys: string[] = []
    for await (const { key } of bench.objects.list('segments/')) keys.push(key)
    expect(keys).toHaveLength(1)
  })
})
