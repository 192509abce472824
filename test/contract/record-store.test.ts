import { afterAll } from 'vitest'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Stratalog } from '../../src/index.ts'
import { type OpenStore, recordStoreContract } from './record-store.ts'
import { windowRowsContract } from './window-rows.ts'

const root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
const closers: (() => Promise<void>)[] = []
afterAll(async () => {
  for (const close of closers) await close()
  rmSync(root, { recursive: true, force: true })
})

function shared(open: () => Promise<Stratalog>, isDurable: boolean): () => Promise<OpenStore> {
  let opened: Promise<Stratalog> | null = null
  return async () => {
    opened ??= open()
    const db = await opened
    if (closers.length < 2) closers.push(() => db.close())
    return { db, isDurable }
  }
}

const inRam = shared(() => Stratalog.memoryOnly({ logLevel: 'silent' }), false)
recordStoreContract('an engine in RAM', inRam)
windowRowsContract('an engine in RAM', inRam)
recordStoreContract(
  'an engine on a directory with an archive',
  shared(
    () =>
      Stratalog.open({
        dataDir: join(root, 'data'),
        archive: pathToFileURL(join(root, 'archive')).href,
        logLevel: 'silent',
      }),
    true,
  ),
)
