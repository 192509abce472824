import { describe, expect, test } from 'vitest'
import type { SegmentEntry, StoragePolicy } from '../../../src/format/manifest.ts'
import { SegmentEntries } from '../../../src/format/segment-entries.ts'
import {
  type DiskFacts,
  type PressedPartition,
  flushRoom,
  isFlushHeld,
  planEarlyMoves,
} from '../../../src/tiering/disk-pressure.ts'
import { nextDueMs, nextMove, planTiering } from '../../../src/tiering/policy.ts'
import { HYBRID_POLICY } from '../../support/manifests.ts'

const POLICY: StoragePolicy = { ...HYBRID_POLICY, archiveAfter: 1e6, diskTtl: 2e6 }

function segment(
  baseOffset: number,
  appendTime: number,
  copies: 'disk' | 'object' | 'both',
  length = 100,
): SegmentEntry {
  const copy = { object: `s${baseOffset}`, position: 0, length }
  return {
    baseOffset,
    endOffset: baseOffset + 10,
    schemaId: 0,
    timeMin: appendTime,
    timeMax: appendTime,
    appendTimeMin: appendTime,
    appendTimeMax: appendTime,
    rawBytes: length,
    length,
    sha256: '',
    format: 'arrow',
    statistics: [],
    disk: copies === 'object' ? null : copy,
    object: copies === 'disk' ? null : copy,
  }
}

interface Named extends PressedPartition {
  readonly name: string
}

function partition(
  name: string,
  segments: readonly SegmentEntry[],
  changes: Partial<PressedPartition> = {},
): Named {
  return {
    name,
    policy: POLICY,
    segments: SegmentEntries.of(segments),
    flushedEnd: segments.at(-1)?.endOffset ?? 0,
    batches: [],
    ...changes,
  }
}

function disk(excessBytes: number, roomBytes = 0): DiskFacts {
  return { usedBytes: 1_000 - roomBytes, maxBytes: 1_000, roomBytes, excessBytes, lowBytes: 800 }
}

function earlyMoves(excessBytes: number, partitions: readonly Named[]): unknown {
  const moves = planEarlyMoves(disk(excessBytes), partitions)
  return Object.fromEntries(
    Array.from(moves, ([{ name }, { upload, dropDisk }]) => [name, { upload, dropDisk }]),
  )
}

describe('above the watermark', () => {
  test('the oldest segments of all logs leave the disk, as many as it takes, of each a prefix', () => {
    const a = partition('a', [
      segment(0, 1, 'disk'),
      segment(10, 5, 'disk'),
      segment(20, 6, 'disk'),
    ])
    const b = partition('b', [segment(0, 2, 'disk'), segment(10, 9, 'disk')])
    expect(earlyMoves(0, [a, b])).toEqual({})
    expect(earlyMoves(1, [a, b])).toEqual({ a: { upload: [0], dropDisk: [] } })
    expect(earlyMoves(201, [a, b])).toEqual({
      a: { upload: [0, 10], dropDisk: [] },
      b: { upload: [0], dropDisk: [] },
    })
    expect(earlyMoves(1e9, [a, b])).toEqual({
      a: { upload: [0, 10, 20], dropDisk: [] },
      b: { upload: [0, 10], dropDisk: [] },
    })
  })

  test('what has an object copy is dropped, what lacks one is uploaded first, and nothing behind that goes', () => {
    const log = partition('a', [
      segment(0, 1, 'object'),
      segment(10, 2, 'both'),
      segment(20, 3, 'disk'),
      segment(30, 4, 'both'),
      segment(40, 5, 'disk'),
    ])
    expect(earlyMoves(50, [log])).toEqual({ a: { upload: [], dropDisk: [10] } })
    expect(earlyMoves(350, [log])).toEqual({ a: { upload: [20, 40], dropDisk: [10] } })
  })

  test('a partition moves in the order of its offsets, though its clock went back', () => {
    const log = partition('a', [segment(0, 100, 'disk'), segment(10, 1, 'disk')])
    const other = partition('b', [segment(0, 50, 'disk')])
    expect(earlyMoves(150, [log, other])).toEqual({
      a: { upload: [0], dropDisk: [] },
      b: { upload: [0], dropDisk: [] },
    })
  })

  test('and where a flush does not fit below it, as much goes as makes room', () => {
    const old = Array.from({ length: 9 }, (_, n) => segment(n * 10, n, 'disk', 10_000))
    const held = (bytes: number) =>
      partition('a', old, { batches: [{ endOffset: 100, bytes }], flushedEnd: 90 })
    const facts = { ...disk(0, 10_000), usedBytes: 90_000, maxBytes: 100_000, lowBytes: 80_000 }
    const uploads = (bytes: number) =>
      [...planEarlyMoves(facts, [held(bytes)]).values()].flatMap(({ upload }) => upload)
    expect(uploads(0)).toEqual([0])
    expect(uploads(30_000)).toEqual([0, 10, 20, 30])
    expect(planEarlyMoves({ ...facts, roomBytes: 20_000 }, [held(0)]).size).toBe(0)
  })

  test('one that fails is passed over, and what has no archive to go to stays', () => {
    const old = [segment(0, 1, 'disk')]
    const all = [
      partition('failing', old, { isFailing: true }),
      partition('persistent', old, { policy: { ...POLICY, mode: 'persistent' } }),
      partition('no archive', old, { policy: { ...POLICY, archiveAfter: null } }),
      partition('in RAM now', old, { policy: { ...POLICY, mode: 'memory' } }),
      partition('young', [segment(0, 2, 'disk')]),
    ]
    expect(earlyMoves(1e9, all)).toEqual({ young: { upload: [0], dropDisk: [] } })
  })
})

describe('a flush', () => {
  const batches = [10, 20, 30].map((endOffset) => ({ endOffset, bytes: 64 * 1024 }))
  const room = (roomBytes: number, maxBytes = 1e6): DiskFacts => ({
    usedBytes: maxBytes - roomBytes,
    maxBytes,
    roomBytes,
    excessBytes: 0,
    lowBytes: maxBytes * 0.8,
  })

  test('takes all that fits, to its very end', () => {
    expect(flushRoom(room(900_000), batches, 0, 35)).toMatchObject({ end: 35 })
    expect(flushRoom(room(90_000), batches, 20, 30)).toMatchObject({ end: 30 })
    expect(flushRoom(room(90_000), batches, 0, 10)).toMatchObject({ end: 10 })
  })

  test('takes whole batches where not all fits, and says what they need at most', () => {
    const { end, bytes } = flushRoom(room(170_000), batches, 0, 30)
    expect(end).toBe(20)
    expect(bytes).toBeGreaterThan(2 * 64 * 1024)
    expect(bytes).toBeLessThan(170_000)
  })

  test('waits where nothing fits, and for room that is worth a segment', () => {
    expect(flushRoom(room(60_000), batches, 0, 30)).toEqual({ end: 0, bytes: 0 })
    expect(isFlushHeld(room(60_000), batches, 0)).toBe(true)
    expect(flushRoom(room(90_000, 10e6), batches, 0, 30)).toEqual({ end: 0, bytes: 0 })
    expect(isFlushHeld(room(90_000, 10e6), batches.slice(0, 1), 0)).toBe(false)
    expect(isFlushHeld(room(0), batches, 30)).toBe(false)
    expect(isFlushHeld(room(Infinity, Infinity), batches, 0)).toBe(false)
    expect(isFlushHeld(null, batches, 0)).toBe(false)
  })

  test('of a batch that is bigger than the budget is done where nothing else lies', () => {
    expect(flushRoom(room(1_000, 1_000), batches, 0, 30)).toMatchObject({ end: 10 })
    expect(flushRoom(room(999, 1_000), batches, 0, 30)).toMatchObject({ end: 0 })
  })
})

describe('the plan', () => {
  const facts = (segments: readonly SegmentEntry[], flushedEnd: number) => ({
    logId: 1,
    partition: 0,
    policy: { ...POLICY, diskAfter: 100 },
    flushedEnd,
    totals: null,
    isArchiveBehind: false,
    compaction: { onDisk: true, archived: true },
    isArchiveSure: true,
    batches: [
      {
        baseOffset: flushedEnd,
        endOffset: flushedEnd + 10,
        appendTimeMin: 0,
        appendTimeMax: 0,
        bytes: 500,
      },
    ],
    segments: SegmentEntries.of(segments),
  })
  const partitions = [facts([segment(0, 0, 'both'), segment(10, 0, 'disk')], 20)]
  const failing = partitions.map((own) => ({ ...own, isFailing: true }))
  const now = 1_000
  const roomy = { usedBytes: 0, maxBytes: 1e6, roomBytes: 1e6, excessBytes: 0, lowBytes: 8e5 }

  test('moves early what the budget asks for, and holds back what has no room', () => {
    expect(planTiering({ now, hasArchive: true, partitions, disk: roomy })).toMatchObject([
      { flush: 'disk', upload: [], dropDisk: [] },
    ])
    expect(planTiering({ now, hasArchive: true, partitions, disk: disk(150) })).toMatchObject([
      { flush: null, upload: [10], dropDisk: [0] },
    ])
    expect(planTiering({ now, hasArchive: true, partitions: failing, disk: disk(0) })).toEqual([])
  })

  test('has nothing due while all waits for room', () => {
    expect(nextDueMs({ now, hasArchive: true, partitions, disk: roomy })).toBe(0)
    expect(nextDueMs({ now, hasArchive: true, partitions, disk: disk(150) })).toBe(0)
    const input = { now, hasArchive: true, partitions: failing, disk: disk(0) }
    expect(nextDueMs(input)).toBeGreaterThan(0)
  })

  test('says that it is for the disk', () => {
    const [own] = partitions
    if (own === undefined) throw new Error('there is one')
    const around = { now, hasArchive: true, disk: disk(150) }
    const early = planEarlyMoves(around.disk, partitions).get(own)
    expect(nextMove(own, around, early)).toEqual({ action: 'drop-disk', inMs: 0, isForDisk: true })
    expect(nextMove(own, around)).toEqual({ action: 'flush', inMs: 0, isForDisk: true })
    expect(nextMove(own, { ...around, disk: roomy })).toMatchObject({ isForDisk: false })
  })

  test('merges and recalls only what fits', () => {
    const small = Array.from({ length: 8 }, (_, index) => segment(index * 10, 0, 'disk'))
    const merging = [facts(small, 80)]
    const tight = { ...roomy, roomBytes: 799 }
    expect(planTiering({ now: 0, hasArchive: true, partitions: merging, disk: tight })).toEqual([])
    expect(
      planTiering({ now: 0, hasArchive: true, partitions: merging, disk: roomy }),
    ).toMatchObject([{ compact: { from: 0, to: 80 } }])
    const policy: StoragePolicy = {
      ...POLICY,
      mode: 'persistent',
      archiveAfter: null,
      diskTtl: null,
    }
    const far = [0, 10, 20].map((base) => segment(base, 0, 'object'))
    const recalled = [{ ...facts(far, 30), policy: { ...policy, diskAfter: 1e6 } }]
    const disk = { ...roomy, roomBytes: 299 }
    expect(planTiering({ now, hasArchive: true, partitions: recalled, disk })).toMatchObject([
      { recall: [0, 10] },
    ])
  })
})
