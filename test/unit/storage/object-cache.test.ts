import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import { MemoryObjectStore } from '../../../src/storage/memory-object-store.ts'
import { ObjectCache, type CachedContent } from '../../../src/storage/object-cache.ts'
import { expectError } from '../../support/expect-error.ts'
import { faultsAt, FaultyObjectStore } from '../../support/faulty-object-store.ts'

const contentOf = (bytes: Uint8Array): CachedContent => ({
  length: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('hex'),
})

/** Objects `0` to `9`, each of 100 bytes of its own. */
async function objects(): Promise<{ store: MemoryObjectStore; contents: CachedContent[] }> {
  const store = new MemoryObjectStore()
  const contents: CachedContent[] = []
  for (let i = 0; i < 10; i++) {
    const bytes = new Uint8Array(100).fill(i + 1)
    await store.put(String(i), bytes)
    contents.push(contentOf(bytes))
  }
  return { store, contents }
}

const open = (fileSystem: MemoryFileSystem, bytesMax = 1_000): Promise<ObjectCache> =>
  ObjectCache.open({ directory: '/cache', bytesMax, fileSystem })

const at = (contents: CachedContent[], index: number): CachedContent => {
  const content = contents[index]
  if (content === undefined) throw new Error('no such object')
  return content
}

test('an object is fetched once and then served from disk', async () => {
  const fileSystem = new MemoryFileSystem()
  const { store, contents } = await objects()
  const faulty = new FaultyObjectStore(store, () => null)
  const cache = await open(fileSystem)
  for (let i = 0; i < 3; i++) {
    const file = await cache.acquire(faulty, '4', at(contents, 4))
    expect(await fileSystem.read(file.path)).toEqual(new Uint8Array(100).fill(5))
    file.release()
  }
  expect(faulty.calls).toHaveLength(1)
  expect(cache.counts()).toEqual({ hits: 2, misses: 1, usedBytes: 100 })
})

test('all who ask at the same time share one fetch', async () => {
  const { store, contents } = await objects()
  const faulty = new FaultyObjectStore(store, () => null)
  const cache = await open(new MemoryFileSystem())
  const files = await Promise.all(
    Array.from({ length: 10 }, () => cache.acquire(faulty, '1', at(contents, 1))),
  )
  expect(new Set(files.map((file) => file.path)).size).toBe(1)
  expect(faulty.calls).toHaveLength(1)
})

test('a part of an object is fetched by its range', async () => {
  const fileSystem = new MemoryFileSystem()
  const { store } = await objects()
  await store.put('pack', new Uint8Array([1, 2, 3, 4, 5, 6]))
  const part = { ...contentOf(new Uint8Array([3, 4])), position: 2 }
  const file = await (await open(fileSystem)).acquire(store, 'pack', part)
  expect(await fileSystem.read(file.path)).toEqual(new Uint8Array([3, 4]))
})

test.each([{ kind: 'wrong-bytes' } as const, { kind: 'truncate', length: 50 } as const])(
  'wrong bytes ($kind) are refused, leave nothing, and are fetched again by who asks next',
  async (fault) => {
    const fileSystem = new MemoryFileSystem()
    const { store, contents } = await objects()
    const faulty = new FaultyObjectStore(store, faultsAt({ 0: fault }))
    const cache = await open(fileSystem)
    await expectError(cache.acquire(faulty, '0', at(contents, 0)), 'object_corrupt')
    expect(await fileSystem.list('/cache')).toEqual([])
    expect(cache.counts().usedBytes).toBe(0)
    const file = await cache.acquire(faulty, '0', at(contents, 0))
    expect(await fileSystem.read(file.path)).toHaveLength(100)
  },
)

test('what was not used for longest goes first, and what is held stays', async () => {
  const fileSystem = new MemoryFileSystem()
  const { store, contents } = await objects()
  const cache = await open(fileSystem, 300)
  const held = await cache.acquire(store, '0', at(contents, 0))
  for (const index of [1, 2, 1, 3]) {
    const file = await cache.acquire(store, String(index), at(contents, index))
    file.release()
  }
  const kept = [0, 1, 3].map((index) => at(contents, index).sha256).sort()
  await expect.poll(() => fileSystem.list('/cache')).toEqual(kept)
  expect(await fileSystem.read(held.path)).toHaveLength(100)
})

test('who lets a file go twice does not take it from another', async () => {
  const { store, contents } = await objects()
  const fileSystem = new MemoryFileSystem()
  const cache = await open(fileSystem, 0)
  const first = await cache.acquire(store, '0', at(contents, 0))
  const second = await cache.acquire(store, '0', at(contents, 0))
  first.release()
  first.release()
  expect(cache.counts().usedBytes).toBe(100)
  second.release()
  expect(cache.counts().usedBytes).toBe(0)
  await expect.poll(() => fileSystem.list('/cache')).toEqual([])
})

test('held files may exceed the budget, which holds again when they are let go', async () => {
  const { store, contents } = await objects()
  const cache = await open(new MemoryFileSystem(), 250)
  const files = await Promise.all(
    contents.map((content, index) => cache.acquire(store, String(index), content)),
  )
  expect(cache.counts().usedBytes).toBe(1_000)
  for (const file of files) file.release()
  expect(cache.counts().usedBytes).toBe(200)
})

test('a cache that is opened again keeps whole files, verifies them before use, and removes the rest', async () => {
  const fileSystem = new MemoryFileSystem()
  const { store, contents } = await objects()
  const faulty = new FaultyObjectStore(store, () => null)
  const first = await open(fileSystem)
  for (const index of [0, 1])
    (await first.acquire(faulty, String(index), at(contents, index))).release()
  const damaged = `/cache/${at(contents, 1).sha256}`
  await fileSystem.remove(damaged)
  await fileSystem.putIfAbsent(damaged, new Uint8Array(100))
  await fileSystem.create('/cache/unfinished~0.tmp')
  const second = await open(fileSystem)
  expect(await fileSystem.list('/cache')).toHaveLength(2)
  expect(second.counts().usedBytes).toBe(200)
  for (const index of [0, 1]) {
    const file = await second.acquire(faulty, String(index), at(contents, index))
    expect(await fileSystem.read(file.path)).toEqual(new Uint8Array(100).fill(index + 1))
  }
  expect(faulty.calls.map((call) => call.key)).toEqual(['0', '1', '1'])
})

test('a file of the wrong length that an earlier process left is replaced', async () => {
  const fileSystem = new MemoryFileSystem()
  const { store, contents } = await objects()
  await fileSystem.makeDirectory('/cache')
  await fileSystem.putIfAbsent(`/cache/${at(contents, 0).sha256}`, new Uint8Array(7))
  const cache = await open(fileSystem)
  const file = await cache.acquire(store, '0', at(contents, 0))
  expect(await fileSystem.read(file.path)).toHaveLength(100)
  expect(cache.counts().usedBytes).toBe(100)
})
