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
