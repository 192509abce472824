import { describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/base/logger.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { openArchive, viewOfLog } from '../../../src/log/archive-view.ts'
import type { LogView } from '../../../src/log/log-view.ts'
import { loadManifest } from '../../../src/log/manifest-chain.ts'
import { manifestFilesInDirectory } from '../../../src/log/manifest-files.ts'
import { bytesInDirectory } from '../../../src/log/segment-copies.ts'
import { type LiveEngine, type LiveSide, liveSide } from '../../../src/replay/live-side.ts'
import { drillMarkdown, type DrillReport } from '../../../src/replay/drill-report.ts'
import {
  type DrillEngine,
  type DrillScratch,
  type DrillSubject,
  drill,
} from '../../../src/replay/drill.ts'
import { plannedRecords, planRestore } from '../../../src/snapshot/plan-restore.ts'
import { restore } from '../../../src/snapshot/restore.ts'
import { samplePlan } from '../../../src/snapshot/sample-plan.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import {
  ArchiveFixture,
  FIXTURE_TYPES,
  type FixtureLog,
  fixtureRows,
  flipInBlock,
} from '../../support/archive-fixture.ts'
import { expectError } from '../../support/expect-error.ts'
import { writer } from '../../support/manifests.ts'
import { sampleBatch } from '../../support/sample-batches.ts'

interface Planted {
  readonly fixture: ArchiveFixture
  readonly a: FixtureLog
  readonly b: FixtureLog
  readonly keys: readonly string[]
}

async function sound(): Promise<Planted> {
  const fixture = await ArchiveFixture.create()
  const a = await fixture.addLog('a', FIXTURE_TYPES)
  const b = await fixture.addLog('b', FIXTURE_TYPES, { partitions: 2 })
  const keys: string[] = []
  for (const base of [0, 100, 200]) {
    keys.push((await fixture.addSegment(a, 0, base, fixtureRows(base, 100))).object?.object ?? '')
    await fixture.addSegment(b, 0, base, fixtureRows(base, 100))
    await fixture.addSegment(b, 1, base, fixtureRows(base, 100))
  }
  return { fixture, a, b, keys }
}

/** A scratch in memory, restored and read by the real code; its queries answer from a table. */
function scratchOf(
  fixture: ArchiveFixture,
  answers: Readonly<Record<string, unknown>> = {},
  sample = 1,
): DrillScratch & { removed: number } {
  const fileSystem = new MemoryFileSystem()
  const dataDir = 'scratch'
  return {
    removed: 0,
    async restore(archive) {
      const target = {
        fileSystem,
        dataDir,
        clock: fixture.clock,
        logger: silentLogger,
        writer: writer('drill'),
        newEngineId: 'scratch',
        isDetached: true,
      }
      const plan = samplePlan(await planRestore(archive), sample, seededRandom(7))
      return { ...(await restore(plan, target)), planned: plannedRecords(plan) }
    },
    async open(): Promise<DrillEngine> {
      const { position } = await loadManifest(
        manifestFilesInDirectory(fileSystem, dataDir),
        silentLogger,
      )
      const logs = [...position.state.logs.values()]
      return {
        views: () =>
          logs.map((log) =>
            viewOfLog(log, undefined, ({ disk }) =>
              disk === null
                ? null
                : { tier: 'disk', bytes: bytesInDirectory(fileSystem, dataDir, disk) },
            ),
          ),
        query: async (sql) => {
          if (!Object.hasOwn(answers, sql)) throw new Error(`no such table in ${sql}`)
          return answers[sql]
        },
        close: async () => {},
      }
    },
    async remove() {
      this.removed++
    },
  }
}

async function rehearse(
  fixture: ArchiveFixture,
  changes: Partial<DrillSubject> = {},
): Promise<DrillReport> {
  const subject = {
    open: () => openArchive(fixture.store),
    scratch: async () => scratchOf(fixture),
    against: null,
    ...changes,
  }
  return drill(subject, {}, { clock: fixture.clock })
}

/** The engine that writes the archive. */
function engineOf(fixture: ArchiveFixture, logs: readonly LiveSide[]): LiveEngine {
  return { engineId: fixture.manifest.state.engineId, logs }
}

/** A live log of `count` records in RAM, of which `change` can alter one. */
function liveView(log: FixtureLog, count: number, changedRow = -1): LogView {
  const rows = fixtureRows(0, count).map((row, index) =>
    index === changedRow ? { ...row, text: 'other' } : row,
  )
  return {
    definition: log.definition,
    schema: log.schema,
    schemas: [log.schema],
    partitions: Array.from({ length: log.definition.partitions }, (_, partition) => ({
      partition,
      startOffset: 0,
      endOffset: count,
      sources: [{ tier: 'memory', batch: sampleBatch(log.schema, rows) } as const],
    })),
    release: () => {},
  }
}

/** The same records, from `base` on. */
function withOffsets(view: LogView, base: number): LogView {
  return {
    ...view,
    partitions: view.partitions.map(({ sources, endOffset, ...partition }) => ({
      ...partition,
      startOffset: base,
      endOffset: base + endOffset,
      sources: sources.map((source) =>
        source.tier === 'memory'
          ? { ...source, batch: { ...source.batch, baseOffset: base } }
          : source,
      ),
    })),
  }
}

describe('a drill', () => {
  test('of a sample restores a part of each partition, proves that part, and says how much it was', async () => {
    const { fixture, a } = await sound()
    const against = engineOf(fixture, [liveSide(liveView(a, 300))])
    const scratch = async (): Promise<DrillScratch> => scratchOf(fixture, {}, 0.5)
    const report = await rehearse(fixture, { scratch, against })
    expect(report).toMatchObject({ verdict: 'PASS', reasons: [], hashEqual: true, rpoRecords: 0 })
    expect(report.logs.map((log) => log.records)).toEqual([200, 400])
    expect(report.coverage).toBeCloseTo(2 / 3)
  })

  test('of a sample that is no part of a whole is refused', async () => {
    const { fixture } = await sound()
    for (const sample of [0, -1, 1.5, Number.NaN]) {
      const scratch = async (): Promise<DrillScratch> => scratchOf(fixture, {}, sample)
      await expectError(rehearse(fixture, { scratch }), 'argument_invalid')
    }
  })

  test('of a sound archive passes, with the oracle hash of each log', async () => {
    const { fixture, a, b } = await sound()
    const scratch = scratchOf(fixture)
    const report = await rehearse(fixture, { scratch: async () => scratch })
    expect(report).toMatchObject({
      verdict: 'PASS',
      reasons: [],
      records: 900,
      coverage: 1,
      rpoMs: null,
      rpoRecords: null,
      hashEqual: null,
      checks: [],
      missing: [],
      corrupt: [],
    })
    expect(report.logs.map(({ hash }) => hash)).toEqual([fixture.hash(a), fixture.hash(b)])
    expect(scratch.removed).toBe(1)
    expect(drillMarkdown(report, 'memory://fixture')).toContain('# Restore drill: PASS')
  })

  test('against a live engine that is ahead passes and says by how much', async () => {
    const { fixture, a, b } = await sound()
    const report = await rehearse(fixture, {
      against: engineOf(fixture, [liveView(a, 350), liveView(b, 300)].map(liveSide)),
    })
    expect(report).toMatchObject({
      verdict: 'PASS',
      hashEqual: true,
      rpoRecords: 50,
      coverage: 900 / 950,
    })
    expect(report.rpoMs).toBeGreaterThan(0)
  })

  test('against another engine fails, whatever its logs are called and whatever ids they have', async () => {
    const { fixture, a, b } = await sound()
    const logs = [liveView(a, 300), liveView(b, 300)].map(liveSide)
    for (const engineId of ['another', null]) {
      const report = await rehearse(fixture, { against: { engineId, logs } })
      expect(report).toMatchObject({
        ...{ verdict: 'FAIL', hashEqual: null, latestEqual: null, coverage: 0 },
        ...{ rpoMs: null, rpoRecords: null, records: 900 },
      })
      expect(report.reasons).toHaveLength(1)
      expect(report.reasons[0]).toContain(`of engine ${fixture.manifest.state.engineId}, and`)
    }
  })

  test('against an engine that shares no record proves nothing and fails', async () => {
    const { fixture, a } = await sound()
    const beginning = liveView(a, 0)
    const none = [[], [beginning]].map((views) => views.map(liveSide))
    for (const logs of none) {
      const report = await rehearse(fixture, { against: engineOf(fixture, logs) })
      expect(report).toMatchObject({ verdict: 'FAIL', hashEqual: null, coverage: 0 })
      expect(report).toMatchObject({ rpoMs: 0, rpoRecords: 0 })
      expect(report.reasons).toEqual([
        'The live engine has no records of logs that are archived, so nothing was proved against it.',
      ])
    }
    const later = withOffsets(liveView(a, 40), 300)
    const report = await rehearse(fixture, { against: engineOf(fixture, [liveSide(later)]) })
    expect(report).toMatchObject({ verdict: 'FAIL', hashEqual: null, coverage: 0, rpoRecords: 40 })
    expect(report.reasons).toEqual([
      'None of the 40 records of the live engine can be compared with the archive, so nothing was proved against it: 40 of them are not archived yet.',
    ])
  })

  test('takes a log that is empty, or not archived yet, for one that is behind where others are equal', async () => {
    const { fixture, a, b } = await sound()
    for (const view of [liveView(b, 0), withOffsets(liveView(b, 7), 300)]) {
      const logs = [liveView(a, 300), view].map(liveSide)
      const report = await rehearse(fixture, { against: engineOf(fixture, logs) })
      expect(report).toMatchObject({ verdict: 'PASS', reasons: [], hashEqual: true })
      expect(report.rpoRecords).toBe(view.partitions[0]?.endOffset === 0 ? 0 : 14)
    }
  })

  test('against an old copy of the directory fails where the archive gave up what that ends with', async () => {
    const { fixture, a, b } = await sound()
    const late = await fixture.addLog('late', FIXTURE_TYPES)
    await fixture.manifest.commit([
      {
        kind: 'start-moved',
        logId: late.definition.id,
        partition: 0,
        startOffset: 500,
        retiredAt: null,
      },
    ])
    await fixture.addSegment(late, 0, 500, fixtureRows(500, 10))
    const logs = [liveView(a, 300), liveView(b, 300), liveView(late, 40)].map(liveSide)
    const report = await rehearse(fixture, { against: engineOf(fixture, logs) })
    expect(report).toMatchObject({ verdict: 'FAIL', hashEqual: true, rpoRecords: 0 })
    expect(report.reasons).toEqual([
      "The live engine ends with log 'late', partition 0, offsets [0, 40); the archive begins behind that, at 500.",
    ])
  })

  test('against a live engine whose latest view differs fails', async () => {
    const { fixture, a } = await sound()
    const keyed = { ...a, definition: { ...a.definition, keyColumn: 'n' } }
    const live = liveSide(liveView(keyed, 300))
    const against = engineOf(fixture, [{ ...live, latestHash: async () => 'another' }])
    const withKey = (view: LogView): LogView => ({ ...view, definition: keyed.definition })
    const scratch = async (): Promise<DrillScratch> => {
      const made = scratchOf(fixture)
      const open = async (): Promise<DrillEngine> => {
        const engine = await made.open()
        const views = (names?: readonly string[]): readonly LogView[] =>
          engine
            .views(names)
            .map((view) => (view.definition.id === a.definition.id ? withKey(view) : view))
        return { ...engine, views }
      }
      return { ...made, open, restore: made.restore.bind(made) }
    }
    const report = await rehearse(fixture, { against, scratch })
    expect(report).toMatchObject({ verdict: 'FAIL', hashEqual: true, latestEqual: false })
    expect(report.reasons).toEqual(["The latest view of log 'a' differs from the live engine's."])
    const sameReport = await rehearse(fixture, { against: engineOf(fixture, [live]), scratch })
    expect(sameReport).toMatchObject({ verdict: 'PASS', latestEqual: true })
    expect(sameReport.logs[0]?.latestHash).toMatch(/^[0-9a-f]{64}$/)
  })

  test('against a live engine that differs in one value fails and names the object', async () => {
    const { fixture, a, b, keys } = await sound()
    const report = await rehearse(fixture, {
      against: engineOf(fixture, [liveView(a, 300, 150), liveView(b, 300)].map(liveSide)),
    })
    expect(report).toMatchObject({ verdict: 'FAIL', hashEqual: false })
    expect(report.reasons).toEqual([
      `Object ${keys[1]} differs from the live engine: log 'a', partition 0, offsets [100, 200).`,
    ])
  })

  test.each<[string, (planted: Planted) => Promise<unknown>, (planted: Planted) => string]>([
    [
      'a flipped bit',
      ({ fixture, keys }) => fixture.damage(keys[1] ?? '', flipInBlock),
      ({ keys }) => `Object ${keys[1]} is damaged (checksum)`,
    ],
    [
      'a truncated object',
      ({ fixture, keys }) => fixture.damage(keys[1] ?? '', (bytes) => bytes.slice(0, 64)),
      ({ keys }) =>
        `Object ${keys[1]} is damaged (truncated) near byte 64: log 'a', partition 0, offsets [100, 200).`,
    ],
    [
      'a missing object',
      ({ fixture, keys }) => fixture.store.remove(keys[1] ?? ''),
      ({ keys }) => `Object ${keys[1]} is missing: log 'a', partition 0, offsets [100, 200).`,
    ],
    [
      'an object in the place of another',
      async ({ fixture, b, keys }) => {
        const other = fixture.manifest.state.logs
          .get(b.definition.id)
          ?.partitions[0]?.segments.at(1)
        const bytes = await fixture.store.get(other?.object?.object ?? '')
        await fixture.damage(keys[1] ?? '', () => bytes)
      },
      ({ keys }) => `Object ${keys[1]} is damaged (swapped)`,
    ],
    [
      'a manifest that counts a row too many',
      ({ fixture, a }) =>
        fixture.addSegment(a, 0, 300, fixtureRows(300, 9), {
          change: (entry) => ({ ...entry, endOffset: 310 }),
        }),
      () => `is damaged (row-count): log 'a', partition 0, offsets [300, 310).`,
    ],
    [
      'offsets that are in no object',
      ({ fixture, a }) => fixture.addSegment(a, 0, 350, fixtureRows(350, 10)),
      () => `log 'a', partition 0, offsets [300, 350) is in no object.`,
    ],
    [
      'a stale manifest',
      async ({ fixture }) => {
        const newest = `manifest/${String(fixture.manifest.number).padStart(12, '0')}.edit`
        await fixture.store.remove(newest)
      },
      ({ b }) => {
        void b
        return 'holds records behind all that the manifest names: the manifest is stale.'
      },
    ],
    [
      'a commit that is missing',
      ({ fixture }) => fixture.store.remove('manifest/000000000003.edit'),
      () => '/manifest/000000000003.edit is damaged: commit 3 is missing',
    ],
    [
      'a commit that is damaged',
      ({ fixture }) => fixture.damage('manifest/000000000003.edit', (bytes) => bytes.with(300, 0)),
      () => '/manifest/000000000003.edit is damaged',
    ],
    [
      'a snapshot beyond what is there',
      ({ fixture, a }) =>
        fixture.addSnapshot({
          id: 's',
          name: 'nightly',
          time: 1,
          logs: [
            {
              logId: a.definition.id,
              name: 'a',
              partitions: [{ partition: 0, startOffset: 0, endOffset: 400 }],
            },
          ],
          bytes: 1,
          newBytes: 1,
        }),
      () =>
        `Snapshot 'nightly' holds log 'a', partition 0, offsets [300, 400), which is in no object.`,
    ],
  ])('with %s fails and names it', async (_, plant, expected) => {
    const planted = await sound()
    await plant(planted)
    const report = await rehearse(planted.fixture)
    expect(report.verdict).toBe('FAIL')
    expect(
      report.reasons.some((reason) => reason.includes(expected(planted))),
      report.reasons.join('\n'),
    ).toBe(true)
    expect(drillMarkdown(report, 'x')).toContain('# Restore drill: FAIL')
  })

  test('finds that the engine counts on an object that the manifest lost', async () => {
    const { fixture, a } = await sound()
    const state = fixture.manifest.state.logs.get(a.definition.id)
    if (state === undefined) return expect.unreachable()
    const entry = await fixture.addSegment(a, 0, 300, fixtureRows(300, 10))
    const live = (await openArchive(fixture.store)).view(
      fixture.manifest.state.logs.get(a.definition.id) ?? state,
    )
    await fixture.store.remove(`manifest/${String(fixture.manifest.number).padStart(12, '0')}.edit`)
    const report = await rehearse(fixture, { against: engineOf(fixture, [liveSide(live)]) })
    expect(report.reasons.join('\n')).toContain(
      `offsets [300, 310) in object ${entry.object?.object ?? ''}`,
    )
  })

  test('takes segments that were merged since the engine was asked for the same records', async () => {
    const { fixture } = await sound()
    const sides = (await openArchive(fixture.store)).views().map(liveSide)
    const asked = sides.map((side) => ({
      ...side,
      partitions: side.partitions.map((partition) => {
        const [first] = partition.objects
        const endOffset = partition.objects.at(-1)?.endOffset ?? 0
        return first === undefined
          ? partition
          : { ...partition, objects: [{ ...first, endOffset, sha256: '00', object: 'gone' }] }
      }),
    }))
    expect(
      asked.some(({ partitions }) => partitions.some(({ objects }) => objects.length > 0)),
    ).toBe(true)
    const report = await rehearse(fixture, { against: engineOf(fixture, asked) })
    expect(report.reasons).toEqual([])
  })

  test('runs checks and fails on a wrong answer and on none', async () => {
    const { fixture } = await sound()
    const answers = { 'SELECT 1': [[{ b: 1, a: 2 }]] }
    const checks = [
      { sql: 'SELECT 1', expected: [[{ a: 2, b: 1 }]] },
      { sql: 'SELECT 1', expected: [[3]] },
      { sql: 'SELECT 2', expected: [[2]] },
    ]
    const report = await rehearse(fixture, {
      scratch: async () => scratchOf(fixture, answers),
      checks,
    })
    expect(report.checks.map(({ passed }) => passed)).toEqual([true, false, false])
    expect(report.reasons).toHaveLength(2)
    expect(report.verdict).toBe('FAIL')
  })

  test('of an archive without records proves nothing and fails', async () => {
    const report = await rehearse(await ArchiveFixture.create())
    expect(report).toMatchObject({
      verdict: 'FAIL',
      reasons: ['The archive holds no records, so nothing was proved.'],
    })
  })

  test('throws when there is no archive or the store is away, and cleans up', async () => {
    const { fixture } = await sound()
    const scratch = scratchOf(fixture)
    scratch.restore = () => Promise.reject(new Error('no network'))
    await expect(rehearse(fixture, { scratch: async () => scratch })).rejects.toThrow('no network')
    expect(scratch.removed).toBe(1)
    for await (const { key } of fixture.store.list('')) await fixture.store.remove(key)
    await expect(rehearse(fixture)).rejects.toMatchObject({ code: 'archive_not_found' })
  })
})
