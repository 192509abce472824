import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { applyEdits, emptyManifestState } from '../../../src/format/manifest-builder.ts'
import {
  GENESIS_HASH,
  decodeBase,
  decodeCommit,
  encodeBase,
  encodeCommit,
} from '../../../src/format/manifest-codec.ts'
import type { ManifestEdit } from '../../../src/format/manifest.ts'
import { baseOf, goldenPath, logDefinition, writer } from '../../support/manifests.ts'

/** Run with UPDATE_GOLDEN=1 to write the files anew: only together with a new format version. */
const isUpdate = process.env['UPDATE_GOLDEN'] === '1'

const CREATED: readonly ManifestEdit[] = [
  { kind: 'engine-created', engineId: 'engine-1' },
  { kind: 'writer-claimed', epoch: 1, writer: writer('first') },
  { kind: 'log-created', log: logDefinition(1, { partitions: 2 }), startOffsets: [3, 0] },
]
const dense = (partition: number, offset: number): ManifestEdit => ({
  kind: 'offsets-dense-from',
  logId: 1,
  partition,
  offset,
})
const EDITS: readonly ManifestEdit[] = [...CREATED, dense(0, 3), dense(1, 40), dense(1, 70)]

function golden(name: string, bytes: Uint8Array): Uint8Array {
  const path = goldenPath(name)
  if (isUpdate) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  return new Uint8Array(readFileSync(path))
}

test('where the offsets of a partition become dense is written and read as it always was', () => {
  const commit = {
    number: 1,
    previousHash: GENESIS_HASH,
    epoch: 1,
    writerId: 'first',
    time: 1,
    edits: EDITS,
  }
  const bytes = encodeCommit(commit)
  const kept = golden('manifest-v1/dense-from.edit', bytes)
  expect(Buffer.compare(kept, bytes)).toBe(0)
  expect(decodeCommit(kept, 'f')).toEqual(commit)
  const state = applyEdits(emptyManifestState(), EDITS)
  const base = encodeBase(baseOf(state))
  const keptBase = golden('manifest-v1/dense-from.base', base)
  expect(Buffer.compare(keptBase, base)).toBe(0)
  const partitions = decodeBase(keptBase, 'f').bare.logs.get(1)?.partitions
  expect(partitions?.map(({ denseFrom }) => denseFrom)).toEqual([3, 70])
})

test('it is read back where the partition begins behind it by now', () => {
  const place = { logId: 1, partition: 1 } as const
  const moved = { kind: 'start-moved', ...place, startOffset: 90, retiredAt: null } as const
  const state = applyEdits(emptyManifestState(), [...EDITS, moved])
  const partitions = decodeBase(encodeBase(baseOf(state)), 'f').bare.logs.get(1)?.partitions
  expect(partitions?.[1]).toMatchObject({ startOffset: 90, denseFrom: 70 })
})

test('it moves forward only, of a partition that there is', () => {
  const state = applyEdits(emptyManifestState(), EDITS)
  for (const edit of [dense(0, 2), dense(1, 69), dense(2, 100)])
    expect(() => applyEdits(state, [edit])).toThrow(
      expect.objectContaining({ code: 'manifest_corrupt' }),
    )
})
