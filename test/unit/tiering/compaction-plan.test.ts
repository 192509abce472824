import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SEGMENT_BYTES_TARGET } from '../../../src/format/limits.ts'
import type { SegmentEntry } from '../../../src/format/manifest.ts'
import { SegmentEntries } from '../../../src/format/segment-entries.ts'
import {
  type CompactionRun,
  agedRun,
  compactableRuns,
  compactionDue,
} from '../../../src/tiering/compaction-plan.ts'
import { objectAt, segmentEntry } from '../../support/manifests.ts'

const KIB = 1024
const ALL = { onDisk: true, archived: true }

function segments(sizes: readonly number[], changes: Partial<SegmentEntry> = {}): SegmentEntry[] {
  return sizes.map((rawBytes, index) => segmentEntry(index, index + 1, { rawBytes, ...changes }))
}

function due(entries: readonly SegmentEntry[]): CompactionRun | null {
  return compactionDue(SegmentEntries.of(entries), ALL)
}

/** What a merge leaves. */
function merged(entries: readonly SegmentEntry[], { from, to }: CompactionRun): SegmentEntry[] {
  const inside = entries.filter(
    ({ baseOffset, endOffset }) => baseOffset >= from && endOffset <= to,
  )
  const rawBytes = inside.reduce((sum, entry) => sum + entry.rawBytes, 0)
  return [
    ...entries.filter(({ endOffset }) => endOffset <= from),
    segmentEntry(from, to, { rawBytes }),
    ...entries.filter(({ baseOffset }) => baseOffset >= to),
  ]
}

describe('a compaction by itself', () => {
  test('takes eight neighbours of about one size, the newest first', () => {
    expect(due(segments(Array.from({ length: 7 }, () => KIB)))).toBeNull()
    expect(due(segments(Array.from({ length: 8 }, () => KIB)))).toEqual({ from: 0, to: 8 })
    expect(due(segments(Array.from({ length: 20 }, () => KIB)))).toEqual({ from: 12, to: 20 })
  })

  test('leaves what a much bigger segment lies between', () => {
    const sizes = [
      ...Array.from({ length: 4 }, () => KIB),
      4_096 * KIB,
      ...Array.from({ length: 4 }, () => KIB),
    ]
    expect(due(segments(sizes))).toBeNull()
  })

  test('makes no segment that is bigger than a full one', () => {
    const each = SEGMENT_BYTES_TARGET / 4
    expect(due(segments(Array.from({ length: 30 }, () => each)))).toBeNull()
  })

  test.each<[string, Partial<SegmentEntry>]>([
    ['another schema', { schemaId: 1 }],
    ['an object copy', { object: objectAt(4) }],
    ['no disk copy', { disk: null, object: objectAt(4) }],
    ['another format', { format: 'parquet' }],
  ])('does not join a segment with %s', (_, changes) => {
    const entries = segments(Array.from({ length: 8 }, () => KIB))
    const other = entries.with(4, segmentEntry(4, 5, { rawBytes: KIB, ...changes }))
    expect(due(other)).toBeNull()
  })

  test('leaves what the archive may know of by itself', () => {
    const entries = segments(Array.from({ length: 8 }, () => KIB))
    const scope = { onDisk: false, archived: true }
    expect(compactionDue(SegmentEntries.of(entries), scope)).toBeNull()
    const archived = segments(
      Array.from({ length: 8 }, () => KIB),
      { object: objectAt(0) },
    )
    expect(compactionDue(SegmentEntries.of(archived), scope)).toEqual({ from: 0, to: 8 })
    const without = { onDisk: true, archived: false }
    expect(compactionDue(SegmentEntries.of(archived), without)).toBeNull()
    expect(compactableRuns(archived, without)).toEqual([])
  })

  test('does not reach over a hole', () => {
    const entries = segments(Array.from({ length: 9 }, () => KIB))
    expect(due(entries.toSpliced(4, 1))).toBeNull()
  })

  test('ends, writes a record a few times at most, and leaves few small segments', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 200 * KIB }), { maxLength: 150 })
    fc.assert(
      fc.property(sizes, (given) => {
        let entries: SegmentEntry[] = []
        let written = 0
        for (const [index, rawBytes] of given.entries()) {
          entries.push(segmentEntry(index, index + 1, { rawBytes }))
          for (let run = due(entries); run !== null; run = due(entries)) {
            const after = merged(entries, run)
            expect(after.length).toBe(entries.length - 7)
            written += after.find(({ baseOffset }) => baseOffset === run?.from)?.rawBytes ?? 0
            entries = after
          }
        }
        const total = given.reduce((sum, bytes) => sum + bytes, 0)
        expect(entries.reduce((sum, { rawBytes }) => sum + rawBytes, 0)).toBe(total)
        expect(written).toBeLessThanOrEqual(total * 4)
        expect(due(entries)).toBeNull()
      }),
    )
  })
})

test('by hand every run that fits one segment is taken', () => {
  const sizes = [KIB, 2_048 * KIB, SEGMENT_BYTES_TARGET, KIB, KIB]
  expect(compactableRuns(segments(sizes), ALL)).toEqual([
    { from: 0, to: 2 },
    { from: 3, to: 5 },
  ])
  expect(compactableRuns(segments([KIB]), ALL)).toEqual([])
})

describe('an aged segment', () => {
  const young = (from: number, changes: Partial<SegmentEntry> = {}): SegmentEntry =>
    segmentEntry(from, from + 1, { rawBytes: KIB, appendTimeMax: from, ...changes })
  const list = (entries: readonly SegmentEntry[], before: number): CompactionRun | null =>
    agedRun(SegmentEntries.of(entries), ALL, ({ appendTimeMax }) => appendTimeMax <= before)

  test('becomes Parquet with the neighbours that are as old, alone where there is none', () => {
    const entries = [0, 1, 2, 3].map((from) => young(from))
    expect(list(entries, -1)).toBeNull()
    expect(list(entries, 0)).toEqual({ from: 0, to: 1, format: 'parquet' })
    expect(list(entries, 2)).toEqual({ from: 0, to: 3, format: 'parquet' })
    const kept = entries.with(0, young(0, { format: 'parquet' }))
    expect(list(kept, 2)).toEqual({ from: 1, to: 3, format: 'parquet' })
    const between = entries.with(1, young(1, { format: 'parquet' }))
    expect(list(between, 3)).toEqual({ from: 0, to: 1, format: 'parquet' })
  })

  test('is not made bigger than a full one', () => {
    const rawBytes = SEGMENT_BYTES_TARGET / 2
    const entries = [0, 1, 2].map((from) => young(from, { rawBytes }))
    expect(list(entries, 9)).toEqual({ from: 0, to: 2, format: 'parquet' })
  })

  test('that the archive may know of by itself is passed over', () => {
    const entries = [young(0), young(1, { object: objectAt(1) }), young(2)]
    const scope = { onDisk: false, archived: true }
    const run = agedRun(SegmentEntries.of(entries), scope, () => true)
    expect(run).toEqual({ from: 1, to: 2, format: 'parquet' })
  })
})
