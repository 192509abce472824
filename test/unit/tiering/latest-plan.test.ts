import { expect, test } from 'vitest'
import { SegmentEntries } from '../../../src/format/segment-entries.ts'
import type { SegmentEntry } from '../../../src/format/segment-entry.ts'
import { agedPrefix, latestRunDue } from '../../../src/tiering/latest-plan.ts'
import { segmentEntry } from '../../support/manifests.ts'

const ON_DISK = { onDisk: true, archived: false }

/** Segments of ten offsets, one after the other. */
function segments(...changes: readonly Partial<SegmentEntry>[]): SegmentEntries {
  return SegmentEntries.of(
    changes.map((change, index) => segmentEntry(index * 10, index * 10 + 10, change)),
  )
}

const due = (given: Partial<Parameters<typeof latestRunDue>[0]>): number | null =>
  latestRunDue({ segments: segments({}, {}, {}), compaction: ON_DISK, hotStart: 1_000, ...given })

test('a look is due at all that is aged, and after it once as many records came again', () => {
  expect(due({})).toBe(30)
  expect(due({ look: { lookedTo: 10, triedTo: 10 } })).toBe(30)
  expect(due({ look: { lookedTo: 20, triedTo: 20 } })).toBeNull()
  expect(due({ look: { lookedTo: 30, triedTo: 30 } })).toBeNull()
  expect(due({ segments: SegmentEntries.empty })).toBeNull()
})

test('segments that were written again say how far the last look was, and have fewer records', () => {
  const sparse = { records: 2, latestTo: 20 }
  expect(due({ segments: segments({ sparse }, {}, {}) })).toBeNull()
  expect(due({ segments: segments({ sparse }, { sparse }, {}) })).toBe(30)
})

test('what RAM still has, and what may not be compacted, ends the prefix', () => {
  expect(due({ hotStart: 29 })).toBe(20)
  expect(due({ hotStart: 0 })).toBeNull()
  const object = { object: 'key', position: 0, length: 32 }
  const mixed = segments({ object }, {}, {})
  expect(due({ segments: mixed, compaction: { onDisk: false, archived: true } })).toBe(10)
  expect(due({ segments: mixed })).toBeNull()
})

test('what the archive has goes for nothing that only the disk has, where that is archived in time', () => {
  const object = { object: 'key', position: 0, length: 32 }
  const mixed = segments({ object }, { object }, {})
  const compaction = { onDisk: true, archived: true }
  expect(due({ segments: mixed, compaction: { ...compaction, archives: true } })).toBe(20)
  expect(due({ segments: mixed, compaction })).toBe(30)
  const onDisk = segments({}, {}, {})
  expect(due({ segments: onDisk, compaction: { ...compaction, archives: true } })).toBe(30)
})

test('segments that a fork shares are read, and none is due for them alone', () => {
  expect(due({ compaction: { ...ON_DISK, from: 20 } })).toBe(30)
  expect(due({ compaction: { ...ON_DISK, from: 30 } })).toBeNull()
})

test('the same list is looked at once', () => {
  const list = segments({}, {})
  const facts = { segments: list, compaction: ON_DISK, hotStart: 100 }
  expect(agedPrefix(facts)).toBe(agedPrefix(facts))
  expect(agedPrefix({ ...facts, hotStart: 10 })).toMatchObject({ end: 10, fresh: 10, looked: 0 })
})
