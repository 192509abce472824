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
import { baseOf, goldenPath, writer } from '../../support/manifests.ts'

/** Run with UPDATE_GOLDEN=1 to write the files anew: only together with a new format version. */
const isUpdate = process.env['UPDATE_GOLDEN'] === '1'

const CLAIMED: readonly ManifestEdit[] = [
  { kind: 'engine-created', engineId: 'engine-1' },
  { kind: 'writer-claimed', epoch: 1, writer: writer('first') },
]
const NOTED: ManifestEdit = {
  kind: 'archive-noted',
  archive: {
    url: 's3://bucket/prefix',
    endpoint: 'http://127.0.0.1:9000',
    region: null,
    forcePathStyle: true,
  },
}

function golden(name: string, bytes: Uint8Array): Uint8Array {
  const path = goldenPath(name)
  if (isUpdate) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  return new Uint8Array(readFileSync(path))
}

test('a manifest that begins with a base is written and read as it always was', () => {
  const edits: readonly ManifestEdit[] = [...CLAIMED, { kind: 'begun-from-base' }]
  const commit = {
    number: 1,
    previousHash: GENESIS_HASH,
    epoch: 1,
    writerId: 'first',
    time: 1,
    edits,
  }
  const bytes = encodeCommit(commit)
  const kept = golden('manifest-v1/begun-from-base.edit', bytes)
  expect(Buffer.compare(kept, bytes)).toBe(0)
  expect(decodeCommit(kept, 'f')).toEqual(commit)
  const base = encodeBase(baseOf(applyEdits(emptyManifestState(), [...CLAIMED, NOTED])))
  const keptBase = golden('manifest-v1/begun-from-base.base', base)
  expect(Buffer.compare(keptBase, base)).toBe(0)
  expect(decodeBase(keptBase, 'f').bare.archive).toEqual(
    NOTED.kind === 'archive-noted' ? NOTED.archive : null,
  )
})

test('without that base there is no state', () => {
  expect(() => applyEdits(emptyManifestState(), [...CLAIMED, { kind: 'begun-from-base' }])).toThrow(
    expect.objectContaining({ code: 'manifest_corrupt' }),
  )
})
