import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, test } from 'vitest'
import { applyEdits, emptyManifestState } from '../../../src/format/manifest-builder.ts'
import {
  GENESIS_HASH,
  decodeBase,
  decodeCommit,
  encodeBase,
  encodeCommit,
} from '../../../src/format/manifest-codec.ts'
import type { LogDefinition, ManifestEdit, SegmentEntry } from '../../../src/format/manifest.ts'
import {
  hasForks,
  isSharedObject,
  ownerOf,
  relativesOf,
  sharedEnd,
} from '../../../src/log/segment-origin.ts'
import { baseOf, goldenPath, logDefinition, segmentEntry, writer } from '../../support/manifests.ts'

/** Run with UPDATE_GOLDEN=1 to write the files anew: only together with a new format version. */
const isUpdate = process.env['UPDATE_GOLDEN'] === '1'

const SOURCE = logDefinition(1, { partitions: 2 })
const FORK = logDefinition(2, {
  partitions: 2,
  origins: [{ logId: 1, endOffsets: [30, 0] }],
})
const THIRD = logDefinition(3, {
  partitions: 2,
  origins: [
    { logId: 1, endOffsets: [30, 0] },
    { logId: 2, endOffsets: [50, 8] },
  ],
})
const OTHER = logDefinition(4, { partitions: 2 })
const ALL = [SOURCE, FORK, THIRD, OTHER]

function ownerAt(log: LogDefinition, partition: number, endOffset: number): number {
  return ownerOf(log, partition, { endOffset }).logId
}

describe('a segment of a fork of a fork', () => {
  test('is of the log that wrote it, by where it ends', () => {
    expect([10, 30, 40, 50, 60].map((end) => ownerAt(THIRD, 0, end))).toEqual([1, 1, 2, 2, 3])
    expect([8, 9].map((end) => ownerAt(THIRD, 1, end))).toEqual([2, 3])
    expect(ownerAt(SOURCE, 0, 10)).toBe(1)
    expect([sharedEnd(THIRD, 0), sharedEnd(THIRD, 1), sharedEnd(SOURCE, 0)]).toEqual([50, 8, 0])
  })

  test('may be named by the logs that it was forked from, and by all that were forked from those', () => {
    expect(ALL.map(({ id }) => [...relativesOf(id, ALL)])).toEqual([[2, 3], [1, 3], [1, 2], []])
  })
})

function entry(baseOffset: number, object: string): SegmentEntry {
  const location = { object, position: 0, length: 32 }
  return segmentEntry(baseOffset, baseOffset + 10, { disk: null, object: location })
}

const EDITS: readonly ManifestEdit[] = [
  { kind: 'engine-created', engineId: 'engine-1' },
  { kind: 'writer-claimed', epoch: 1, writer: writer('first') },
  ...ALL.flatMap((log): ManifestEdit[] => [
    { kind: 'log-created', log, startOffsets: [0, 0] },
    {
      kind: 'schema-added',
      logId: log.id,
      schema: { id: 0, fields: [{ name: 'at', type: 'timestamp[ms]', nullable: true }] },
    },
  ]),
]
const added = (logId: number, segment: SegmentEntry): ManifestEdit => ({
  kind: 'segment-added',
  logId,
  partition: 0,
  segment,
})

describe('an object of a retired segment', () => {
  const shared = entry(0, 'a')
  const held = [...EDITS, added(1, shared), added(2, shared), added(4, entry(0, 'b'))]
  const retire = (logId: number, retiredAt: number): ManifestEdit => ({
    kind: 'start-moved',
    logId,
    partition: 0,
    startOffset: 10,
    retiredAt,
  })

  test('is shared while a relative has it, and as long after as nobody may miss it', () => {
    const live = applyEdits(emptyManifestState(), [...held, retire(1, 100)])
    expect(hasForks(live)).toBe(true)
    expect(isSharedObject(live, 1, 0, shared, 1_000)).toBe(true)
    const gone = applyEdits(live, [retire(2, 500)])
    expect(isSharedObject(gone, 1, 0, shared, 400)).toBe(true)
    expect(isSharedObject(gone, 1, 0, shared, 500)).toBe(false)
  })

  test('is not shared by a log that has something else there', () => {
    const state = applyEdits(emptyManifestState(), held)
    expect(isSharedObject(state, 2, 0, entry(0, 'b'), 0)).toBe(false)
    expect(isSharedObject(state, 4, 0, entry(0, 'a'), 0)).toBe(false)
    const none = EDITS.slice(0, 4)
    expect(hasForks(applyEdits(emptyManifestState(), none))).toBe(false)
  })
})

function golden(name: string, bytes: Uint8Array): Uint8Array {
  const path = goldenPath(name)
  if (isUpdate) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  return new Uint8Array(readFileSync(path))
}

test('what a fork was made of is written and read as it always was', () => {
  const head = { number: 1, previousHash: GENESIS_HASH, epoch: 1, writerId: 'first', time: 1 }
  const commit = { ...head, edits: EDITS }
  const bytes = encodeCommit(commit)
  const kept = golden('manifest-v1/forked.edit', bytes)
  expect(Buffer.compare(kept, bytes)).toBe(0)
  expect(decodeCommit(kept, 'f')).toEqual(commit)
  const base = encodeBase(baseOf(applyEdits(emptyManifestState(), EDITS)))
  const keptBase = golden('manifest-v1/forked.base', base)
  expect(Buffer.compare(keptBase, base)).toBe(0)
  expect(decodeBase(keptBase, 'f').bare.logs.get(3)?.definition).toEqual(THIRD)
})

test('offsets of other partitions than the log has are refused', () => {
  const log = { ...FORK, origins: [{ logId: 1, endOffsets: [30] }] }
  const commit = {
    number: 1,
    previousHash: GENESIS_HASH,
    epoch: 1,
    writerId: 'first',
    time: 1,
    edits: [{ kind: 'log-created', log, startOffsets: [0, 0] } as const],
  }
  expect(() => decodeCommit(encodeCommit(commit), 'f')).toThrow(
    expect.objectContaining({ code: 'manifest_corrupt' }),
  )
})
