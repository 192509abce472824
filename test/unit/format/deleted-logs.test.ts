import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { expect, test } from 'vitest'
import { applyEdits, emptyManifestState } from '../../../src/format/manifest-builder.ts'
import { decodeBase, encodeBase } from '../../../src/format/manifest-codec.ts'
import { type ManifestEdit, goneLogIds, isDeletedLog } from '../../../src/format/manifest.ts'
import { segmentsHolding } from '../../../src/log/held-segments.ts'
import {
  baseOf,
  goldenPath,
  logDefinition,
  objectAt,
  segmentEntry,
} from '../../support/manifests.ts'

/** Run with UPDATE_GOLDEN=1 to write the files anew: only together with a new format version. */
const isUpdate = process.env['UPDATE_GOLDEN'] === '1'

const place = { logId: 1, partition: 0 }
const created = (id: number, name = `log-${id}`): ManifestEdit => ({
  kind: 'log-created',
  log: { ...logDefinition(id), name },
  startOffsets: [0],
})
const deleted = (logId: number, deletedAt: number | null): ManifestEdit => ({
  kind: 'log-deleted',
  logId,
  deletedAt,
})
const inArchive = (baseOffset: number, endOffset: number): ManifestEdit => ({
  kind: 'segment-added',
  ...place,
  segment: segmentEntry(baseOffset, endOffset, { disk: null, object: objectAt(baseOffset) }),
})
const EDITS: readonly ManifestEdit[] = [
  { kind: 'engine-created', engineId: 'engine-1' },
  created(1),
  {
    kind: 'schema-added',
    logId: 1,
    schema: { id: 0, fields: [{ name: 'at', type: 'int64', nullable: false }] },
  },
  inArchive(0, 10),
  inArchive(10, 30),
]

test('an archive keeps a deleted log in mind, with all of its segments retired', () => {
  const state = applyEdits(emptyManifestState(), [...EDITS, deleted(1, 700)])
  const log = state.logs.get(1)
  expect(log?.deletedAt).toBe(700)
  expect(isDeletedLog(state, 1)).toBe(true)
  const partition = log?.partitions[0]
  expect(partition?.startOffset).toBe(30)
  expect(partition?.segments.length).toBe(0)
  expect(partition?.retired?.map(({ retiredAt }) => retiredAt)).toEqual([700, 700])
  const held = partition === undefined ? [] : segmentsHolding(partition, 5, 30)
  expect(held.map(({ baseOffset }) => baseOffset)).toEqual([0, 10])
  expect(applyEdits(state, [deleted(1, 900)])).toEqual(state)
  expect(() => applyEdits(state, [inArchive(30, 40)])).toThrow('log 1 was deleted')
  expect(() => applyEdits(state, [created(1)])).toThrow('log id 1 was given before')
})

test('a kept one is read back from a base, and is forgotten when nothing of it is left', () => {
  const state = applyEdits(emptyManifestState(), [...EDITS, deleted(1, 700), created(2, 'log-1')])
  const path = goldenPath('manifest-v1/deleted-log.base')
  const bytes = encodeBase(baseOf(state))
  if (isUpdate) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  expect(readFileSync(path)).toEqual(Buffer.from(bytes))
  expect(decodeBase(readFileSync(path), path).complete([])).toEqual(state)
  const forgotten = applyEdits(state, [deleted(1, null)])
  expect([...forgotten.logs.keys()]).toEqual([2])
  expect(isDeletedLog(forgotten, 1)).toBe(true)
})

test('a directory forgets it at once, and knows that it was', () => {
  const state = applyEdits(emptyManifestState(), [...EDITS, deleted(1, null)])
  expect(state.logs.size).toBe(0)
  expect([...goneLogIds(state)]).toEqual([1])
  expect(() => applyEdits(state, [deleted(1, null)])).toThrow('there is no log 1')
})

test('an archive is told of one that it never knew, and told again, and never takes its id', () => {
  const state = applyEdits(emptyManifestState(), [deleted(5, 700), deleted(5, 800)])
  expect(isDeletedLog(state, 5)).toBe(true)
  expect(state.nextLogId).toBe(6)
  expect(() => applyEdits(state, [created(5)])).toThrow('log id 5 was given before')
})
