/** A restore that was killed, whose archive has moved on before it is run again. */
import { expect, test } from 'vitest'
import { isStratalogError } from '../../../src/base/errors.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { openArchive } from '../../../src/log/archive-view.ts'
import { loadManifest } from '../../../src/log/manifest-chain.ts'
import { manifestFilesInDirectory } from '../../../src/log/manifest-files.ts'
import { type RestoreSelection, planRestore } from '../../../src/snapshot/plan-restore.ts'
import { restoreLazily } from '../../../src/snapshot/restore-lazily.ts'
import type { RestoreResult } from '../../../src/snapshot/restore.ts'
import { createSnapshot } from '../../../src/snapshot/create.ts'
import type { FileSystem } from '../../../src/storage/file-system.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import {
  ArchiveFixture,
  FIXTURE_TYPES,
  type FixtureLog,
  fixtureRows,
} from '../../support/archive-fixture.ts'
import { dyingAfter } from '../../support/dying-file-system.ts'
import { hashesIn, restoreInto, restoreTarget } from '../../support/restored-directory.ts'

interface Restoring {
  readonly fixture: ArchiveFixture
  readonly log: FixtureLog
}

async function archived(): Promise<Restoring> {
  const fixture = await ArchiveFixture.create()
  const log = await fixture.addLog('l', FIXTURE_TYPES)
  for (const base of [0, 100, 200]) await fixture.addSegment(log, 0, base, fixtureRows(base, 100))
  const partitions = [{ partition: 0, startOffset: 0, endOffset: 250 }]
  const pinned = [{ definition: log.definition, partitions }]
  const request = { id: 's1', name: 'nightly', time: 5, pinned, newBytes: 0 }
  await fixture.manifest.commit(createSnapshot(fixture.manifest.state, request).edits)
  return { fixture, log }
}

async function appended({ fixture, log }: Restoring): Promise<void> {
  await fixture.addSegment(log, 0, 300, fixtureRows(300, 100))
}

async function merged({ fixture, log }: Restoring): Promise<void> {
  await fixture.mergeSegments(log, 0)
}

const SELECTIONS: readonly (readonly [string, RestoreSelection, number])[] = [
  ['of everything', {}, Infinity],
  ['of a snapshot', { snapshot: 'nightly' }, 250],
  ['up to an offset', { toOffsets: [{ log: 'l', partition: 0, offset: 150 }] }, 150],
  ['of a moment', { at: 2 ** 50 }, Infinity],
]

const MOVES = [
  ['went on', appended],
  ['merged', merged],
  ['went on and merged', async (r: Restoring) => (await appended(r), merged(r))],
] as const

test.each(
  SELECTIONS.flatMap(([name, selection, end]) =>
    MOVES.map(([how, move]) => [name, how, selection, end, move] as const),
  ),
)(
  'a restore %s that was killed anywhere is finished as of now when the archive %s',
  async (_, __, selection, end, move) => {
    let kills = 0
    for (let steps = 4; ; steps += 3) {
      const restoring = await archived()
      const { fixture, log } = restoring
      const disk = new MemoryFileSystem({ random: seededRandom(steps) })
      const isKilled = await restoreInto(fixture, dyingAfter(disk, steps), selection).then(
        () => false,
        () => true,
      )
      if (!isKilled) break
      kills++
      disk.crash()
      await move(restoring)
      const again = await finished(fixture, disk, selection)
      const keep = ({ offset }: { offset: number }): boolean => offset < end
      const whole = { l: fixture.hash(log, keep) }
      if (again === 'data') continue
      expect(again).toMatchObject({ verified: true, missing: [], corrupt: [], gaps: [] })
      expect(await hashesIn(disk), `killed after ${steps}`).toEqual(whole)
      await expectNothingLeft(disk)
    }
    expect(kills).toBeGreaterThan(5)
  },
)

/** Runs the restore again, and kills that once in the middle too; `data` where the first had made a data directory. */
async function finished(
  fixture: ArchiveFixture,
  disk: MemoryFileSystem,
  selection: RestoreSelection,
): Promise<RestoreResult | 'data'> {
  await restoreInto(fixture, dyingAfter(disk, 12), selection).catch(() => {})
  disk.crash()
  try {
    return await restoreInto(fixture, disk, selection)
  } catch (error) {
    const names = await disk.list('data')
    if (!isStratalogError(error) || !names.includes('stratalog.json')) throw error
    return 'data'
  }
}

async function expectNothingLeft(disk: FileSystem): Promise<void> {
  const files = manifestFilesInDirectory(disk, 'data')
  const { state } = (await loadManifest(files, silentLogger)).position
  const segments = [...(state.logs.get(1)?.partitions[0]?.segments ?? [])]
  const named = segments.map(({ disk: copy }) => copy?.object)
  const found = await disk.list('data/segments/1/0')
  expect(found.map((name) => `segments/1/0/${name}`)).toEqual(named)
  const names = (await disk.list('data')).filter((name) => !name.startsWith('newest.'))
  expect(names).toEqual(['manifest', 'segments', 'stratalog.json', 'tmp'])
}

test('what was copied before and is wanted still is not copied again', async () => {
  const restoring = await archived()
  const { fixture } = restoring
  const disk = new MemoryFileSystem()
  await restoreInto(fixture, dyingAfter(disk, 30)).catch(() => {})
  const before = await disk.list('data/segments/1/0')
  expect(before.length).toBeGreaterThan(0)
  await appended(restoring)
  const gets: string[] = []
  const { store } = fixture
  const get = store.get.bind(store)
  store.get = (key, options) => {
    gets.push(key)
    return get(key, options)
  }
  await restoreInto(fixture, disk)
  for (const name of before) expect(gets).not.toContain(`segments/1/0/${name}`)
})

test('a snapshot that was made anew under its name is another one', async () => {
  const restoring = await archived()
  const { fixture, log } = restoring
  const disk = new MemoryFileSystem()
  await restoreInto(fixture, dyingAfter(disk, 20), { snapshot: 'nightly' }).catch(() => {})
  const pinned = [
    { definition: log.definition, partitions: [{ partition: 0, startOffset: 0, endOffset: 200 }] },
  ]
  const request = { id: 's2', name: 'nightly', time: 6, pinned, newBytes: 0 }
  await fixture.manifest.commit([
    { kind: 'snapshot-deleted', id: 's1' },
    ...createSnapshot(fixture.manifest.state, { ...request, name: 'next' }).edits,
  ])
  await expect(restoreInto(fixture, disk, { snapshot: 'next' })).rejects.toMatchObject({
    code: 'directory_not_empty',
  })
})

test('a lazy restore that was killed anywhere may be finished by an eager one', async () => {
  let kills = 0
  for (let steps = 4; ; steps++) {
    const restoring = await archived()
    const { fixture, log } = restoring
    const disk = new MemoryFileSystem({ random: seededRandom(steps) })
    const noted = { url: 'memory://fixture', endpoint: null, region: null, forcePathStyle: null }
    const plan = await planRestore(await openArchive(fixture.store), {})
    const lazily = restoreLazily(plan, restoreTarget(fixture, dyingAfter(disk, steps)), noted)
    const isKilled = await lazily.then(
      () => false,
      () => true,
    )
    if (!isKilled) break
    kills++
    disk.crash()
    await merged(restoring)
    if ((await finished(fixture, disk, {})) === 'data') continue
    expect(await hashesIn(disk)).toEqual({ l: fixture.hash(log) })
  }
  expect(kills).toBeGreaterThan(5)
})
