import { describe, expect, test } from 'vitest'
import { isStratalogError } from '../../../src/base/errors.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import type { ManifestState, NotedArchive } from '../../../src/format/manifest.ts'
import { openArchive } from '../../../src/log/archive-view.ts'
import { loadManifest } from '../../../src/log/manifest-chain.ts'
import { manifestFilesInDirectory } from '../../../src/log/manifest-files.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import { forecastRestore } from '../../../src/snapshot/forecast-restore.ts'
import { planRestore } from '../../../src/snapshot/plan-restore.ts'
import { restoreLazily } from '../../../src/snapshot/restore-lazily.ts'
import type { RestoreResult } from '../../../src/snapshot/restore.ts'
import type { FileSystem } from '../../../src/storage/file-system.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import {
  ArchiveFixture,
  FIXTURE_ENGINE_ID,
  FIXTURE_TYPES,
  fixtureRows,
} from '../../support/archive-fixture.ts'
import { dyingAfter } from '../../support/dying-file-system.ts'
import { writer } from '../../support/manifests.ts'

const NOTED: NotedArchive = {
  url: 'memory://fixture',
  endpoint: null,
  region: null,
  forcePathStyle: null,
}

/** An archive with a log whose segments are in a page of its manifest, and one whose segments are in commits alone. */
async function archived(): Promise<{ fixture: ArchiveFixture; keys: string[] }> {
  const fixture = await ArchiveFixture.create()
  const other = await fixture.addLog('b', FIXTURE_TYPES)
  await fixture.addSegment(other, 0, 0, fixtureRows(0, 100))
  await fixture.manifest.rebase()
  const log = await fixture.addLog('a', FIXTURE_TYPES, { partitions: 2 })
  const keys: string[] = []
  for (const base of [0, 100, 200, 300]) {
    const entry = await fixture.addSegment(log, 0, base, fixtureRows(base, 100))
    await fixture.addSegment(log, 1, base, fixtureRows(base + 1_000, 100))
    keys.push(entry.object?.object ?? '')
  }
  const place = { logId: log.definition.id, partition: 0 }
  await fixture.manifest.commit([
    { kind: 'start-moved', ...place, startOffset: 100, retiredAt: 1 },
    { kind: 'offsets-dense-from', ...place, offset: 150 },
  ])
  return { fixture, keys }
}

async function restoreInto(
  fixture: ArchiveFixture,
  fileSystem: FileSystem,
): Promise<RestoreResult> {
  const { clock } = fixture
  const plan = await planRestore(await openArchive(fixture.store))
  const target = { fileSystem, dataDir: 'data', clock, logger: silentLogger }
  return restoreLazily(plan, { ...target, writer: writer('restorer'), newEngineId: 'x' }, NOTED)
}

async function stateOf(fileSystem: FileSystem): Promise<ManifestState> {
  const files = manifestFilesInDirectory(fileSystem, 'data')
  return (await loadManifest(files, silentLogger)).position.state
}

/** The logs of a state as plain values. */
function contents({ logs }: ManifestState): unknown {
  return [...logs.values()].map(({ definition, schemas, partitions }) => ({
    definition,
    schemas,
    partitions: partitions.map(({ segments, startOffset, denseFrom, producers }) => ({
      startOffset,
      denseFrom,
      producers,
      segments: [...segments].map((segment) => ({ ...segment })),
    })),
  }))
}

describe('a restore without the bytes', () => {
  test('is the same engine, with every segment in the archive and none on disk', async () => {
    const { fixture } = await archived()
    const files = new MemoryFileSystem()
    expect(await restoreInto(fixture, files)).toMatchObject({
      plan: { logs: 2, segments: 8, requests: 8 },
      engineId: FIXTURE_ENGINE_ID,
      isLazy: true,
      records: 800,
      verified: false,
      missing: [],
      corrupt: [],
      gaps: [],
    })
    const state = await stateOf(files)
    expect(contents(state)).toEqual(contents(fixture.manifest.state))
    expect(state).toMatchObject({ engineId: FIXTURE_ENGINE_ID, archive: NOTED, epoch: 1 })
    const partitions = [...state.logs.values()].flatMap((log) => log.partitions)
    expect(partitions.map(({ retired }) => retired)).toEqual([undefined, undefined, undefined])
    expect(await files.list('data')).toEqual([
      'manifest',
      'newest.000000000001',
      'pages',
      'stratalog.json',
      'tmp',
    ])
  })

  test('has a manifest that goes on from there', async () => {
    const { fixture } = await archived()
    const files = new MemoryFileSystem()
    await restoreInto(fixture, files)
    const options = { clock: new VirtualClock() }
    const first = await ManifestStore.open(manifestFilesInDirectory(files, 'data'), options)
    await first.claim(writer('next'), 'unused')
    await first.commit([{ kind: 'checkpoint', walLsn: 64 }])
    await first.rebase()
    await first.close()
    const state = await stateOf(files)
    expect(state).toMatchObject({ epoch: 2, walLsn: 64, archive: NOTED })
    expect(contents(state)).toEqual(contents(fixture.manifest.state))
  })

  test('whose first base is damaged is refused, and not taken for an empty one', async () => {
    const { fixture } = await archived()
    const files = new MemoryFileSystem()
    await restoreInto(fixture, files)
    await files.remove('data/manifest/000000000001.base')
    await expect(stateOf(files)).rejects.toMatchObject({ code: 'manifest_corrupt' })
  })

  test('names an object that is gone, and one that is too short', async () => {
    const { fixture, keys } = await archived()
    await fixture.store.remove(keys[2] ?? '')
    await fixture.damage(keys[3] ?? '', (bytes) => bytes.slice(0, 99))
    expect(await restoreInto(fixture, new MemoryFileSystem())).toMatchObject({
      records: 800,
      missing: [{ key: keys[2], log: 'a', partition: 0, from: 200, to: 300 }],
      corrupt: [{ key: keys[3], from: 300, to: 400, kind: 'truncated', position: 99 }],
    })
  })

  test('is whole after a power cut, and is finished by the same after a kill at any step', async () => {
    const { fixture } = await archived()
    const expected = contents(fixture.manifest.state)
    let kills = 0
    for (let steps = 1; ; steps++) {
      const disk = new MemoryFileSystem({ random: seededRandom(steps) })
      const isKilled = await restoreInto(fixture, dyingAfter(disk, steps)).then(
        () => false,
        () => true,
      )
      disk.crash()
      if (isKilled) {
        kills++
        const again = await restoreInto(fixture, disk).catch((error: unknown) => error)
        if (isStratalogError(again)) {
          expect(again.code).toBe('directory_not_empty')
          expect(await disk.list('data')).toContain('stratalog.json')
        }
      }
      expect(contents(await stateOf(disk)), `killed after step ${steps}`).toEqual(expected)
      if (!isKilled) break
    }
    expect(kills).toBeGreaterThan(10)
  })
})

describe('the forecast of a restore', () => {
  test('says what, from which commit, and how long by the speed of the store', async () => {
    const { fixture } = await archived()
    const { clock } = fixture
    const archive = await openArchive(fixture.store)
    const plan = await planRestore(archive)
    const get = fixture.store.get.bind(fixture.store)
    fixture.store.get = async (key, options) => {
      clock.advance(10)
      return get(key, options)
    }
    const { segments, bytes } = plan.summary
    const forecast = await forecastRestore(plan, true, clock)
    expect(forecast).toMatchObject({
      segments,
      bytes,
      archive: 'memory://fixture',
      manifest: archive.number,
      isLazy: true,
    })
    // Four of eight segments took 40 ms.
    const { bytesPerSecond, expectedMs } = forecast
    expect(expectedMs).toBeGreaterThan(70)
    expect(expectedMs).toBeLessThan(90)
    expect(bytesPerSecond).toBeGreaterThan((bytes / 90) * 1000)
    expect(bytesPerSecond).toBeLessThan((bytes / 70) * 1000)
  })

  test('of objects that are gone says nothing of time', async () => {
    const { fixture } = await archived()
    const plan = await planRestore(await openArchive(fixture.store))
    for (const { segments } of plan.logs)
      for (const { entry } of segments) await fixture.store.remove(entry.object?.object ?? '')
    const forecast = await forecastRestore(plan, false, fixture.clock)
    expect(forecast).toMatchObject({ bytesPerSecond: null, expectedMs: null })
  })
})
