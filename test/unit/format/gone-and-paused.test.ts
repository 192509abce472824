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
import { type ManifestEdit, goneLogIds } from '../../../src/format/manifest.ts'
import { baseOf, goldenPath, logDefinition, writer } from '../../support/manifests.ts'

/** Run with UPDATE_GOLDEN=1 to write the files anew: only together with a new format version. */
const isUpdate = process.env['UPDATE_GOLDEN'] === '1'

const created = (id: number): ManifestEdit => ({
  kind: 'log-created',
  log: logDefinition(id),
  startOffsets: [0],
})
const detached = (logId: number, name = `log-${logId}`): ManifestEdit => ({
  kind: 'log-detached',
  logId,
  name,
})
const paused = (logId: number, since: number | null): ManifestEdit => ({
  kind: 'tiering-paused',
  logId,
  since,
})
const EDITS: readonly ManifestEdit[] = [
  { kind: 'engine-created', engineId: 'engine-1' },
  { kind: 'writer-claimed', epoch: 1, writer: writer('first') },
  created(1),
  created(2),
  created(3),
  paused(0, 5),
  paused(2, 6),
  paused(3, 7),
  paused(3, null),
  paused(1, 8),
  detached(1),
]

function golden(name: string, bytes: Uint8Array): Uint8Array {
  const path = goldenPath(name)
  if (isUpdate) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  return new Uint8Array(readFileSync(path))
}

test('logs that were detached, and moves that are paused, are written and read as they always were', () => {
  const head = { number: 1, previousHash: GENESIS_HASH, epoch: 1, writerId: 'first', time: 1 }
  const commit = { ...head, edits: EDITS }
  const bytes = encodeCommit(commit)
  const kept = golden('manifest-v1/gone-and-paused.edit', bytes)
  expect(Buffer.compare(kept, bytes)).toBe(0)
  expect(decodeCommit(kept, 'f')).toEqual(commit)
  const base = encodeBase(baseOf(applyEdits(emptyManifestState(), EDITS)))
  const keptBase = golden('manifest-v1/gone-and-paused.base', base)
  expect(Buffer.compare(keptBase, base)).toBe(0)
  const { bare } = decodeBase(keptBase, 'f')
  expect([...bare.detachedLogs]).toEqual([[1, 'log-1']])
  expect([...bare.paused]).toEqual([
    [0, 5],
    [2, 6],
  ])
  expect([...bare.logs.keys()]).toEqual([2, 3])
  expect([...goneLogIds(bare)]).toEqual([1])
})

test('a log that was detached comes back under its id, and is gone no more', () => {
  const state = applyEdits(emptyManifestState(), [...EDITS, created(1)])
  expect([...state.logs.keys()].toSorted((a, b) => a - b)).toEqual([1, 2, 3])
  expect([state.detachedLogs.size, goneLogIds(state).size, state.nextLogId]).toEqual([0, 0, 4])
})

test('what does not fit is refused: other names, deleted logs, pauses of logs that are not there', () => {
  const state = applyEdits(emptyManifestState(), [
    ...EDITS,
    { kind: 'log-deleted', logId: 3, deletedAt: null },
  ])
  for (const edit of [detached(2, 'other'), detached(3), paused(3, 1), paused(9, 1), created(2)])
    expect(() => applyEdits(state, [edit])).toThrow(
      expect.objectContaining({ code: 'manifest_corrupt' }),
    )
})

test('a log that was there before is detached and comes back in commits that are read in one go', () => {
  const state = applyEdits(emptyManifestState(), EDITS.slice(0, 4))
  const again = applyEdits(state, [detached(1), created(1), detached(2)])
  expect([...again.logs.keys()]).toEqual([1])
  expect(() => applyEdits(state, [created(1)])).toThrow('log id 1 was given before')
  const deletion = { kind: 'log-deleted', logId: 1, deletedAt: 5 } as const
  // What is not there is not kept in mind.
  const gone = applyEdits(state, [detached(1), deletion])
  expect(gone.logs.has(1)).toBe(false)
  expect(gone.deletedLogIds.has(1)).toBe(true)
})
