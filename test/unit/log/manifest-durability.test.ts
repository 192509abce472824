/** A manifest in a directory whose syncs fail: what was committed is there after a power cut. */
import { expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { manifestFilesInDirectory } from '../../../src/log/manifest-files.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import { writer } from '../../support/manifests.ts'

/** As the real one where the sync of the directory fails: the file has its name, but only in the kernel's memory. */
class UnsyncedNames extends MemoryFileSystem {
  failures = 0

  override async putIfAbsent(path: string, bytes: Uint8Array): Promise<void> {
    if (this.failures === 0) return super.putIfAbsent(path, bytes)
    if ((await this.stat(path)) === null) {
      const file = await this.create(path)
      await file.write(bytes)
      await file.sync()
      await file.close()
    }
    await this.syncDirectory(path.slice(0, path.lastIndexOf('/')))
  }

  override async syncDirectory(path: string): Promise<void> {
    if (this.failures === 0) return super.syncDirectory(path)
    this.failures--
    throw new StratalogError('disk_failed', `Cannot sync the directory ${path}.`)
  }
}

function open(fileSystem: UnsyncedNames): Promise<ManifestStore> {
  const clock = new VirtualClock()
  return ManifestStore.open(manifestFilesInDirectory(fileSystem, '/data'), { clock })
}

for (const failures of [1, 2, 3]) {
  test(`a commit that resolved survives a power cut though ${failures} syncs of the directory failed`, async () => {
    const fileSystem = new UnsyncedNames()
    const store = await open(fileSystem)
    await store.claim(writer('w'), 'engine')
    fileSystem.failures = failures
    const isCommitted = await store.commit([{ kind: 'checkpoint', walLsn: 8 }]).then(
      () => true,
      () => false,
    )
    fileSystem.failures = 0
    fileSystem.crash('promised')
    const { walLsn } = (await open(fileSystem)).state
    expect(walLsn).toBe(isCommitted ? 8 : 0)
  })

  test(`a commit after one that ${failures} failed syncs left unknown makes both durable`, async () => {
    const fileSystem = new UnsyncedNames()
    const store = await open(fileSystem)
    await store.claim(writer('w'), 'engine')
    fileSystem.failures = failures
    await store.commit([{ kind: 'checkpoint', walLsn: 8 }]).catch(() => {})
    fileSystem.failures = 0
    await store.commit([{ kind: 'checkpoint', walLsn: 16 }])
    fileSystem.crash('promised')
    expect((await open(fileSystem)).state.walLsn).toBe(16)
  })
}
