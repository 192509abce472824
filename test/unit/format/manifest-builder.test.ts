import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  ManifestBuilder,
  applyEdit,
  applyEdits,
  emptyManifestState,
} from '../../../src/format/manifest-builder.ts'
import type { ManifestEdit, ManifestState, SegmentEntry } from '../../../src/format/manifest.ts'
import { SegmentEntries } from '../../../src/format/segment-entries.ts'
import {
  EVERY_EDIT,
  logDefinition,
  objectAt,
  segmentEntry,
  writer,
} from '../../support/manifests.ts'

const SCHEMA = { id: 0, fields: [{ name: 'at', type: 'timestamp[ms]', nullable: true }] } as const
const ONE_LOG: readonly ManifestEdit[] = [
  { kind: 'engine-created', engineId: 'e' },
  { kind: 'writer-claimed', epoch: 3, writer: writer('w') },
  { kind: 'log-created', log: logDefinition(1), startOffsets: [10] },
  { kind: 'schema-added', logId: 1, schema: SCHEMA },
  added(20, 30),
  { kind: 'checkpoint', walLsn: 100 },
  { kind: 'wal-reached', walLsn: 200 },
]

function added(from: number, to: number, changes: Partial<SegmentEntry> = {}): ManifestEdit {
  return { kind: 'segment-added', logId: 1, partition: 0, segment: segmentEntry(from, to, changes) }
}

function replaced(from: number, to: number, retiredAt: number | null = null): ManifestEdit {
  const segment = segmentEntry(from, to, { sha256: 'c'.repeat(64), object: objectAt(from) })
  return { kind: 'segments-replaced', logId: 1, partition: 0, segment, retiredAt }
}

function retiredKeys(state: ManifestState): readonly unknown[] {
  const { retired = [] } = state.logs.get(1)?.partitions[0] ?? {}
  return retired.map(({ segment, retiredAt }) => [segment.object?.object, retiredAt])
}

function ranges(state: ManifestState): readonly (readonly [number, number])[] {
  return (state.logs.get(1)?.partitions[0]?.segments ?? []).map((segment) => [
    segment.baseOffset,
    segment.endOffset,
  ])
}

describe('applying edits', () => {
  test('leaves the state before unchanged', () => {
    const before = applyEdits(emptyManifestState(), ONE_LOG)
    const after = applyEdits(before, [
      added(30, 40),
      { kind: 'log-created', log: logDefinition(2), startOffsets: [0] },
    ])
    expect(ranges(before)).toEqual([[20, 30]])
    expect(ranges(after)).toEqual([
      [20, 30],
      [30, 40],
    ])
    expect([before.logs.size, after.logs.size]).toEqual([1, 2])
  })

  test('one by one gives what all at once gives', () => {
    const plain = (state: ManifestState): unknown => ({ ...state, logs: [...state.logs] })
    const oneByOne = EVERY_EDIT.reduce(
      (state, edit) => applyEdit(state, edit),
      emptyManifestState(),
    )
    expect(plain(oneByOne)).toEqual(plain(applyEdits(emptyManifestState(), EVERY_EDIT)))
  })

  test('shares the logs and partitions that no edit touches', () => {
    const before = applyEdits(emptyManifestState(), EVERY_EDIT)
    const after = applyEdit(before, added(30, 40))
    expect(after.logs.get(7)).toBe(before.logs.get(7))
    expect(after.logs.get(1)).not.toBe(before.logs.get(1))
  })

  test('a builder goes on after a build without changing what it built', () => {
    const builder = new ManifestBuilder(applyEdits(emptyManifestState(), ONE_LOG))
    builder.apply(added(30, 40))
    const first = builder.build()
    builder.apply(added(40, 50))
    const second = builder.build()
    expect(ranges(first)).toHaveLength(2)
    expect(ranges(second)).toHaveLength(3)
  })

  test('a segment goes where its offsets belong', () => {
    const state = applyEdits(emptyManifestState(), [
      ...ONE_LOG,
      added(40, 50),
      added(10, 20),
      added(30, 40),
    ])
    expect(ranges(state)).toEqual([
      [10, 20],
      [20, 30],
      [30, 40],
      [40, 50],
    ])
  })

  test('the last copy dropped drops the segment', () => {
    const drop: ManifestEdit = {
      kind: 'segment-copy-dropped',
      logId: 1,
      partition: 0,
      baseOffset: 20,
      tier: 'disk',
    }
    expect(ranges(applyEdits(emptyManifestState(), [...ONE_LOG, drop]))).toEqual([])
  })

  test('what lies before a new start is retired, and kept in mind only where it is asked for', () => {
    const two = [
      ...ONE_LOG,
      added(30, 40, { object: objectAt(30) }),
      added(50, 60, { object: objectAt(50) }),
    ]
    const moved = { kind: 'start-moved', logId: 1, partition: 0, startOffset: 45 } as const
    const state = applyEdits(emptyManifestState(), [...two, { ...moved, retiredAt: 7 }])
    expect(state.logs.get(1)?.partitions[0]?.startOffset).toBe(45)
    expect(ranges(state)).toEqual([[50, 60]])
    // What was on disk only is in no object that could be collected.
    expect(retiredKeys(state)).toEqual([[objectAt(30).object, 7]])
    const collected = applyEdit(state, {
      kind: 'segments-collected',
      logId: 1,
      partition: 0,
      locations: [objectAt(30)],
    })
    expect(collected.logs.get(1)?.partitions[0]).not.toHaveProperty('retired')
    const forgotten = applyEdits(emptyManifestState(), [...two, { ...moved, retiredAt: null }])
    expect(retiredKeys(forgotten)).toEqual([])
  })

  test('one segment stands in the place of several', () => {
    const three = [
      ...ONE_LOG,
      added(30, 40, { object: objectAt(30) }),
      added(40, 41),
      added(41, 50),
    ]
    const state = applyEdits(emptyManifestState(), [...three, replaced(20, 41, 7)])
    expect(ranges(state)).toEqual([
      [20, 41],
      [41, 50],
    ])
    expect(retiredKeys(state)).toEqual([[objectAt(30).object, 7]])
  })

  test('the same copy can be recorded twice', () => {
    const location = { object: 'o', position: 0, length: 32 }
    const copied: ManifestEdit = {
      kind: 'segment-copied',
      logId: 1,
      partition: 0,
      baseOffset: 20,
      tier: 'object',
      location,
    }
    const state = applyEdits(emptyManifestState(), [...ONE_LOG, copied, copied])
    expect(state.logs.get(1)?.partitions[0]?.segments.at(0)?.object).toEqual(location)
  })

  const elsewhere = { object: 'other', position: 0, length: 32 }
  test.each<[string, ManifestEdit]>([
    ['the engine is e already', { kind: 'engine-created', engineId: 'f' }],
    ['epoch 3 is claimed already', { kind: 'writer-claimed', epoch: 3, writer: writer('x') }],
    [
      'log id 1 was given before',
      { kind: 'log-created', log: logDefinition(1), startOffsets: [0] },
    ],
    [
      '2 partitions need',
      { kind: 'log-created', log: logDefinition(2, { partitions: 2 }), startOffsets: [0] },
    ],
    ['there is no log 9', { kind: 'log-deleted', logId: 9, deletedAt: null }],
    ['the next schema id is 1', { kind: 'schema-added', logId: 1, schema: { ...SCHEMA, id: 2 } }],
    ['column at is gone', { kind: 'schema-added', logId: 1, schema: { id: 1, fields: [] } }],
    [
      'column at was timestamp[ms], not utf8',
      {
        kind: 'schema-added',
        logId: 1,
        schema: { id: 1, fields: [{ name: 'at', type: 'utf8', nullable: true }] },
      },
    ],
    ['the partition starts at 10', added(9, 11)],
    ['at least one record', added(30, 30)],
    ['has some of its offsets', added(29, 31)],
    ['has some of its offsets', added(15, 21)],
    ['has some of its offsets', added(15, 40)],
    ['there is no schema 1', added(30, 40, { schemaId: 1 })],
    ['statistics of every column', added(30, 40, { statistics: [] })],
    ['at least one copy', added(30, 40, { disk: null })],
    ['a copy has the length', added(30, 40, { length: 33 })],
    [
      'there is no partition 1',
      { kind: 'segment-added', logId: 1, partition: 1, segment: segmentEntry(30, 40) },
    ],
    [
      'it has a copy in',
      {
        kind: 'segment-copied',
        logId: 1,
        partition: 0,
        baseOffset: 20,
        tier: 'disk',
        location: elsewhere,
      },
    ],
    [
      'no segment begins at 21',
      {
        kind: 'segment-copied',
        logId: 1,
        partition: 0,
        baseOffset: 21,
        tier: 'disk',
        location: elsewhere,
      },
    ],
    [
      'no copy on tier object',
      { kind: 'segment-copy-dropped', logId: 1, partition: 0, baseOffset: 20, tier: 'object' },
    ],
    [
      'the partition starts at 10',
      { kind: 'start-moved', logId: 1, partition: 0, startOffset: 10, retiredAt: null },
    ],
    [
      'the segment that ends at 30 would be cut',
      { kind: 'start-moved', logId: 1, partition: 0, startOffset: 25, retiredAt: null },
    ],
    ['no segment holds 19', replaced(19, 30)],
    ['segments end at 30, not at 31', replaced(20, 31)],
    ['segments end at 40, not at 50', replaced(40, 50)],
    [
      'it has no object copy',
      {
        kind: 'segment-retired',
        logId: 1,
        partition: 0,
        segment: segmentEntry(5, 6),
        retiredAt: 1,
      },
    ],
    [
      'a, 0 is of no retired segment',
      {
        kind: 'segments-collected',
        logId: 1,
        partition: 0,
        locations: [{ object: 'a', position: 0, length: 1 }],
      },
    ],
    ['the checkpoint is at 100 already', { kind: 'checkpoint', walLsn: 99 }],
    ['the WAL was at 200 before', { kind: 'wal-reached', walLsn: 199 }],
    ['there is no snapshot s', { kind: 'snapshot-deleted', id: 's' }],
  ])('refuses what does not fit: %s', (reason, edit) => {
    const state = applyEdits(emptyManifestState(), ONE_LOG)
    expect(() => applyEdit(state, edit)).toThrow(
      expect.objectContaining({
        code: 'manifest_corrupt',
        message: expect.stringContaining(reason) as string,
      }),
    )
  })

  test('an id of a deleted log is never given again, in the same builder or later', () => {
    const created: ManifestEdit = { kind: 'log-created', log: logDefinition(2), startOffsets: [0] }
    const deleted: ManifestEdit = { kind: 'log-deleted', logId: 2, deletedAt: null }
    const state = applyEdits(emptyManifestState(), [...ONE_LOG, created, deleted])
    expect(state.logs.has(2)).toBe(false)
    expect(() => applyEdit(state, created)).toThrow('log id 2 was given before')
    expect(() => applyEdits(emptyManifestState(), [...ONE_LOG, created, deleted, deleted])).toThrow(
      'there is no log 2',
    )
  })

  test('logs may come in any order of ids', () => {
    const create = (id: number): ManifestEdit => ({
      kind: 'log-created',
      log: logDefinition(id),
      startOffsets: [0],
    })
    const state = applyEdits(emptyManifestState(), [create(5), create(2)])
    expect([[...state.logs.keys()], state.nextLogId]).toEqual([[5, 2], 6])
  })

  test('segments in any order never overlap and stay in offset order', () => {
    const range = fc
      .tuple(fc.nat(60), fc.integer({ min: 1, max: 10 }))
      .map(([from, count]) => [from + 10, from + 10 + count] as const)
    fc.assert(
      fc.property(fc.array(range, { maxLength: 30 }), (wanted) => {
        let state = applyEdits(emptyManifestState(), ONE_LOG)
        const taken: [number, number][] = [[20, 30]]
        for (const [from, to] of wanted) {
          const overlaps = taken.some(([start, end]) => from < end && start < to)
          if (overlaps) {
            expect(() => applyEdit(state, added(from, to))).toThrow('has some of its offsets')
            continue
          }
          state = applyEdit(state, added(from, to))
          taken.push([from, to])
        }
        expect(ranges(state)).toEqual(taken.sort(([a], [b]) => a - b))
      }),
    )
  })

  test('a hundred thousand logs do not make a small commit slow', () => {
    const edits: ManifestEdit[] = [...ONE_LOG]
    for (let id = 2; id <= 100_000; id++)
      edits.push({ kind: 'log-created', log: logDefinition(id), startOffsets: [0] })
    let state = applyEdits(emptyManifestState(), edits)
    expect(state.logs.size).toBe(100_000)
    expect([...state.logs.keys()].every((id, index) => id === index + 1)).toBe(true)
    for (let round = 0; round < 1000; round++)
      state = applyEdit(state, added(100 + round, 101 + round))
    expect(ranges(state)).toHaveLength(1001)
  })
})

test('the segment of an offset is found, and the place where it would be', () => {
  const segments = SegmentEntries.of([
    segmentEntry(0, 10),
    segmentEntry(10, 20),
    segmentEntry(30, 40),
  ])
  expect([0, 9, 10, 25, 39, 40].map((offset) => segments.indexAt(offset))).toEqual([
    0, 0, 1, 2, 2, 3,
  ])
})
