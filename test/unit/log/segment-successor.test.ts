import { expect, test } from 'vitest'
import type { PartitionState, SegmentEntry } from '../../../src/format/manifest.ts'
import { SegmentEntries } from '../../../src/format/segment-entries.ts'
import { replacedBy, successionOf } from '../../../src/log/segment-successor.ts'
import { segmentEntry } from '../../support/manifests.ts'

function inStore(from: number, to: number, more: Partial<SegmentEntry> = {}): SegmentEntry {
  const entry = segmentEntry(from, to)
  const object = { object: `segments/${from}-${to}`, position: 0, length: entry.length }
  const sha256 = `${from}-${to}`.padEnd(64, '0')
  return { ...entry, appendTimeMin: from, appendTimeMax: to, disk: null, object, sha256, ...more }
}

function archiveOf(segments: readonly SegmentEntry[], startOffset = 0): PartitionState {
  return { startOffset, segments: SegmentEntries.of(segments) }
}

const [FIRST, SECOND] = [inStore(0, 10), inStore(10, 20)]
const OWN = SegmentEntries.of([FIRST, SECOND])

test.each([
  ['an archive that does not know the partition', undefined, 'gone'],
  ['the very object that is missing', archiveOf([FIRST, SECOND]), 'gone'],
  ['a segment of both', archiveOf([inStore(0, 20)]), 'moved'],
  ['a segment that goes on behind', archiveOf([inStore(0, 30)]), 'moved'],
  ['one that holds the half of it', archiveOf([inStore(0, 5), inStore(5, 20)]), 'gone'],
  ['one of other times', archiveOf([inStore(0, 20, { appendTimeMin: 3 })]), 'gone'],
  ['one of another schema', archiveOf([inStore(0, 20, { schemaId: 1 })]), 'gone'],
  ['one without an object', archiveOf([inStore(0, 20, { object: null })]), 'gone'],
  ['a later start', archiveOf([inStore(20, 30)], 20), 'retired'],
  [
    'newer versions that were restored',
    archiveOf([inStore(0, 20, { sparse: { records: 3, latestTo: 20 } })]),
    'moved',
  ],
  [
    'newer versions that were not',
    archiveOf([inStore(0, 20, { sparse: { records: 3, latestTo: 21 } })]),
    'superseded',
  ],
] as const)('of a segment the archive has %3$s: %1$s', (_, archive, kind) => {
  expect(successionOf(archive, OWN, FIRST).kind).toBe(kind)
})

test('a segment with as many records as before is whole, whatever it was compared with', () => {
  const sparse = { records: 4, latestTo: 10 }
  const own = SegmentEntries.of([inStore(0, 10, { sparse }), SECOND])
  const by = inStore(0, 20, { sparse: { records: 14, latestTo: 90 } })
  expect(successionOf(archiveOf([by]), own, inStore(0, 10, { sparse })).kind).toBe('moved')
})

test('it replaces what has exactly its offsets, all of it from the archive', () => {
  expect(replacedBy(OWN, inStore(0, 20))).toEqual([FIRST, SECOND])
  expect(replacedBy(OWN, inStore(0, 10, { sha256: 'f'.repeat(64) }))).toEqual([FIRST])
  expect(replacedBy(OWN, inStore(0, 30))).toBeNull()
  expect(replacedBy(OWN, inStore(5, 20))).toBeNull()
  expect(replacedBy(SegmentEntries.of([FIRST, inStore(11, 20)]), inStore(0, 20))).toBeNull()
  const appended = inStore(10, 20, { object: null })
  expect(replacedBy(SegmentEntries.of([FIRST, appended]), inStore(0, 20))).toBeNull()
})
