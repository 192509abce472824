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
import { seededRandom } from '../../../src/base/random.ts'
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

/** Raw bytes above which a segment is not merged again. */
const FULL_BYTES = SEGMENT_BYTES_TARGET / 8

/** How many times eight what is merged grows, from the smallest flush to a full segment. */
function levelsOf(flushed: readonly number[]): number {
  return Math.ceil(Math.log(SEGMENT_BYTES_TARGET / Math.min(...flushed)) / Math.log(8))
}

/** What flushes of these sizes leave, each merged before the next, and how many bytes were written again. */
function settled(flushed: readonly number[]): {
  readonly left: readonly SegmentEntry[]
  readonly written: number
} {
  let left: SegmentEntry[] = []
  let written = 0
  for (const [index, rawBytes] of flushed.entries()) {
    left.push(segmentEntry(index, index + 1, { rawBytes }))
    for (let run = due(left); run !== null; run = due(left)) {
      const after = merged(left, run)
      expect(after.length).toBeLessThan(left.length)
      const made = after.find(({ baseOffset }) => baseOffset === run?.from)
      expect(made?.rawBytes).toBeLessThanOrEqual(SEGMENT_BYTES_TARGET)
      written += made?.rawBytes ?? 0
      left = after
    }
  }
  return { left, written }
}

describe('a compaction by itself', () => {
  test('takes eight neighbours of about one size, and what comes to a higher level with them', () => {
    expect(due(segments(Array.from({ length: 7 }, () => KIB)))).toBeNull()
    expect(due(segments(Array.from({ length: 8 }, () => KIB)))).toEqual({ from: 0, to: 8 })
    expect(due(segments(Array.from({ length: 20 }, () => KIB)))).toEqual({ from: 0, to: 20 })
    const behind = [100 * KIB, ...Array.from({ length: 8 }, () => KIB), 100, 100]
    expect(due(segments(behind))).toEqual({ from: 1, to: 9 })
  })

  test('takes smaller ones between them along', () => {
    const sizes = Array.from({ length: 16 }, (_, index) => (index % 2 === 0 ? 4 : 40) * KIB)
    expect(due(segments(sizes.slice(0, 15)))).toBeNull()
    expect(due(segments(sizes))).toEqual({ from: 0, to: 16 })
    // The newest small one is not between them.
    expect(due(segments([...sizes, KIB]))).toEqual({ from: 0, to: 16 })
  })

  test('makes one of those that a bigger one cut off from what comes, and leaves that as it is', () => {
    const cutOff = [KIB, 20 * KIB, KIB, KIB]
    expect(due(segments(cutOff))).toBeNull()
    expect(due(segments([...cutOff, 4_096 * KIB]))).toEqual({ from: 0, to: 4 })
    expect(due(segments([...cutOff.slice(1), 4_096 * KIB]))).toBeNull()
    const sizes = [4_096 * KIB, ...cutOff, 4_096 * KIB, ...cutOff]
    expect(due(segments(sizes))).toEqual({ from: 1, to: 5 })
    // One that is as big is no bigger one.
    expect(due(segments([...cutOff, 20 * KIB]))).toBeNull()
  })

  test('makes no segment that is bigger than a full one', () => {
    const each = SEGMENT_BYTES_TARGET / 4
    expect(due(segments(Array.from({ length: 30 }, () => each)))).toBeNull()
    // Eight of the level below, with what lies between, are more than that.
    const sizes = Array.from({ length: 15 }, (_, index) => (index % 2 === 0 ? 8_192 : 1_024) * KIB)
    expect(due(segments(sizes))).toEqual({ from: 1, to: 15 })
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

  const sizes = {
    'of any size': fc
      .integer({ min: 0, max: 23 * 64 })
      .map((power) => Math.round(2 ** (power / 64))),
    "of sizes that are one another's double at most": fc.integer({ min: 10 * KIB, max: 20 * KIB }),
    'of two sizes': fc.constantFrom(4 * KIB, 40 * KIB),
    'with a big one now and then': fc.oneof(
      { weight: 11, arbitrary: fc.integer({ min: 1, max: 10 * KIB }) },
      { weight: 1, arbitrary: fc.constant(KIB * KIB) },
    ),
  }

  test.each(Object.entries(sizes))(
    'of segments %s ends, writes a byte few times, and leaves few segments',
    (_, size) => {
      const given = fc.array(size, { minLength: 1, maxLength: 300, size: 'max' })
      fc.assert(
        fc.property(given, (flushed) => {
          const { left, written } = settled(flushed)
          const total = flushed.reduce((sum, bytes) => sum + bytes, 0)
          expect(left.reduce((sum, { rawBytes }) => sum + rawBytes, 0)).toBe(total)
          expect(due(left)).toBeNull()
          const levels = levelsOf(flushed)
          expect(written).toBeLessThanOrEqual(total * 2 * levels)
          const full = left.filter(({ rawBytes }) => rawBytes > FULL_BYTES).length
          expect(full).toBeLessThanOrEqual(total / FULL_BYTES)
          expect(left.length).toBeLessThanOrEqual(4 * (7 * levels + full))
        }),
        { numRuns: 60 },
      )
    },
  )

  test('of a day of flushes that vary leaves about as many segments as would do, written four times', () => {
    const random = seededRandom(1)
    const days: Record<string, (index: number) => number> = {
      alternating: (index) => (index % 2 === 0 ? 4 : 40) * KIB,
      uniform: () => KIB + (random.uint32() % (199 * KIB)),
      bursts: (index) => (index % 12 === 11 ? 1_024 : 10) * KIB,
    }
    const found = Object.entries(days).map(([name, size]) => {
      const flushed = Array.from({ length: 2_880 }, (_, index) => Math.round(size(index)))
      const { left, written } = settled(flushed)
      const total = flushed.reduce((sum, bytes) => sum + bytes, 0)
      return [name, left.length < 20 + total / FULL_BYTES, written < total * 4]
    })
    expect(found).toEqual(Object.keys(days).map((name) => [name, true, true]))
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
