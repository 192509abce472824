/** What test/contract/record-store.ts asks of an engine, asked of clients of real servers. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll } from 'vitest'
import { type Client, connect } from '../../src/client/index.ts'
import { type OpenStore, recordStoreContract } from '../contract/record-store.ts'
import { windowRowsContract } from '../contract/window-rows.ts'
import { TestServer } from '../support/server.ts'

const root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
const archive = pathToFileURL(join(root, 'archive')).href
const servers: TestServer[] = []
afterAll(async () => {
  for (const server of servers) await server.stop()
  rmSync(root, { recursive: true, force: true })
})

function served(args: readonly string[], isDurable: boolean): () => Promise<OpenStore> {
  let connected: Promise<Client> | null = null
  const start = async (): Promise<Client> => {
    const server = await TestServer.start(args)
    servers.push(server)
    return connect(server.url)
  }
  return async () => {
    connected ??= start()
    return { db: await connected, isDurable }
  }
}

const inRam = served([], false)
recordStoreContract('a client of a server in RAM', inRam)
windowRowsContract('a client of a server in RAM', inRam)
recordStoreContract(
  'a client of a server with a directory and an archive',
  served(['--data-dir', join(root, 'data'), '--archive', archive], true),
)
