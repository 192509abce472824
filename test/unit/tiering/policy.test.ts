import { describe, expect, test } from 'vitest'
import type { SegmentEntry, StoragePolicy } from '../../../src/format/manifest.ts'
import { SegmentEntries } from '../../../src/format/segment-entries.ts'
import {
  type PartitionFacts,
  nextDueMs,
  nextMove,
  pendingRecords,
  planTiering,
} from '../../../src/tiering/policy.ts'

const POLICY: StoragePolicy = {
  mode: 'hybrid',
  memoryTtl: 1_000,
  diskAfter: 100,
  archiveAfter: 500,
  diskTtl: 2_000,
  localDisk: true,
  retention: null,
  retentionBytes: null,
  ack: 'disk',
  wal: true,
  memoryFirst: true,
  diskFallback: true,
  ttl: null,
  priority: 0,
  maxMemoryBytes: null,
  evictionPolicy: 'fifo',
  evictionWatermark: 0.9,
  segmentFormat: 'arrow',
  parquetAfter: null,
  keep: 'all',
}

const COPY = { object: 'o', position: 0, length: 1 }

function segment(
  baseOffset: number,
  appendTime: number,
  tiers: { disk?: boolean; object?: boolean },
): SegmentEntry {
  return {
    baseOffset,
    endOffset: baseOffset + 10,
    schemaId: 0,
    timeMin: appendTime,
    timeMax: appendTime,
    appendTimeMin: appendTime,
    appendTimeMax: appendTime,
    rawBytes: 1,
    length: 1,
    sha256: '',
    format: 'arrow',
    statistics: [],
    disk: tiers.disk === true ? COPY : null,
    object: tiers.object === true ? COPY : null,
  }
}

function facts({
  segments = [],
  ...overrides
}: Partial<Omit<PartitionFacts, 'segments'>> & {
  readonly segments?: readonly SegmentEntry[]
}): PartitionFacts {
  return {
    logId: 1,
    partition: 0,
    policy: POLICY,
    flushedEnd: 0,
    totals: null,
    isArchiveBehind: false,
    compaction: { onDisk: true, archived: true },
    isArchiveSure: true,
    batches: [],
    segments: SegmentEntries.of(segments),
    ...overrides,
  }
}

function batch(endOffset: number, appendTime: number): PartitionFacts['batches'][number] {
  return {
    baseOffset: endOffset - 10,
    endOffset,
    appendTimeMin: appendTime,
    appendTimeMax: appendTime,
    bytes: 1,
  }
}

describe('planTiering', () => {
  test('flushes when the oldest record without a lower copy is diskAfter old, and not before', () => {
    const partitions = [facts({ batches: [batch(10, 1_000)] })]
    expect(planTiering({ now: 1_099, hasArchive: true, partitions })).toEqual([])
    expect(planTiering({ now: 1_100, hasArchive: true, partitions })).toMatchObject([
      { flush: 'disk' },
    ])
  })

  test('never flushes a memory-mode log by age', () => {
    const policy: StoragePolicy = { ...POLICY, mode: 'memory' }
    const partitions = [facts({ policy, batches: [batch(10, 0)] })]
    expect(planTiering({ now: 1e9, hasArchive: true, partitions })).toEqual([])
    expect(nextDueMs({ now: 1e9, hasArchive: true, partitions })).toBe(Infinity)
  })

  test('sends records straight to the object store after archiveAfter when there is no local disk', () => {
    const policy: StoragePolicy = { ...POLICY, localDisk: false }
    const partitions = [facts({ policy, batches: [batch(10, 0)] })]
    expect(planTiering({ now: 499, hasArchive: true, partitions })).toEqual([])
    expect(planTiering({ now: 500, hasArchive: true, partitions })).toMatchObject([
      { flush: 'object' },
    ])
  })

  test('uploads a contiguous prefix: a young segment holds back older-looking ones behind it', () => {
    const segments = [
      segment(0, 0, { disk: true }),
      segment(10, 900, { disk: true }),
      segment(20, 0, { disk: true }),
    ]
    const [plan] = planTiering({
      now: 1_000,
      hasArchive: true,
      partitions: [facts({ segments, flushedEnd: 30 })],
    })
    expect(plan?.upload).toEqual([0])
  })

  test('drops a disk copy only after its time and only when an object copy is there', () => {
    const segments = [segment(0, 0, { disk: true, object: true }), segment(10, 0, { disk: true })]
    const partitions = [facts({ segments, flushedEnd: 20 })]
    expect(planTiering({ now: 1_999, hasArchive: true, partitions })[0]?.dropDisk).toEqual([])
    expect(planTiering({ now: 2_000, hasArchive: true, partitions })[0]?.dropDisk).toEqual([0])
  })

  test('drops RAM copies by memoryTtl, never past what is flushed', () => {
    const batches = [batch(10, 0), batch(20, 0), batch(30, 0)]
    const partitions = [facts({ batches, flushedEnd: 20 })]
    expect(planTiering({ now: 5_000, hasArchive: true, partitions })[0]?.dropHotTo).toBe(20)
  })

  test('says when the next move is due', () => {
    const partitions = [facts({ batches: [batch(10, 1_000)] })]
    expect(nextDueMs({ now: 1_040, hasArchive: true, partitions })).toBe(60)
  })
})

test('what was appended in the future, before a clock that went back, is due at once', () => {
  const year = 365 * 24 * 3_600_000
  const [now, then] = [1_000_000, 1_000_000 + year]
  const batch = { baseOffset: 0, endOffset: 10, appendTimeMin: then, appendTimeMax: then, bytes: 1 }
  const input = (partition: PartitionFacts): Parameters<typeof planTiering>[0] => ({
    now,
    hasArchive: true,
    partitions: [partition],
  })
  const inRam = input(facts({ batches: [batch] }))
  expect(planTiering(inRam)).toMatchObject([{ flush: 'disk', dropHotTo: 0 }])
  expect(nextDueMs(inRam)).toBe(0)
  const flushed = input(
    facts({ batches: [batch], flushedEnd: 10, segments: [segment(0, then, { disk: true })] }),
  )
  expect(planTiering(flushed)).toMatchObject([{ flush: null, upload: [0], dropHotTo: 10 }])
  const archived = input(facts({ segments: [segment(0, then, { disk: true, object: true })] }))
  expect(planTiering(archived)).toMatchObject([{ dropDisk: [0] }])
  // A clock that is set right by some seconds moves nothing early.
  const soon = { ...batch, appendTimeMin: now + 5_000, appendTimeMax: now + 5_000 }
  expect(planTiering(input(facts({ batches: [soon] })))).toEqual([])
})

describe('after a change of the policy', () => {
  const owed = { owedEnd: 20, flushedEnd: 0, batches: [batch(10, 1_000), batch(20, 1_000)] }
  const inRam = { ...POLICY, mode: 'memory' } as const

  test('what is owed is flushed at once, in every mode, and nothing else is', () => {
    for (const policy of [POLICY, inRam]) {
      const partitions = [facts({ policy, ...owed })]
      expect(planTiering({ now: 1_000, hasArchive: true, partitions })).toMatchObject([
        { flush: 'disk' },
      ])
      expect(nextDueMs({ now: 1_000, hasArchive: true, partitions })).toBe(0)
      const flushed = [facts({ policy, ...owed, flushedEnd: 20, batches: [batch(30, 1_000)] })]
      expect(planTiering({ now: 1_000, hasArchive: true, partitions: flushed })).toEqual([])
    }
  })

  test('at level object what is owed is uploaded at once, also what is on disk already', () => {
    const policy = { ...POLICY, ack: 'object' } as const
    const segments = [segment(0, 1_000, { disk: true }), segment(10, 1_000, { disk: true })]
    const given = facts({ policy, owedEnd: 10, flushedEnd: 20, segments })
    const input = { now: 1_000, hasArchive: true, partitions: [given] }
    expect(planTiering(input)).toMatchObject([{ upload: [0] }])
    expect(nextDueMs(input)).toBe(0)
    expect(pendingRecords(given, 0)).toBe(10)
  })

  test('a persistent log gets back to its disk what only the archive has', () => {
    const policy = { ...POLICY, mode: 'persistent', archiveAfter: null, diskTtl: null } as const
    const segments = [
      segment(0, 1_000, { disk: false, object: true }),
      segment(10, 1_000, { disk: true, object: true }),
    ]
    const given = facts({ policy, flushedEnd: 20, segments })
    const input = { now: 1_000, hasArchive: true, partitions: [given] }
    expect(planTiering(input)).toMatchObject([{ recall: [0], upload: [], dropDisk: [] }])
    expect(nextDueMs(input)).toBe(0)
    expect(planTiering({ ...input, hasArchive: false })).toEqual([])
    expect(pendingRecords(given, 0)).toBe(10)
  })

  test('what is pending counts each record that is not where it is owed to be', () => {
    expect(pendingRecords(facts(owed), 0)).toBe(20)
    expect(pendingRecords(facts({ ...owed, flushedEnd: 10 }), 0)).toBe(10)
    expect(pendingRecords(facts({ ...owed, owedEnd: 5 }), 0)).toBe(5)
    expect(pendingRecords(facts({ ...owed, owedEnd: 0 }), 0)).toBe(0)
  })
})

test.each<[string, Parameters<typeof facts>[0], string, number]>([
  ['a batch in RAM', { batches: [batch(10, 950)] }, 'flush', 50],
  ['what lies on disk only', { segments: [segment(0, 950, { disk: true })] }, 'upload', 450],
  [
    'what has both copies',
    { segments: [segment(0, 950, { disk: true, object: true })] },
    'drop-disk',
    1_950,
  ],
  ['an archive that knows of more', { isArchiveBehind: true }, 'retire', 0],
])('says what comes next of %s', (_, given, action, inMs) => {
  expect(nextMove(facts(given), { now: 1_000, hasArchive: true })).toEqual({
    action,
    inMs,
    isForDisk: false,
  })
})

test('says that nothing comes where nothing ages', () => {
  expect(nextMove(facts({}), { now: 1_000, hasArchive: true })).toBeNull()
})
