import { expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import { type CachedPart, PartCache } from '../../../src/storage/part-cache.ts'
import { expectError } from '../../support/expect-error.ts'
import { Origin, part } from '../../support/part-origin.ts'

function open(files: MemoryFileSystem, bytesMax = 1_000_000): Promise<PartCache> {
  return PartCache.open({ directory: '/parts', bytesMax, fileSystem: files })
}

async function readSound(
  cache: PartCache,
  origin: Origin,
  number: number,
  parts: readonly CachedPart[],
): Promise<void> {
  const read = await cache.read(origin.object(number), parts)
  expect(read.map((bytes, index) => parts[index]?.isSound(bytes))).toEqual(parts.map(() => true))
}

test('parts are fetched once, close ones together, and then read from disk in any cut', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const cache = await open(files)
  const parts = [part(1, 0, 100), part(1, 100, 300), part(1, 90_000, 90_100)]
  await readSound(cache, origin, 1, parts)
  await cache.settle()
  expect(origin.fetched).toEqual([
    { start: 0, end: 300 },
    { start: 90_000, end: 90_100 },
  ])
  expect(await files.list('/parts')).toHaveLength(2)
  await readSound(cache, origin, 1, parts)
  await readSound(cache, origin, 1, [part(1, 100, 300)])
  expect(origin.fetched).toHaveLength(2)
  expect(cache.counts()).toEqual({ hits: 4, misses: 3, fetches: 2, usedBytes: 400 })
  // Of what is wanted, only what is not here.
  await readSound(cache, origin, 1, [part(1, 100, 300), part(1, 300, 400)])
  expect(origin.fetched.slice(2)).toEqual([{ start: 300, end: 400 }])
})

test('bytes fetched along to save a request are not kept', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const cache = await open(files)
  await readSound(cache, origin, 1, [part(1, 0, 100), part(1, 200, 300)])
  await cache.settle()
  expect(origin.fetched).toEqual([{ start: 0, end: 300 }])
  expect(cache.counts().usedBytes).toBe(200)
})

test('all who want the same bytes at the same time share one fetch', async () => {
  const origin = new Origin()
  const cache = await open(new MemoryFileSystem())
  await Promise.all(
    Array.from({ length: 10 }, (_, reader) =>
      readSound(cache, origin, 1, [part(1, reader, 100 - reader), part(1, 50_000, 50_100)]),
    ),
  )
  expect(origin.fetched).toHaveLength(2)
})

test('who stops waiting leaves the fetch to the others; the last ends it, and nobody joins it then', async () => {
  const origin = new Origin()
  const arrived = Promise.withResolvers<Uint8Array>()
  origin.fault = (bytes, fetch) => (fetch === 0 ? arrived.promise : bytes)
  const cache = await open(new MemoryFileSystem())
  const first = new AbortController()
  const second = new AbortController()
  const wanted = [part(1, 0, 100)]
  const one = expectError(cache.read(origin.object(1), wanted, first.signal), 'aborted')
  const two = expectError(cache.read(origin.object(1), wanted, second.signal), 'aborted')
  first.abort()
  await one
  expect(origin.signals[0]?.aborted).toBe(false)
  second.abort()
  await two
  expect(origin.signals[0]?.aborted).toBe(true)
  await readSound(cache, origin, 1, wanted)
  expect(origin.fetched).toHaveLength(2)
  arrived.reject(new Error('ended'))
  await cache.close()
})

test('a file whose bytes are wrong, too few or gone is dropped and fetched again', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const cache = await open(files)
  const wanted = [part(1, 0, 100), part(1, 100, 200)]
  const damages: ((path: string) => Promise<void>)[] = [
    async (path) => {
      const bytes = await files.read(path)
      bytes[150] = (bytes[150] ?? 0) ^ 1
      await replace(files, path, bytes)
    },
    async (path) => replace(files, path, (await files.read(path)).subarray(0, 120)),
    async (path) => files.remove(path),
  ]
  for (const [count, damage] of damages.entries()) {
    await readSound(cache, origin, 1, wanted)
    await cache.settle()
    expect(origin.fetched).toHaveLength(count + 1)
    const [name = ''] = await files.list('/parts')
    await damage(`/parts/${name}`)
  }
  await readSound(cache, origin, 1, wanted)
  await cache.settle()
  expect(origin.fetched).toHaveLength(4)
  expect(cache.counts().usedBytes).toBe(200)
})

test.each([
  ['wrong', (bytes: Uint8Array) => bytes.map((byte) => byte ^ 1)],
  ['too few', (bytes: Uint8Array) => bytes.subarray(0, 50)],
])('fetched bytes that are %s are given as they came, and never kept', async (_, fault) => {
  const origin = new Origin()
  origin.fault = (bytes, fetch) => (fetch === 0 ? fault(bytes) : bytes)
  const cache = await open(new MemoryFileSystem())
  const wanted = [part(1, 0, 100)]
  const [bytes = new Uint8Array(0)] = await cache.read(origin.object(1), wanted)
  expect(wanted[0]?.isSound(bytes)).toBe(false)
  await cache.settle()
  expect(cache.counts().usedBytes).toBe(0)
  await readSound(cache, origin, 1, wanted)
})

test('a fetch that fails fails the read, and the next one fetches again', async () => {
  const origin = new Origin()
  origin.fault = (bytes, fetch) => {
    if (fetch === 1) throw new StratalogError('object_not_found', 'gone')
    return bytes
  }
  const cache = await open(new MemoryFileSystem())
  const wanted = [part(1, 0, 100), part(1, 60_000, 60_100)]
  await expectError(cache.read(origin.object(1), wanted), 'object_not_found')
  await cache.settle()
  await readSound(cache, origin, 1, wanted)
  expect(origin.fetched).toHaveLength(3)
})

test('files stay within the budget, and a scan leaves footers and what is read again and again', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const cache = await open(files, 20_000)
  const footer = [part(1, 99_000, 100_000, 'footer')]
  const point = [part(1, 5_000, 6_000)]
  await readSound(cache, origin, 1, footer)
  const scan = async (from: number, to: number): Promise<void> => {
    for (let number = from; number < to; number++) {
      await readSound(cache, origin, number, [part(number, 0, 1_000)])
      await cache.settle()
      expect(cache.counts().usedBytes).toBeLessThanOrEqual(20_000)
    }
  }
  await readSound(cache, origin, 1, point)
  await scan(10, 35)
  await readSound(cache, origin, 1, point)
  await scan(100, 200)
  const before = origin.fetched.length
  await readSound(cache, origin, 1, footer)
  await readSound(cache, origin, 1, point)
  expect(origin.fetched).toHaveLength(before)
  const names = await files.list('/parts')
  expect(names.length * 1_000).toBe(cache.counts().usedBytes)
})

test('what an earlier process kept is read, what it left unfinished is found out, and strangers go', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const before = await open(files)
  await readSound(before, origin, 1, [part(1, 0, 100)])
  await readSound(before, origin, 2, [part(2, 0, 100)])
  await before.close()
  const torn = (await files.list('/parts')).find((name) => name.startsWith('2'.padStart(64, '0')))
  await replace(files, `/parts/${torn}`, new Uint8Array(7))
  await replace(files, '/parts/stranger', new Uint8Array(7))
  const after = await open(files)
  await readSound(after, origin, 1, [part(1, 0, 100)])
  expect(origin.fetched).toHaveLength(2)
  await readSound(after, origin, 2, [part(2, 0, 100)])
  expect(origin.fetched).toHaveLength(3)
  await after.settle()
  expect(await files.list('/parts')).toHaveLength(2)
})

test('a disk that is full keeps nothing, and fails no read', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const full = Object.assign(files, {
    create: () => Promise.reject(new StratalogError('disk_full', 'no space left')),
  })
  const cache = await open(full)
  for (let round = 1; round <= 3; round++) {
    await readSound(cache, origin, 1, [part(1, 0, 100)])
    await cache.settle()
    expect(origin.fetched).toHaveLength(round)
  }
})

test('no more requests are under way at once than the bound', async () => {
  const origin = new Origin()
  const waiting: (() => void)[] = []
  origin.fault = (bytes) => new Promise((resolve) => waiting.push(() => resolve(bytes)))
  const cache = await open(new MemoryFileSystem())
  const readings = Array.from({ length: 40 }, (_, number) =>
    readSound(cache, origin, number, [part(number, 0, 100)]),
  )
  const sizes: number[] = []
  for (let done = 0; done < 40; done++) {
    await expect.poll(() => waiting.length).toBeGreaterThan(0)
    sizes.push(origin.fetched.length - done)
    waiting.shift()?.()
  }
  await Promise.all(readings)
  expect(Math.max(...sizes)).toBe(16)
})

async function replace(files: MemoryFileSystem, path: string, bytes: Uint8Array): Promise<void> {
  await files.remove(path)
  const file = await files.create(path)
  await file.write(bytes)
  await file.close()
}
