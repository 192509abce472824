import { describe, expect, test } from 'vitest'
import type { Snapshot } from '../../../src/format/manifest.ts'
import { lackOf } from '../../../src/snapshot/check.ts'
import { compareSnapshots } from '../../../src/snapshot/compare.ts'
import { dueSnapshots } from '../../../src/snapshot/retention.ts'
import { ArchiveFixture, type FixtureLog, fixtureRows } from '../../support/archive-fixture.ts'

const TYPES = { at: 'timestamp[ms]', n: 'int32', text: 'utf8' } as const

function snapshot(
  name: string,
  time: number,
  ranges: ReadonlyArray<readonly [log: FixtureLog, from: number, to: number]> = [],
): Snapshot {
  return {
    id: `id-${name}`,
    name,
    time,
    logs: ranges.map(([{ definition }, startOffset, endOffset]) => ({
      logId: definition.id,
      name: definition.name,
      partitions: [{ partition: 0, startOffset, endOffset }],
    })),
    bytes: 0,
    newBytes: 0,
  }
}

describe('retention', () => {
  const all = ['auto-1', 'named', 'auto-2', 'auto-3', 'auto-4'].map((name, index) =>
    snapshot(name, index * 10),
  )
  const due = (keep: number | null, maxAge: number | null, now = 40): readonly string[] =>
    dueSnapshots(all, { keep, maxAge }, now).map(({ name }) => name)

  test('the oldest go when there are too many; what was named stays', () => {
    expect(due(2, null)).toEqual(['auto-1', 'auto-2'])
    expect(due(4, null)).toEqual([])
  })

  test('what is too old goes, and the newest never', () => {
    expect(due(null, 15)).toEqual(['auto-1', 'auto-2'])
    expect(due(null, 1, 1_000_000)).toEqual(['auto-1', 'auto-2', 'auto-3'])
    expect(due(1, 1, 1_000_000)).toEqual(['auto-1', 'auto-2', 'auto-3'])
  })

  test('the order is that of their making, whatever a clock said', () => {
    const back = [snapshot('auto-a', 500), snapshot('auto-b', 100)]
    expect(dueSnapshots(back, { keep: 1, maxAge: null }, 100).map(({ name }) => name)).toEqual([
      'auto-a',
    ])
  })

  test('nothing goes when nothing is said', () => {
    expect(due(null, null)).toEqual([])
  })
})

describe('diff', () => {
  test('records and bytes that one has and the other has not', async () => {
    const fixture = await ArchiveFixture.create()
    const log = await fixture.addLog('log', TYPES)
    const gone = await fixture.addLog('gone', TYPES)
    const lengths: number[] = []
    for (let from = 0; from < 30; from += 10)
      lengths.push((await fixture.addSegment(log, 0, from, fixtureRows(from, 10))).length)
    const only = await fixture.addSegment(gone, 0, 0, fixtureRows(0, 5))
    const before = snapshot('before', 1, [
      [log, 0, 15],
      [gone, 0, 5],
    ])
    const after = snapshot('after', 2, [[log, 10, 30]])
    const diff = compareSnapshots(fixture.manifest.state, before, after)
    expect(diff).toMatchObject({
      from: { name: 'before', id: 'id-before', time: '1970-01-01T00:00:00.001Z' },
      to: { name: 'after' },
      records: { added: 15, removed: 15 },
      bytes: { added: lengths[2], removed: (lengths[0] ?? 0) + only.length },
    })
    expect(diff.logs).toEqual([
      {
        name: 'gone',
        change: 'removed',
        partitions: [
          {
            partition: 0,
            from: { startOffset: 0, endOffset: 5 },
            to: null,
            records: { added: 0, removed: 5 },
          },
        ],
      },
      {
        name: 'log',
        change: 'changed',
        partitions: [
          {
            partition: 0,
            from: { startOffset: 0, endOffset: 15 },
            to: { startOffset: 10, endOffset: 30 },
            records: { added: 15, removed: 10 },
          },
        ],
      },
    ])
    const same = compareSnapshots(fixture.manifest.state, after, after)
    expect(same).toMatchObject({
      records: { added: 0, removed: 0 },
      bytes: { added: 0, removed: 0 },
      logs: [{ name: 'log', change: 'same' }],
    })
  })
})

describe('whether one can be restored', () => {
  async function filled() {
    const fixture = await ArchiveFixture.create()
    const log = await fixture.addLog('log', TYPES)
    const keys: string[] = []
    for (let from = 0; from < 30; from += 10) {
      const { object } = await fixture.addSegment(log, 0, from, fixtureRows(from, 10))
      keys.push(object?.object ?? '')
    }
    const pinned = snapshot('all', 1, [[log, 0, 30]])
    const known = new Map<string, number>()
    const lack = () => lackOf(fixture.store, fixture.manifest.state, pinned, known)
    return { fixture, log, keys, lack, known }
  }

  test('nothing lacks; what was found is not asked after again', async () => {
    const { fixture, keys, lack, known } = await filled()
    expect(await lack()).toBeNull()
    expect([...known.keys()].sort()).toEqual([...keys].sort())
    await fixture.store.remove(keys[1] ?? '')
    expect(await lack()).toBeNull()
    known.clear()
    expect(await lack()).toEqual({ reason: `${keys[1]} is missing`, object: keys[1] })
  })

  test('an object that is too short', async () => {
    const { fixture, keys, lack } = await filled()
    await fixture.damage(keys[2] ?? '', (bytes) => bytes.subarray(0, bytes.length - 1))
    expect((await lack())?.reason).toBe(`${keys[2]} is shorter than it was written`)
  })

  test('offsets in no segment, and a log that is gone', async () => {
    const { fixture, log } = await filled()
    const behind = snapshot('behind', 1, [[log, 0, 31]])
    expect(await lackOf(fixture.store, fixture.manifest.state, behind, new Map())).toEqual({
      reason: "offsets 30 to 31 of log 'log', partition 0, are in no segment",
      object: null,
    })
    await fixture.manifest.commit([
      { kind: 'log-deleted', logId: log.definition.id, deletedAt: null },
    ])
    expect(await lackOf(fixture.store, fixture.manifest.state, behind, new Map())).toMatchObject({
      reason: "log 'log' is no longer in the manifest",
    })
  })
})
