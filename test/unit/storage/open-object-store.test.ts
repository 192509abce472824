import { expect, test } from 'vitest'
import { silentLogger } from '../../../src/base/logger.ts'
import { noMetrics } from '../../../src/base/metrics.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import {
  createBucketIfMissing,
  openObjectStore,
  type OpenObjectStoreOptions,
} from '../../../src/storage/open-object-store.ts'
import { expectError } from '../../support/expect-error.ts'

function options(fileSystem = new MemoryFileSystem()): OpenObjectStoreOptions {
  return {
    fileSystem,
    clock: new VirtualClock(),
    random: seededRandom(1),
    metrics: noMetrics,
    logger: silentLogger,
  }
}

test('a memory store is found again by its name, and another name is another store', async () => {
  const first = await openObjectStore('memory://found-again', options())
  await first.put('a', new Uint8Array(3))
  await first.close()
  const again = await openObjectStore('memory://found-again', options())
  const other = await openObjectStore('memory://other', options())
  expect(await again.head('a')).toMatchObject({ length: 3 })
  expect(await other.head('a')).toBeNull()
})

test('a directory store writes below its path and counts its requests', async () => {
  const fileSystem = new MemoryFileSystem()
  const store = await openObjectStore('file:///some/archive', options(fileSystem))
  await store.put('a/b', new Uint8Array(3))
  expect(await fileSystem.list('/some/archive/a')).toEqual(['b'])
  expect(store.requests()).toMatchObject({ put: 1, bytesOut: 3 })
})

test('createBucketIfMissing makes the directory of a file URL', async () => {
  const fileSystem = new MemoryFileSystem()
  const url = 'file:///some/archive'
  const store = await openObjectStore(url, options(fileSystem))
  await expectError(store.probe({ write: false }), 'bucket_not_found')
  await createBucketIfMissing(url, options(fileSystem))
  await createBucketIfMissing(url, options(fileSystem))
  await store.probe({ write: false })
})

test('a URL or an endpoint that cannot be is refused before anything is opened', async () => {
  await expectError(openObjectStore('ftp://somewhere', options()), 'url_invalid')
  const s3 = { endpoint: 'localhost:9000' }
  await expectError(openObjectStore('s3://bucket', { ...options(), s3 }), 'config_invalid')
})
