import { describe, expect, test } from 'vitest'
import type { SegmentEntry } from '../../../src/format/manifest.ts'
import { SegmentEntries } from '../../../src/format/segment-entries.ts'
import { type RecallFacts, recallsDue, recallsOfRound } from '../../../src/tiering/recalls.ts'
import { HYBRID_POLICY, segmentEntry } from '../../support/manifests.ts'

const MIB = 1024 * 1024
const NOW = 10_000
const POLICY = { ...HYBRID_POLICY, diskTtl: 4_000 }

/** Segments of ten records, one a second, in the archive only but for those that `onDisk` names. */
function facts(count: number, onDisk: readonly number[] = [], length = 32): RecallFacts {
  const entries = Array.from({ length: count }, (_, index): SegmentEntry => {
    const time = NOW - 1_000 * (count - index)
    const entry = segmentEntry(10 * index, 10 * index + 10, {
      appendTimeMin: time,
      appendTimeMax: time,
      length,
      object: { object: `key-${index}`, position: 0, length },
    })
    return onDisk.includes(index) ? entry : { ...entry, disk: null }
  })
  return { policy: POLICY, segments: SegmentEntries.of(entries), isFilling: true }
}

function due(given: RecallFacts): number[] {
  return Array.from(recallsDue(given, NOW), ({ baseOffset }) => baseOffset)
}

describe('of a directory that was restored without its bytes', () => {
  test('the newest segments come first, up to those that diskTtl would have taken from the disk', () => {
    expect(due(facts(6))).toEqual([50, 40, 30])
    expect(due(facts(6, [4, 5]))).toEqual([30])
    expect(due(facts(6, [3, 4, 5]))).toEqual([])
  })

  test('without diskTtl all come', () => {
    expect(due({ ...facts(6), policy: { ...POLICY, diskTtl: null } })).toHaveLength(6)
  })

  test('nothing comes of a log in RAM, of one without a disk, nor to another directory', () => {
    expect(due({ ...facts(6), policy: { ...POLICY, mode: 'memory' } })).toEqual([])
    expect(due({ ...facts(6), policy: { ...POLICY, localDisk: false } })).toEqual([])
    expect(due({ ...facts(6), isFilling: false })).toEqual([])
  })

  test('a round takes some, and at least one', () => {
    const all = { policy: { ...POLICY, diskTtl: null } }
    expect(recallsOfRound({ ...facts(1_500), ...all }, NOW)).toHaveLength(64)
    expect(recallsOfRound({ ...facts(6, [], 100 * MIB), ...all }, NOW)).toEqual([50, 40])
    expect(recallsOfRound({ ...facts(6, [], 900 * MIB), ...all }, NOW)).toEqual([50])
  })
})
