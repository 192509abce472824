import { expect, test } from 'vitest'
import { StratalogError, type ErrorCode } from '../../../src/base/errors.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { DirectoryObjectStore } from '../../../src/storage/directory-object-store.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import { keysOf } from '../../contract/object-store.ts'
import { expectError } from '../../support/expect-error.ts'

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

function storeOn(fileSystem: MemoryFileSystem): DirectoryObjectStore {
  return new DirectoryObjectStore({
    url: 'file:///archive',
    path: '/archive',
    fileSystem,
    random: seededRandom(1),
  })
}

test('every object that was put survives a power cut that keeps only what was promised', async () => {
  const fileSystem = new MemoryFileSystem()
  const store = storeOn(fileSystem)
  await store.put('plain/a', bytesOf('first'))
  await store.put('plain/a', bytesOf('again'))
  await store.put('conditional/deep/b', bytesOf('b'), { ifAbsent: true })
  fileSystem.crash('promised')
  const reopened = storeOn(fileSystem)
  expect(textOf(await reopened.get('plain/a'))).toBe('again')
  expect(textOf(await reopened.get('conditional/deep/b'))).toBe('b')
  expect(await keysOf(reopened, '')).toEqual(['conditional/deep/b', 'plain/a'])
})

test('unfinished and foreign files are not listed', async () => {
  const fileSystem = new MemoryFileSystem()
  const store = storeOn(fileSystem)
  await store.put('a/b', bytesOf('x'))
  await fileSystem.create('/archive/a/b~0.tmp')
  await fileSystem.create('/archive/a/Thumbs db')
  expect(await keysOf(store, '')).toEqual(['a/b'])
  expect(await keysOf(store, 'a/b')).toEqual(['a/b'])
})

test('a stale unfinished file does not stop a put', async () => {
  const fileSystem = new MemoryFileSystem()
  const store = storeOn(fileSystem)
  await store.put('a', bytesOf('x'))
  await fileSystem.create('/archive/a~0.tmp')
  await store.put('a', bytesOf('y'))
  expect(textOf(await store.get('a'))).toBe('y')
})

test('a put makes its directory again when someone removed it', async () => {
  const fileSystem = new MemoryFileSystem()
  const store = storeOn(fileSystem)
  await store.put('a/b', bytesOf('x'))
  await fileSystem.removeDirectory('/archive/a')
  await store.put('a/c', bytesOf('y'), { ifAbsent: true })
  expect(await keysOf(store, '')).toEqual(['a/c'])
})

test('a store whose root went away is unavailable, and is not begun anew in its place', async () => {
  const fileSystem = new MemoryFileSystem()
  const store = storeOn(fileSystem)
  await store.put('a/b', bytesOf('x'))
  await fileSystem.removeDirectory('/archive')
  await expectError(store.put('a/c', bytesOf('y')), 'store_unavailable')
  await expectError(store.put('b/c', bytesOf('y'), { ifAbsent: true }), 'store_unavailable')
  expect(await fileSystem.stat('/archive')).toBeNull()
})

test('a missing directory is bucket_not_found to a reader and made for a writer', async () => {
  const store = storeOn(new MemoryFileSystem())
  const error = await expectError(store.probe({ write: false }), 'bucket_not_found')
  expect(error.message).toContain('mkdir -p /archive')
  await store.probe({ write: true })
  await store.probe({ write: false })
})

test('head tells the checksum of the bytes that are there, not of those that were put', async () => {
  const fileSystem = new MemoryFileSystem()
  const store = storeOn(fileSystem)
  await store.put('a', bytesOf('right'))
  const before = await store.head('a')
  await fileSystem.remove('/archive/a')
  await fileSystem.putIfAbsent('/archive/a', bytesOf('wrong'))
  const after = await store.head('a')
  expect(after?.length).toBe(before?.length)
  expect(after?.sha256).not.toBe(before?.sha256)
})

test('object_exists is answered only after the directory was synced', async () => {
  const fileSystem = new MemoryFileSystem()
  const store = storeOn(fileSystem)
  await store.put('b', bytesOf('other'))
  const rival = await fileSystem.create('/archive/a')
  await rival.write(bytesOf('rival'))
  await rival.sync()
  await expectError(store.put('a', bytesOf('mine'), { ifAbsent: true }), 'object_exists')
  fileSystem.crash('promised')
  expect(textOf(await store.get('a'))).toBe('rival')
})

class FailingFileSystem extends MemoryFileSystem {
  readonly #error: StratalogError
  constructor(error: StratalogError) {
    super()
    this.#error = error
  }
  override async putIfAbsent(): Promise<void> {
    throw this.#error
  }
}

test.each<[ErrorCode, string, ErrorCode]>([
  ['disk_full', 'ENOSPC', 'store_unavailable'],
  ['file_system_failed', 'EIO', 'store_unavailable'],
  ['file_system_failed', 'EACCES', 'store_denied'],
  ['file_system_failed', 'EROFS', 'store_denied'],
])('%s with %s is %s to who uses the store', async (code, errno, expected) => {
  const cause = new StratalogError(code, 'scripted', { details: { errno, path: '/archive/a' } })
  const store = storeOn(new FailingFileSystem(cause))
  const error = await expectError(store.put('a', bytesOf('x'), { ifAbsent: true }), expected)
  expect(error.cause).toBe(cause)
})
