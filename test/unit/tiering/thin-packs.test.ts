import { describe, expect, test } from 'vitest'
import { sha256Hex } from '../../../src/format/checksum.ts'
import { applyEdits } from '../../../src/format/manifest-builder.ts'
import type { ManifestState } from '../../../src/format/manifest.ts'
import { pullFromArchive } from '../../../src/engine/archive-connection.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { manifestFilesInDirectory, manifestFilesInStore } from '../../../src/log/manifest-files.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import { segmentsHolding } from '../../../src/log/held-segments.ts'
import { fetchWhole } from '../../../src/log/segment-copies.ts'
import { storedBytesOf } from '../../../src/tiering/archived-packs.ts'
import { COLLECT_GRACE_MS } from '../../../src/tiering/collect.ts'
import { appendRows } from '../../support/live-logs.ts'
import {
  type Bench,
  DATA_DIR,
  eager,
  isManifestPut,
  outline,
  tieringBench,
} from '../../support/tiering.ts'

const HOUR = COLLECT_GRACE_MS
const POLICY = eager({ diskTtl: 0 })

/** Logs of one record each, whose segments share a pack in the archive and have left the disk. */
async function packed(bench: Bench, count: number): Promise<LiveLog[]> {
  const logs: LiveLog[] = []
  for (let number = 0; number < count; number++) {
    const log = await bench.addLog({ policy: POLICY, definition: { name: `log-${number}` } })
    logs.push(log)
    await appendRows(log, [{ n: number }], 0, bench.clock.now())
  }
  for (let round = 0; round < 3; round++) await bench.scheduler.run()
  expect(new Set(logs.map(placeOf)).size).toBe(1)
  bench.steps.length = 0
  return logs
}

function placeOf(log: LiveLog): string | undefined {
  return log.partition(0).segments.at(0)?.object?.object
}

async function objectsIn(bench: Bench): Promise<string[]> {
  const keys: string[] = []
  for (const prefix of ['packs/', 'segments/'])
    for await (const { key } of bench.objects.list(prefix)) keys.push(key)
  return keys
}

async function bytesIn(bench: Bench): Promise<number> {
  let bytes = 0
  for (const key of await objectsIn(bench)) bytes += (await bench.objects.head(key))?.length ?? 0
  return bytes
}

/** Everything of the logs goes, in both manifests. */
async function deleted(bench: Bench, logs: readonly LiveLog[]): Promise<void> {
  const archive = await bench.archive.manifest()
  const all = [...bench.context.logs()] as LiveLog[]
  for (const log of logs) {
    await bench.disk.manifest.commit([{ kind: 'log-deleted', logId: log.id, deletedAt: null }])
    const deletedAt = bench.clock.now()
    await archive.commit([{ kind: 'log-deleted', logId: log.id, deletedAt }])
    const live = bench.context.logs() as LiveLog[]
    live.splice(live.indexOf(log), 1)
  }
  expect([...bench.context.logs()]).toHaveLength(all.length - logs.length)
}

async function soundIn(
  bench: Bench,
  state: ManifestState | null,
  log: LiveLog,
): Promise<boolean[]> {
  const segments = [...(state?.logs.get(log.id)?.partitions[0]?.segments ?? [])]
  const sound: boolean[] = []
  for (const { object, sha256 } of segments) {
    const bytes = object === null ? null : await fetchWhole(bench.objects, object, undefined)
    sound.push(bytes !== null && sha256Hex(bytes) === sha256)
  }
  return sound
}

async function local(bench: Bench): Promise<ManifestState> {
  const files = manifestFilesInDirectory(bench.files, DATA_DIR)
  return (await ManifestStore.open(files, { clock: bench.clock })).state
}

/** What the next engine makes of both manifests. */
async function reopened(bench: Bench): Promise<ManifestState> {
  const here = await local(bench)
  return applyEdits(here, pullFromArchive(here, await archived(bench)))
}

async function archived(bench: Bench): Promise<ManifestState> {
  const archive = manifestFilesInStore(bench.objects)
  return (await ManifestStore.open(archive, { clock: bench.clock })).state
}

describe('a pack of which most is dead', () => {
  test('is written anew once its grace is over, and goes after another', async () => {
    const bench = await tieringBench()
    const logs = await packed(bench, 8)
    const [kept, other, ...gone] = logs as [LiveLog, LiveLog, ...LiveLog[]]
    const before = await objectsIn(bench)
    await deleted(bench, gone)
    bench.clock.advance(HOUR - 1)
    expect(await bench.scheduler.collect()).toMatchObject({ rewritten: 0, collected: [] })
    bench.clock.advance(2)
    bench.steps.length = 0
    expect(await bench.scheduler.collect()).toMatchObject({
      rewritten: 1,
      collected: [],
      waiting: 8,
    })
    expect(outline(bench.steps)).toEqual([
      'object get manifest',
      'object get packs',
      'object put segments',
      'object head segments',
      'object put manifest',
      'disk put manifest',
    ])
    for (const log of [kept, other]) {
      expect(placeOf(log)).toMatch(/^segments\//)
      for (const state of [bench.archive.state, bench.disk.manifest.state, await local(bench)])
        expect(await soundIn(bench, state, log)).toEqual([true])
    }
    expect(await objectsIn(bench)).toEqual(expect.arrayContaining(before))
    bench.clock.advance(HOUR + 1)
    expect((await bench.scheduler.collect()).collected).toHaveLength(8)
    expect(await objectsIn(bench)).toEqual([placeOf(kept), placeOf(other)])
    // Nothing is left to do, or in mind.
    expect(await bench.scheduler.collect()).toMatchObject({ rewritten: 0, waiting: 0 })
    expect([...(bench.archive.state?.logs.keys() ?? [])]).toEqual([kept.id, other.id])
    expect(await soundIn(bench, bench.archive.state, kept)).toEqual([true])
  })

  test('of which little is dead is written anew after a day, into a pack', async () => {
    const bench = await tieringBench()
    const [first, ...kept] = (await packed(bench, 8)) as [LiveLog, ...LiveLog[]]
    await deleted(bench, [first])
    bench.clock.advance(23 * HOUR)
    expect(await bench.scheduler.collect()).toMatchObject({ rewritten: 0, waiting: 1 })
    bench.clock.advance(HOUR)
    expect(await bench.scheduler.collect()).toMatchObject({ rewritten: 1 })
    bench.clock.advance(HOUR + 1)
    await bench.scheduler.collect()
    expect(await objectsIn(bench)).toEqual([placeOf(kept[0] as LiveLog)])
    for (const log of kept) expect(await soundIn(bench, bench.archive.state, log)).toEqual([true])
  })

  test('shares what is left of it with others like it', async () => {
    const bench = await tieringBench()
    const one = await packed(bench, 6)
    const two = await packed(bench, 6)
    await deleted(bench, [...one.slice(0, 4), ...two.slice(0, 4)])
    bench.clock.advance(HOUR + 1)
    expect(await bench.scheduler.collect()).toMatchObject({ rewritten: 2 })
    const left = [...one.slice(4), ...two.slice(4)]
    expect(new Set(left.map(placeOf)).size).toBe(1)
  })

  test('goes though a snapshot needs some of what was deleted', async () => {
    const bench = await tieringBench()
    const logs = await packed(bench, 6)
    const [kept, named, ...gone] = logs as [LiveLog, LiveLog, ...LiveLog[]]
    const partitions = [{ partition: 0, startOffset: 0, endOffset: 1 }]
    const snapshot = {
      id: '00000000000000aa',
      name: 'monday',
      time: bench.clock.now(),
      logs: [{ logId: named.id, name: 'log-1', partitions }],
      bytes: 1,
      newBytes: 1,
    }
    const archive = await bench.archive.manifest()
    await archive.commit([{ kind: 'snapshot-created', snapshot }])
    const [before = ''] = await objectsIn(bench)
    await deleted(bench, [named, ...gone])
    bench.clock.advance(HOUR + 1)
    expect(await bench.scheduler.collect()).toMatchObject({ rewritten: 1, pinned: 1 })
    bench.clock.advance(HOUR + 1)
    await bench.scheduler.collect()
    expect(await objectsIn(bench)).not.toContain(before)
    const held = bench.archive.state?.logs.get(named.id)?.partitions[0]
    const [segment] = held === undefined ? [] : segmentsHolding(held, 0, 1)
    const object = segment?.object
    expect(object).toBeDefined()
    if (object === undefined || object === null || segment === undefined) return
    expect(sha256Hex(await fetchWhole(bench.objects, object, undefined))).toBe(segment.sha256)
    expect(await soundIn(bench, bench.archive.state, kept)).toEqual([true])
    await archive.commit([{ kind: 'snapshot-deleted', id: snapshot.id }])
    bench.clock.advance(HOUR + 1)
    await bench.scheduler.collect()
    expect(await objectsIn(bench)).toEqual([placeOf(kept)])
  })

  test('that is damaged stays as evidence, and holds up no other', async () => {
    const bench = await tieringBench()
    const bad = await packed(bench, 6)
    const good = await packed(bench, 6)
    const key = placeOf(bad[0] as LiveLog) ?? ''
    const bytes = (await bench.objects.get(key)).slice()
    const place = bad[5]?.partition(0).segments.at(0)?.object
    const at = (place?.position ?? 0) + 100
    bytes[at] = (bytes[at] ?? 0) ^ 1
    await bench.objects.remove(key)
    await bench.objects.put(key, bytes)
    await deleted(bench, [...bad.slice(0, 4), ...good.slice(0, 4)])
    bench.clock.advance(HOUR + 1)
    expect(await bench.scheduler.collect()).toMatchObject({ rewritten: 1 })
    expect(placeOf(bad[5] as LiveLog)).toBe(key)
    expect(placeOf(good[5] as LiveLog)).not.toBe(placeOf(good[0] as LiveLog))
    expect(await bench.scheduler.collect()).toMatchObject({ rewritten: 0 })
  })
})

describe('a pack that is written anew', () => {
  const steps = [
    'object get packs',
    'object put segments',
    'object head segments',
    'object put',
    'disk put',
  ]

  test.each(steps.flatMap((step) => [false, true].map((isLost) => [step, isLost] as const)))(
    'loses nothing where %s fails, or did and was not heard of (%s)',
    async (step, isLost) => {
      const bench = await tieringBench()
      const logs = await packed(bench, 6)
      const [kept] = logs as [LiveLog]
      await deleted(bench, logs.slice(1))
      bench.clock.advance(HOUR + 1)
      let [faults, isFaulty] = [0, true]
      const isIt = (made: string): boolean =>
        isFaulty &&
        (step.endsWith(' put')
          ? isManifestPut(step.split(' ')[0] as 'disk', made)
          : made.startsWith(step)) &&
        ++faults > 0
      if (isLost) bench.lostReply = isIt
      else bench.fault = (made) => (isIt(made) ? 'store_unavailable' : null)
      await bench.scheduler.collect().catch(() => {})
      expect(faults).toBeGreaterThan(0)
      // A crash here: what the next engine would know is there, and where the archive says that it is.
      const next = await reopened(bench)
      expect(await soundIn(bench, next, kept)).toEqual([true])
      const places = [next, await archived(bench)].map(
        ({ logs }) => logs.get(kept.id)?.partitions[0]?.segments.at(0)?.object,
      )
      expect(places[0]).toEqual(places[1])
      // No crash, and much later: the pack is not collected before the partition knows.
      for (let round = 0; round < 3; round++) {
        bench.clock.advance(HOUR + 1)
        await bench.scheduler.collect().catch(() => {})
        expect(await soundIn(bench, await reopened(bench), kept)).toEqual([true])
        const { object, sha256 } = kept.partition(0).segments.at(0) ?? {}
        if (object !== undefined && object !== null)
          expect(sha256Hex(await fetchWhole(bench.objects, object, undefined))).toBe(sha256)
      }
      isFaulty = false
      await appendRows(kept, [{ n: 2 }], 0, bench.clock.now())
      for (let round = 0; round < 4; round++) {
        bench.clock.advance(HOUR + 1)
        await bench.scheduler.run()
        await bench.scheduler.collect()
      }
      expect((await objectsIn(bench)).filter((key) => key.startsWith('packs/'))).toEqual([])
      expect(await soundIn(bench, await reopened(bench), kept)).toEqual([true, true])
    },
  )

  test('leaves out what is retired while it is copied', async () => {
    const bench = await tieringBench()
    const logs = await packed(bench, 6)
    const [kept, leaving] = logs as [LiveLog, LiveLog]
    await deleted(bench, logs.slice(2))
    bench.clock.advance(HOUR + 1)
    bench.fault = (step) => {
      if (!step.startsWith('object head segments')) return null
      bench.fault = () => null
      return deleted(bench, [leaving])
    }
    expect(await bench.scheduler.collect()).toMatchObject({ rewritten: 1 })
    expect(await soundIn(bench, bench.archive.state, kept)).toEqual([true])
    expect(bench.archive.state?.logs.get(leaving.id)?.partitions[0]?.retired).toHaveLength(1)
  })
})

test('the stored bytes are those of the objects, each once, whatever is dead in a pack', async () => {
  const bench = await tieringBench()
  const logs = await packed(bench, 8)
  const stored = (): number => storedBytesOf(bench.archive.state as ManifestState)
  expect(stored()).toBe(await bytesIn(bench))
  await deleted(bench, logs.slice(1))
  expect(stored()).toBe(await bytesIn(bench))
  for (let round = 0; round < 3; round++) {
    bench.clock.advance(HOUR + 1)
    await bench.scheduler.collect()
    expect(stored()).toBe(await bytesIn(bench))
  }
  expect(await objectsIn(bench)).toHaveLength(1)
})
