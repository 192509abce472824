import { describe, expect, test } from 'vitest'
import { isStratalogError } from '../../../src/base/errors.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { decodeIdentity } from '../../../src/format/identity.ts'
import { loadManifest } from '../../../src/log/manifest-chain.ts'
import { manifestFilesInDirectory } from '../../../src/log/manifest-files.ts'
import { createSnapshot } from '../../../src/snapshot/create.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import {
  ArchiveFixture,
  FIXTURE_ENGINE_ID,
  FIXTURE_TYPES,
  type FixtureLog,
  fixtureRows,
  flipInBlock,
} from '../../support/archive-fixture.ts'
import { hashesIn as hashes, restoreInto } from '../../support/restored-directory.ts'
import { dyingAfter } from '../../support/dying-file-system.ts'
import { fullAfter } from '../../support/full-file-system.ts'

async function twoLogs(): Promise<{
  fixture: ArchiveFixture
  a: FixtureLog
  b: FixtureLog
  keys: string[]
}> {
  const fixture = await ArchiveFixture.create()
  const a = await fixture.addLog('a', FIXTURE_TYPES)
  const b = await fixture.addLog('b', FIXTURE_TYPES, { partitions: 2 })
  const keys: string[] = []
  for (const base of [0, 100, 200]) {
    const entry = await fixture.addSegment(a, 0, base, fixtureRows(base, 100))
    keys.push(entry.object?.object ?? '')
    await fixture.addSegment(b, 0, base, fixtureRows(base, 100))
    await fixture.addSegment(b, 1, base, fixtureRows(base + 1000, 100))
  }
  return { fixture, a, b, keys }
}

describe('a restore', () => {
  test('of a whole archive is the same engine with the same records', async () => {
    const { fixture, a, b } = await twoLogs()
    const fileSystem = new MemoryFileSystem()
    const result = await restoreInto(fixture, fileSystem)
    expect(result).toMatchObject({
      plan: { logs: 2, segments: 9, requests: 9 },
      engineId: FIXTURE_ENGINE_ID,
      records: 900,
      verified: true,
      missing: [],
      corrupt: [],
      gaps: [],
    })
    expect(await hashes(fileSystem)).toEqual({ a: fixture.hash(a), b: fixture.hash(b) })
    const names = await fileSystem.list('data')
    expect(names).toEqual(['manifest', 'newest.000000000001', 'segments', 'stratalog.json', 'tmp'])
    expect(decodeIdentity(await fileSystem.read('data/stratalog.json'), '').engineId).toBe(
      FIXTURE_ENGINE_ID,
    )
    const { position } = await loadManifest(
      manifestFilesInDirectory(fileSystem, 'data'),
      silentLogger,
    )
    expect(position.state.nextLogId).toBe(3)
    expect(position.state.logs.get(1)?.partitions[0]?.segments.at(0)?.object).not.toBeNull()
  })

  test('survives a power cut the moment it is done', async () => {
    const { fixture, a, b } = await twoLogs()
    for (let seed = 1; seed < 10; seed++) {
      const fileSystem = new MemoryFileSystem({ random: seededRandom(seed) })
      await restoreInto(fixture, fileSystem)
      fileSystem.crash()
      expect(await hashes(fileSystem)).toEqual({ a: fixture.hash(a), b: fixture.hash(b) })
    }
  })

  test('cut at offsets, inside segments too, is another engine without object copies', async () => {
    const { fixture, a, b } = await twoLogs()
    for (const offset of [0, 50, 100, 199, 250]) {
      const fileSystem = new MemoryFileSystem()
      const toOffsets = [{ log: 'a', partition: 0, offset }]
      const result = await restoreInto(fixture, fileSystem, { toOffsets })
      expect([result.records, result.engineId]).toEqual([600 + offset, 'new-engine'])
      const expected = {
        a: fixture.hash(a, (record) => record.offset < offset),
        b: fixture.hash(b),
      }
      expect(await hashes(fileSystem)).toEqual(expected)
      const { position } = await loadManifest(
        manifestFilesInDirectory(fileSystem, 'data'),
        silentLogger,
      )
      const segments = [...position.state.logs.values()].flatMap((log) =>
        log.partitions.flatMap((part) => [...part.segments]),
      )
      expect(segments.every((segment) => segment.object === null && segment.disk !== null)).toBe(
        true,
      )
    }
  })

  test('of some logs under other names', async () => {
    const { fixture, b } = await twoLogs()
    const fileSystem = new MemoryFileSystem()
    await restoreInto(fixture, fileSystem, { logs: ['b'], rename: { b: 'copy' } })
    expect(await hashes(fileSystem)).toEqual({ copy: fixture.hash(b) })
  })

  test('of a snapshot gives what it pinned', async () => {
    const { fixture, a, b } = await twoLogs()
    const { state } = fixture.manifest
    const pinned = [a, b].map(({ definition }) => ({
      definition,
      partitions: Array.from({ length: definition.partitions }, (_, partition) => ({
        partition,
        startOffset: 0,
        endOffset: 150,
      })),
    }))
    const request = { id: 's1', name: 'nightly', time: 5, pinned, newBytes: 0 }
    const { snapshot, edits } = createSnapshot(state, request)
    await fixture.manifest.commit(edits)
    await fixture.addSegment(a, 0, 300, fixtureRows(300, 10))
    const fileSystem = new MemoryFileSystem()
    await restoreInto(fixture, fileSystem, { snapshot: 'nightly' })
    const keep = ({ offset }: { offset: number }): boolean => offset < 150
    expect(await hashes(fileSystem)).toEqual({ a: fixture.hash(a, keep), b: fixture.hash(b, keep) })
    expect(snapshot.bytes).toBeGreaterThan(0)
    expect(() => createSnapshot(fixture.manifest.state, request)).toThrow(
      expect.objectContaining({ code: 'snapshot_exists' }),
    )
    const tooFar = [
      { definition: a.definition, partitions: [{ partition: 0, startOffset: 0, endOffset: 999 }] },
    ]
    expect(() =>
      createSnapshot(state, { ...request, id: 's2', name: 'x', pinned: tooFar }),
    ).toThrow(expect.objectContaining({ code: 'offset_gap' }))
    await expect(
      restoreInto(fixture, new MemoryFileSystem(), { snapshot: 'no' }),
    ).rejects.toMatchObject({ code: 'snapshot_not_found' })
  })

  test('of a moment takes what had been appended by then', async () => {
    const fixture = await ArchiveFixture.create()
    const log = await fixture.addLog(
      'l',
      { n: 'int32', _time: 'timestamp[ms]' },
      { timeColumn: null },
    )
    const start = 1_700_000_000_000
    for (const base of [0, 100]) {
      const rows = Array.from({ length: 100 }, (_, index) => ({
        n: base + index,
        _time: new Date(start + base + index),
      }))
      await fixture.addSegment(log, 0, base, rows)
    }
    for (const [at, count] of [
      [start - 1, 0],
      [start, 1],
      [start + 42, 43],
      [start + 99, 100],
      [start + 150, 151],
      [start + 999, 200],
    ] as const) {
      const fileSystem = new MemoryFileSystem()
      const result = await restoreInto(fixture, fileSystem, { at })
      expect([at - start, result.records]).toEqual([at - start, count])
    }
  })

  test.each<
    [string, (fixture: ArchiveFixture, key: string) => Promise<unknown>, Record<string, unknown>]
  >([
    [
      'missing',
      (f, key) => f.store.remove(key),
      { missing: [{ log: 'a', partition: 0, from: 100, to: 200 }] },
    ],
    [
      'truncated',
      (f, key) => f.damage(key, (bytes) => bytes.slice(0, 99)),
      { corrupt: [{ from: 100, to: 200, kind: 'truncated', position: 99 }] },
    ],
    [
      'flipped',
      (f, key) => f.damage(key, flipInBlock),
      { corrupt: [{ log: 'a', from: 100, to: 200, kind: 'checksum' }] },
    ],
  ])(
    'leaves out a segment that is %s, says so, and restores the rest',
    async (_, plant, expected) => {
      const { fixture, a, b, keys } = await twoLogs()
      await plant(fixture, keys[1] ?? '')
      const fileSystem = new MemoryFileSystem()
      const result = await restoreInto(fixture, fileSystem)
      expect(result).toMatchObject({ verified: false, records: 800, ...expected })
      expect([...result.missing, ...result.corrupt].map(({ key }) => key)).toEqual([keys[1]])
      const left = fixture.hash(a, ({ offset }) => offset < 100 || offset >= 200)
      expect(await hashes(fileSystem)).toEqual({ a: left, b: fixture.hash(b) })
    },
  )

  test('finds swapped objects and a manifest that counts wrong', async () => {
    const { fixture, a, keys } = await twoLogs()
    const [first = '', second = ''] = keys
    const bytes = await fixture.store.get(first)
    await fixture.damage(second, () => bytes)
    await fixture.addSegment(a, 0, 300, fixtureRows(300, 10), {
      change: (entry) => ({ ...entry, endOffset: 312 }),
    })
    const result = await restoreInto(fixture, new MemoryFileSystem())
    expect(
      result.corrupt
        .map(({ from, to, kind }) => [from, to, kind])
        .toSorted(([x], [y]) => Number(x) - Number(y)),
    ).toEqual([
      [100, 200, expect.stringMatching(/swapped|truncated/)],
      [300, 312, 'row-count'],
    ])
  })
})

describe('the directory of a restore', () => {
  test('that is not empty is refused and left alone', async () => {
    const { fixture } = await twoLogs()
    const fileSystem = new MemoryFileSystem()
    await fileSystem.makeDirectory('data')
    await fileSystem.putIfAbsent('data/notes.txt', new Uint8Array(1))
    await expect(restoreInto(fixture, fileSystem)).rejects.toMatchObject({
      code: 'directory_not_empty',
    })
    expect(await fileSystem.list('data')).toEqual(['notes.txt'])
  })

  test('of a finished restore is refused', async () => {
    const { fixture } = await twoLogs()
    const fileSystem = new MemoryFileSystem()
    await restoreInto(fixture, fileSystem)
    await expect(restoreInto(fixture, fileSystem)).rejects.toMatchObject({
      code: 'directory_not_empty',
    })
  })

  test('with nothing but the unfinished marker of a killed restore may be restored into', async () => {
    const { fixture, a, b } = await twoLogs()
    const fileSystem = new MemoryFileSystem()
    await fileSystem.makeDirectory('data')
    await fileSystem.create('data/lock')
    await fileSystem.create('data/restoring.json~0.tmp')
    await restoreInto(fixture, fileSystem)
    expect(await hashes(fileSystem)).toEqual({ a: fixture.hash(a), b: fixture.hash(b) })
  })

  test('of a restore that was killed anywhere is finished by the same, and refused by another', async () => {
    const { fixture, a, b } = await twoLogs()
    let kills = 0
    for (let steps = 1; ; steps++) {
      const disk = new MemoryFileSystem({ random: seededRandom(steps) })
      const isKilled = await restoreInto(fixture, dyingAfter(disk, steps)).then(
        () => false,
        () => true,
      )
      if (!isKilled) break
      kills++
      disk.crash()
      const names = await disk.list('data').catch(() => [])
      const other = await restoreInto(fixture, disk, { logs: ['b'] }).then(
        () => null,
        (error: unknown) => (isStratalogError(error) ? error.code : String(error)),
      )
      // Killed before its first name was durable, it left nothing behind, and another may begin.
      expect([null, 'directory_not_empty']).toContain(other)
      expect(other === null, `killed after step ${steps}`).toBe(names.length === 0)
      if (other === null) continue
      const again = await restoreInto(fixture, disk).catch((error: unknown) => error)
      if (isStratalogError(again)) {
        expect(again.code).toBe('directory_not_empty')
        expect(await disk.list('data')).toContain('stratalog.json')
      }
      expect(await hashes(disk), `killed after step ${steps}`).toEqual({
        a: fixture.hash(a),
        b: fixture.hash(b),
      })
    }
    expect(kills).toBeGreaterThan(50)
  })

  test('that finds the disk full says so, is not taken for done, and is finished when there is room', async () => {
    const { fixture, a, b } = await twoLogs()
    const whole = { a: fixture.hash(a), b: fixture.hash(b) }
    let failures = 0
    for (let bytes = 0; ; bytes += 1_500) {
      const disk = new MemoryFileSystem({ random: seededRandom(bytes) })
      const outcome = await restoreInto(fixture, fullAfter(disk, bytes)).catch(
        (error: unknown) => error,
      )
      if (!isStratalogError(outcome)) break
      failures++
      expect(outcome.code).toBe('disk_full')
      expect(await disk.list('data')).not.toContain('stratalog.json')
      await restoreInto(fixture, disk)
      expect(await hashes(disk), `full after ${bytes} bytes`).toEqual(whole)
      expect(await disk.list('data/tmp')).toEqual([])
    }
    expect(failures).toBeGreaterThan(10)
  })
})
