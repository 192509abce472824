/** Segments of a log without a WAL whose commit a crash swallowed: nothing else has their records. */
import { cp, readdir, rm } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { StratalogError } from '../../src/base/errors.ts'
import type { StoragePorts } from '../../src/engine/storage-ports.ts'
import { storageOf } from '../../src/engine/system-storage.ts'
import { Stratalog } from '../../src/index.ts'
import { NodeFileSystem } from '../../src/storage/node-file-system.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

/** A directory as a crash leaves it between the segment and its commit. */
async function crashed(): Promise<string> {
  const root = await temporaryDirectory()
  await using db = await Stratalog.open({ dataDir: `${root}/data` })
  await db.tier.pause()
  const log = await db.createLog('log', { storage: { mode: 'hybrid', wal: false } })
  await log.append([{ n: 0 }, { n: 1 }])
  const committed = new Set(await readdir(`${root}/data/manifest`))
  await db.tier.now({ to: 'disk' })
  await cp(`${root}/data`, `${root}/crashed`, { recursive: true })
  for (const name of await readdir(`${root}/crashed/manifest`))
    if (!committed.has(name)) await rm(`${root}/crashed/manifest/${name}`)
  for (const name of await readdir(`${root}/crashed`))
    if (name.startsWith('newest.')) await rm(`${root}/crashed/${name}`)
  return `${root}/crashed`
}

/** Files of which segments cannot be read. */
class UnreadableSegments extends NodeFileSystem {
  override async read(path: string): Promise<Uint8Array> {
    if (path.includes('/segments/'))
      throw new StratalogError('file_system_failed', `planted: cannot read ${path}`)
    return super.read(path)
  }
}

/** A manifest that takes no commit while it is told so. */
class FailingManifest extends NodeFileSystem {
  isFailing = false

  override async putIfAbsent(path: string, bytes: Uint8Array): Promise<void> {
    if (this.isFailing && path.includes('/manifest/'))
      throw new StratalogError('file_system_failed', `planted: cannot write ${path}`)
    return super.putIfAbsent(path, bytes)
  }
}

test('are taken over, and their offsets are given to no others', async () => {
  const dataDir = await crashed()
  await using db = await Stratalog.open({ dataDir })
  const log = db.log('log')
  expect((await log.read().toArray()).map(({ n }) => n)).toEqual([0, 1])
  expect(await log.append({ n: 2 })).toMatchObject({ offset: 2 })
})

test('that the disk does not give keep the directory closed, and are there when it does', async () => {
  const dataDir = await crashed()
  const storage: StoragePorts = {
    ...storageOf({ storage: null }),
    fileSystem: new UnreadableSegments(),
  }
  await expectError(Stratalog.open({ dataDir }, { storage }), 'file_system_failed')
  await using db = await Stratalog.open({ dataDir })
  expect((await db.log('log').read().toArray()).map(({ n }) => n)).toEqual([0, 1])
})

test('of a time when the log had a WAL are left to it, which knows the producers too', async () => {
  const root = await temporaryDirectory()
  const fileSystem = new FailingManifest()
  const storage: StoragePorts = { ...storageOf({ storage: null }), fileSystem }
  await using db = await Stratalog.open({ dataDir: `${root}/data` }, { storage })
  await db.tier.pause()
  const log = await db.createLog('log')
  const producer = { producerId: 'a', epoch: 0 }
  await log.append({ n: 0 }, { producer: { ...producer, sequence: 0 } })
  await db.tier.now({ to: 'disk' })
  await log.append({ n: 1 }, { producer: { ...producer, sequence: 1 } })
  fileSystem.isFailing = true
  expect(await db.tier.now({ to: 'disk' })).toMatchObject({ failed: [{}] })
  fileSystem.isFailing = false
  await db.alterLog('log', { storage: { wal: false } })
  await cp(`${root}/data`, `${root}/crashed`, { recursive: true })

  // The second opening finds a WAL that was let go of what lies in segments.
  for (let life = 0; life < 2; life++) {
    await using again = await Stratalog.open({ dataDir: `${root}/crashed` })
    const append = again.log('log').append({ n: 1 }, { producer: { ...producer, sequence: 1 } })
    expect(await append).toMatchObject({ offset: 1, isDuplicate: true })
    await again.tier.now({ to: 'disk' })
  }
})
