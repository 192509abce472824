import { expect, test } from 'vitest'
import { pullFromArchive, withDiskCopies } from '../../../src/engine/archive-connection.ts'
import { sha256Hex } from '../../../src/format/checksum.ts'
import { applyEdits, emptyManifestState } from '../../../src/format/manifest-builder.ts'
import type { ManifestState } from '../../../src/format/manifest.ts'
import { segmentPath } from '../../../src/format/paths.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import { logDefinition, objectAt, segmentEntry } from '../../support/manifests.ts'

/** A log whose offsets may have holes below 20, with one segment and a producer as of its end. */
function stateWith(baseOffset: number, sequence: number): ManifestState {
  const place = { logId: 1, partition: 0 }
  const fields = [{ name: 'at', type: 'timestamp[ms]', nullable: true }] as const
  const segment = segmentEntry(baseOffset, baseOffset + 10, { object: objectAt(baseOffset) })
  const producer = {
    producerId: 'a',
    epoch: 0,
    sequence,
    time: 1,
    offsets: [baseOffset + 9],
    counts: [1],
  }
  return applyEdits(emptyManifestState(), [
    { kind: 'engine-created', engineId: 'engine-1' },
    { kind: 'log-created', log: logDefinition(1), startOffsets: [0] },
    { kind: 'schema-added', logId: 1, schema: { id: 0, fields } },
    { kind: 'offsets-dense-from', ...place, offset: 20 },
    { kind: 'segment-added', ...place, segment },
    { kind: 'producers-noted', ...place, producers: [producer], forgotten: [] },
  ])
}

const kinds = (local: ManifestState, archive: ManifestState): string[] =>
  pullFromArchive(local, archive).map(({ kind }) => kind)

test('a segment behind all that the directory has brings the producers as of its end', () => {
  const archive = stateWith(10, 5)
  expect(kinds(stateWith(0, 2), archive)).toEqual([
    'segment-copy-dropped',
    'segment-added',
    'producers-noted',
  ])
})

test('a segment before what the directory has leaves its producers as they are, which are newer', () => {
  const archive = stateWith(0, 2)
  expect(kinds(stateWith(10, 5), archive)).toEqual(['segment-copy-dropped', 'segment-added'])
})

test('a compaction whose local commit is missing keeps its file, where that is whole', async () => {
  const bytes = Uint8Array.of(1, 2, 3)
  const sha256 = sha256Hex(bytes)
  const segment = { ...segmentEntry(0, 10, { object: objectAt(0) }), sha256, length: 3, disk: null }
  const edits = [
    { kind: 'segments-replaced', logId: 1, partition: 0, segment, retiredAt: null },
  ] as const
  const object = segmentPath({ logId: 1, partition: 0, ...segment })
  const disk = { object, position: 0, length: 3 }
  for (const [content, expected] of [
    [bytes, disk],
    [Uint8Array.of(1, 2, 4), null],
    [Uint8Array.of(1, 2), null],
    [null, null],
  ] as const) {
    const fileSystem = new MemoryFileSystem()
    await fileSystem.makeDirectory('data/segments/1/0')
    if (content !== null) await fileSystem.putIfAbsent(`data/${object}`, content)
    const known = await withDiskCopies(edits, fileSystem, 'data')
    expect(known).toEqual([{ ...edits[0], segment: { ...segment, disk: expected } }])
  }
})
