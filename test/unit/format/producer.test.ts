import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isStratalogError } from '../../../src/base/errors.ts'
import { PRODUCER_APPENDS_MAX, PRODUCERS_MAX } from '../../../src/format/limits.ts'
import { applyEdits, emptyManifestState } from '../../../src/format/manifest-builder.ts'
import {
  GENESIS_HASH,
  decodeBase,
  decodeCommit,
  encodeBase,
  encodeCommit,
} from '../../../src/format/manifest-codec.ts'
import type { ManifestEdit } from '../../../src/format/manifest.ts'
import {
  type ProducerState,
  decodeProducer,
  encodeProducer,
  producersAsOf,
} from '../../../src/format/producer.ts'
import { baseOf, goldenPath, logDefinition, writer } from '../../support/manifests.ts'

/** Run with UPDATE_GOLDEN=1 to write the files anew: only together with a new format version. */
const isUpdate = process.env['UPDATE_GOLDEN'] === '1'

function golden(name: string, bytes: Uint8Array): Uint8Array {
  const path = goldenPath(name)
  if (isUpdate) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  return new Uint8Array(readFileSync(path))
}

function state(producerId: string, changes: Partial<ProducerState> = {}): ProducerState {
  return {
    producerId,
    epoch: 3,
    sequence: 9,
    time: 5_000,
    offsets: [4, 20],
    counts: [6, 1],
    ...changes,
  }
}

const EDITS: readonly ManifestEdit[] = [
  { kind: 'engine-created', engineId: 'engine-1' },
  { kind: 'writer-claimed', epoch: 1, writer: writer('first') },
  { kind: 'log-created', log: logDefinition(1, { partitions: 2 }), startOffsets: [0, 0] },
  {
    kind: 'producers-noted',
    logId: 1,
    partition: 1,
    producers: [state('web-1'), state('gone'), state('wörker', { epoch: 0, sequence: 1 })],
    forgotten: [],
  },
  {
    kind: 'producers-noted',
    logId: 1,
    partition: 1,
    producers: [state('web-1', { sequence: 10, offsets: [20, 40], counts: [1, 3], time: -7 })],
    forgotten: ['gone', 'never known'],
  },
]
const COMMIT = {
  number: 1,
  previousHash: GENESIS_HASH,
  epoch: 1,
  writerId: 'first',
  time: 10_000,
  edits: EDITS,
}

function codeOf(action: () => unknown): string {
  try {
    action()
    return 'none'
  } catch (error) {
    return isStratalogError(error) ? error.code : String(error)
  }
}

describe('the stamp of a producer in a WAL frame', () => {
  const stamp = { producerId: 'wörker-7', epoch: 2 ** 40, sequence: 2 ** 33 + 1 }

  test('is written and read as it always was', () => {
    const bytes = encodeProducer(stamp)
    const kept = golden('wal-producer-v1/stamp', bytes)
    expect(Buffer.compare(kept, bytes)).toBe(0)
    expect(decodeProducer(kept)).toEqual(stamp)
  })

  test('comes back as it was, in a multiple of 8 bytes', () => {
    const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    const any = fc.record({ producerId: id, epoch: fc.maxSafeNat(), sequence: fc.maxSafeNat() })
    fc.assert(
      fc.property(any, (producer) => {
        fc.pre(producer.producerId.isWellFormed())
        const bytes = encodeProducer(producer)
        expect(bytes.length % 8).toBe(0)
        expect(decodeProducer(bytes)).toEqual(producer)
      }),
    )
  })

  test('is refused at every other length, and with what it may not hold', () => {
    const bytes = encodeProducer(stamp)
    for (let length = 0; length < bytes.length; length++)
      expect(codeOf(() => decodeProducer(bytes.subarray(0, length)))).toBe('wal_corrupt')
    const longer = new Uint8Array(bytes.length + 8)
    longer.set(bytes)
    expect(codeOf(() => decodeProducer(longer))).toBe('wal_corrupt')
    // Bytes beyond the safe integers, zeros that are none, an id that is not UTF-8, and an id of nothing.
    for (const [position, value] of [
      [7, 1],
      [15, 1],
      [20, 1],
      [25, 0xff],
      [bytes.length - 1, 1],
      [16, 0],
    ] as const) {
      const damaged = bytes.slice()
      damaged[position] = value
      expect(
        codeOf(() => decodeProducer(damaged)),
        `byte ${position}`,
      ).toBe('wal_corrupt')
    }
  })
})

describe('producers in a manifest', () => {
  test('are written and read as they always were', () => {
    const commit = encodeCommit(COMMIT)
    const kept = golden('manifest-v1/producers.edit', commit)
    expect(Buffer.compare(kept, commit)).toBe(0)
    expect(decodeCommit(kept, 'f')).toEqual(COMMIT)
    const made = applyEdits(emptyManifestState(), EDITS)
    const base = encodeBase({ ...baseOf(made), time: 10_001 })
    const keptBase = golden('manifest-v1/producers.base', base)
    expect(Buffer.compare(keptBase, base)).toBe(0)
    const producers = decodeBase(keptBase, 'f').bare.logs.get(1)?.partitions[1]?.producers
    expect([...(producers?.values() ?? [])]).toEqual([
      state('web-1', { sequence: 10, offsets: [20, 40], counts: [1, 3], time: -7 }),
      state('wörker', { epoch: 0, sequence: 1 }),
    ])
  })

  test('of equal states have equal bases, in whichever order they came', () => {
    const noted = (ids: readonly string[]): Uint8Array => {
      const producers = ids.map((id) => state(id))
      const edit = {
        kind: 'producers-noted',
        logId: 1,
        partition: 0,
        producers,
        forgotten: [],
      } as const
      const made = applyEdits(emptyManifestState(), [...EDITS.slice(0, 3), edit])
      return encodeBase(baseOf(made))
    }
    expect(Buffer.compare(noted(['a', 'b', 'c']), noted(['c', 'a', 'b']))).toBe(0)
  })

  test.each<[string, Partial<ProducerState>]>([
    ['an id of nothing', { producerId: '' }],
    ['no appends', { offsets: [], counts: [] }],
    ['more offsets than counts', { counts: [6] }],
    ['an append of no records', { counts: [6, 0] }],
    ['offsets that do not ascend', { offsets: [20, 4] }],
    ['appends that overlap', { offsets: [4, 9] }],
    ['more appends than its sequence allows', { sequence: 0 }],
    [
      'more appends than are remembered',
      {
        sequence: 100,
        offsets: Array.from({ length: PRODUCER_APPENDS_MAX + 1 }, (_, index) => index),
        counts: Array.from({ length: PRODUCER_APPENDS_MAX + 1 }, () => 1),
      },
    ],
  ])('with %s are refused', (_, changes) => {
    const edit = {
      kind: 'producers-noted',
      logId: 1,
      partition: 0,
      producers: [state('a', changes)],
      forgotten: [],
    } as const
    const bytes = encodeCommit({ ...COMMIT, edits: [edit] })
    expect(codeOf(() => decodeCommit(bytes, 'f'))).toBe('manifest_corrupt')
  })

  test('that are more than a partition has, or of none, do not fit', () => {
    const producers = Array.from({ length: PRODUCERS_MAX + 1 }, (_, index) => state(`p${index}`))
    const edit = (partition: number): ManifestEdit => ({
      kind: 'producers-noted',
      logId: 1,
      partition,
      producers: partition === 0 ? producers : [],
      forgotten: [],
    })
    const before = applyEdits(emptyManifestState(), EDITS.slice(0, 3))
    for (const partition of [0, 2])
      expect(codeOf(() => applyEdits(before, [edit(partition)]))).toBe('manifest_corrupt')
  })
})

test('producers as of an earlier end are those that were known then', () => {
  const known = state('a', { sequence: 7, offsets: [0, 10, 30], counts: [10, 5, 5] })
  const asOf = (end: number): ProducerState[] => producersAsOf([known], end)
  expect(asOf(35)).toEqual([known])
  expect(asOf(34)).toEqual([{ ...known, sequence: 6, offsets: [0, 10], counts: [10, 5] }])
  expect(asOf(15)).toEqual([{ ...known, sequence: 6, offsets: [0, 10], counts: [10, 5] }])
  expect(asOf(14)).toEqual([{ ...known, sequence: 5, offsets: [0], counts: [10] }])
  expect(asOf(9)).toEqual([])
})
