import { expect, test } from 'vitest'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { manifestFilesInStore } from '../../../src/log/manifest-files.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import { MemoryObjectStore } from '../../../src/storage/memory-object-store.ts'
import { ArchiveWriter } from '../../../src/tiering/archive-writer.ts'
import { Surroundings, liveLog } from '../../support/live-logs.ts'
import { segmentEntry, writer } from '../../support/manifests.ts'

function schemaOf(id: number, ...names: string[]): LiveLog['schemas'][number] {
  return { id, fields: names.map((name) => ({ name, type: 'int64', nullable: true })) }
}

async function openWriter(): Promise<ArchiveWriter> {
  const store = new MemoryObjectStore({ url: 'memory://archive' })
  const openManifest = async (): Promise<ManifestStore> => {
    const manifest = await ManifestStore.open(manifestFilesInStore(store), {
      clock: new VirtualClock(),
    })
    await manifest.claim(writer('w'), 'engine')
    return manifest
  }
  return new ArchiveWriter({ store, openManifest, clock: new VirtualClock() })
}

test('the archive learns no schema that only a lost WAL may have known', async () => {
  const archive = await openWriter()
  const log = liveLog(new Surroundings())
  log.restoreSchema(schemaOf(0, 'a'))
  log.restoreSchema(schemaOf(1, 'a', 'b'))
  const object = { object: 'segments/1/0/0', position: 0, length: 32 }
  await archive.commitSegments([
    { log, partition: 0, segment: segmentEntry(0, 3, { object }), producers: [] },
  ])
  expect(archive.state?.logs.get(1)?.schemas).toEqual([schemaOf(0, 'a')])
  await archive.commitSnapshot([log], () => [])
  expect(archive.state?.logs.get(1)?.schemas).toEqual([schemaOf(0, 'a')])
  const statistics = [{ nullCount: 0 }, { nullCount: 0 }]
  const segment = segmentEntry(3, 5, { object, schemaId: 1, statistics })
  await archive.commitSegments([{ log, partition: 0, segment, producers: [] }])
  expect(archive.state?.logs.get(1)?.schemas).toHaveLength(2)
})
