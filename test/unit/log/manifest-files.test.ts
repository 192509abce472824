import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../src/base/random.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import type { NumberedManifestFile } from '../../../src/format/paths.ts'
import {
  type ManifestFiles,
  manifestFilesInDirectory,
  manifestFilesInStore,
} from '../../../src/log/manifest-files.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import { MemoryObjectStore } from '../../../src/storage/memory-object-store.ts'
import { writer } from '../../support/manifests.ts'

const clock = new VirtualClock()

async function namesAfter(files: ManifestFiles, after: number): Promise<NumberedManifestFile[]> {
  const names: NumberedManifestFile[] = []
  for await (const name of files.list(after)) names.push(name)
  return names
}

describe.each<[string, () => Promise<ManifestFiles>]>([
  [
    'a directory',
    async () => {
      const fileSystem = new MemoryFileSystem()
      await fileSystem.makeDirectory('data/manifest')
      await fileSystem.putIfAbsent('data/manifest/000000000002.edit~0.tmp', new Uint8Array(1))
      return manifestFilesInDirectory(fileSystem, 'data')
    },
  ],
  ['an object store', async () => manifestFilesInStore(new MemoryObjectStore())],
])('manifest files in %s', (_, make) => {
  test('are written once, read whole, and listed by number', async () => {
    const files = await make()
    const bytes = Uint8Array.of(1, 2, 3)
    expect(await files.read({ kind: 'commit', number: 1 })).toBeNull()
    for (const number of [1, 2, 10])
      expect(await files.putIfAbsent({ kind: 'commit', number }, bytes)).toBe(true)
    expect(await files.putIfAbsent({ kind: 'base', number: 2 }, bytes)).toBe(true)
    expect(await files.putIfAbsent({ kind: 'commit', number: 2 }, Uint8Array.of(9))).toBe(false)
    expect([...((await files.read({ kind: 'commit', number: 2 })) ?? [])]).toEqual([1, 2, 3])
    expect((await namesAfter(files, 0)).map(({ number }) => number)).toEqual([1, 2, 2, 10])
    expect(await namesAfter(files, 1)).toHaveLength(3)
    expect(await namesAfter(files, 2)).toEqual([{ kind: 'commit', number: 10 }])
    expect(await namesAfter(files, 10)).toEqual([])
  })

  test('carry a manifest', async () => {
    const files = await make()
    const store = await ManifestStore.open(files, { clock })
    await store.claim(writer('w'), 'engine')
    for (let walLsn = 1; walLsn < 200; walLsn++)
      await store.commit([{ kind: 'checkpoint', walLsn }])
    await store.close()
    const again = await ManifestStore.open(files, { clock })
    expect([again.number, again.state.walLsn]).toEqual([200, 199])
  })
})

test('a commit that was acknowledged survives a power cut', async () => {
  for (let seed = 1; seed < 20; seed++) {
    const fileSystem = new MemoryFileSystem({ random: seededRandom(seed) })
    const files = manifestFilesInDirectory(fileSystem, 'data')
    const store = await ManifestStore.open(files, { clock })
    await store.claim(writer('w'), 'engine')
    await store.commit([{ kind: 'checkpoint', walLsn: seed }])
    fileSystem.crash()
    expect((await ManifestStore.open(files, { clock })).state.walLsn).toBe(seed)
  }
})
