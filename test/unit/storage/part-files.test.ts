import { expect, test } from 'vitest'
import { present } from '../../../src/base/assert.ts'
import { StratalogError } from '../../../src/base/errors.ts'
import { MemoryFileSystem } from '../../../src/storage/memory-file-system.ts'
import type { CachedPart } from '../../../src/storage/part-cache.ts'
import { type HeldParts, PartFiles, type PartedObject } from '../../../src/storage/part-files.ts'
import { eventually } from '../../support/eventually.ts'
import { expectError } from '../../support/expect-error.ts'
import { Origin, byteAt, part } from '../../support/part-origin.ts'

const NEVER = new AbortController().signal

function open(files: MemoryFileSystem, bytesMax = 1_000_000): Promise<PartFiles> {
  return PartFiles.open({ directory: '/columns', bytesMax, fileSystem: files })
}

function objectOf(origin: Origin, number: number): PartedObject {
  return { ...origin.object(number), key: `segments/${number}`, url: 'memory://' }
}

/** Whether each part lies, sound, where the held files say. */
async function soundIn(
  files: MemoryFileSystem,
  held: HeldParts,
  parts: readonly CachedPart[],
): Promise<boolean[]> {
  return Promise.all(
    parts.map(async (wanted) => {
      for (const { path, places } of held.files) {
        const place = places.find(({ start, end }) => start === wanted.start && end === wanted.end)
        if (place === undefined) continue
        const bytes = await files.read(path)
        return wanted.isSound(
          bytes.subarray(place.position, place.position + place.end - place.start),
        )
      }
      return false
    }),
  )
}

test('parts are fetched once, close ones together, into a file; later ones into another', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const cache = await open(files)
  const parts = [part(1, 0, 100), part(1, 100, 300), part(1, 90_000, 90_100)]
  const held = await cache.acquire(objectOf(origin, 1), parts, NEVER)
  expect(await soundIn(files, held, parts)).toEqual([true, true, true])
  expect(held.requests).toBe(2)
  expect(held.files).toHaveLength(1)

  const more = [...parts, part(1, 200_000, 200_050)]
  const again = await cache.acquire(objectOf(origin, 1), more, NEVER)
  expect(await soundIn(files, again, more)).toEqual([true, true, true, true])
  expect(again.requests).toBe(1)
  expect(origin.fetched).toHaveLength(3)
  expect(cache.usedBytes).toBe(450)
})

test('who wants what is on its way waits for it, and fetches it where the other one gave up', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const cache = await open(files)
  const first = new AbortController()
  const waiting = Promise.withResolvers<never>()
  origin.fault = (bytes, fetch) => (fetch === 0 ? waiting.promise : bytes)
  const parts = [part(1, 0, 100)]
  const one = cache.acquire(objectOf(origin, 1), parts, first.signal)
  const two = cache.acquire(objectOf(origin, 1), parts, NEVER)
  await eventually(() => expect(origin.fetched).toHaveLength(1))

  first.abort(new StratalogError('aborted', 'enough'))
  waiting.reject(new StratalogError('aborted', 'enough'))
  await expectError(one, 'aborted')
  expect(await soundIn(files, await two, parts)).toEqual([true])
  expect(origin.fetched).toHaveLength(2)
  await cache.settle()
  expect(await files.list('/columns')).toHaveLength(1)
})

test('bytes that come wrong are asked for once more, and wrong twice are an error that leaves nothing', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const cache = await open(files)
  const flipped = (bytes: Uint8Array): Uint8Array => bytes.map((byte) => byte ^ 1)
  const parts = [part(1, 1000, 1100)]
  origin.fault = (bytes, fetch) => (fetch === 0 ? flipped(bytes) : bytes)
  const held = await cache.acquire(objectOf(origin, 1), parts, NEVER)
  expect(await soundIn(files, held, parts)).toEqual([true])

  origin.fault = flipped
  const error = await expectError(
    cache.acquire(objectOf(origin, 2), [part(2, 1000, 1100)], NEVER),
    'object_corrupt',
  )
  expect(error.details).toMatchObject({ key: 'segments/2', start: 1000, end: 1100 })
  await cache.settle()
  expect(await files.list('/columns')).toHaveLength(1)
  expect(cache.usedBytes).toBe(100)
})

test('files beyond the budget go, the least recently used first, but none that is held', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const cache = await open(files, 250)
  const acquire = (number: number): Promise<HeldParts> =>
    cache.acquire(objectOf(origin, number), [part(number, 0, 100)], NEVER)
  const held = await acquire(1)
  const second = await acquire(2)
  second.release()
  second.release()
  ;(await acquire(3)).release()
  await cache.settle()
  const names = await files.list('/columns')
  expect(names.map((name) => Number.parseInt(name.slice(0, 64), 16))).toEqual([1, 3])
  expect(await soundIn(files, held, [part(1, 0, 100)])).toEqual([true])

  held.release()
  ;(await acquire(4)).release()
  expect(cache.usedBytes).toBe(200)
  expect((await acquire(1)).requests).toBe(1)
})

test('many bytes come in requests of a few megabytes, in order', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const cache = await open(files, 1e9)
  const size = 1_500_000
  const parts = Array.from({ length: 8 }, (_, index) => part(1, index * size, (index + 1) * size))
  const held = await cache.acquire(objectOf(origin, 1), parts, NEVER)
  expect(held.requests).toBe(4)
  const file = present(held.files[0], 'a file')
  expect(file.places.map(({ position }) => position)).toEqual(parts.map(({ start }) => start))
  expect(await soundIn(files, held, parts)).toEqual(parts.map(() => true))
})

test('what an earlier process left is removed', async () => {
  const files = new MemoryFileSystem()
  await files.makeDirectory('/columns')
  await files.putIfAbsent('/columns/old', new Uint8Array(3))
  await open(files)
  expect(await files.list('/columns')).toEqual([])
})

test('who gives up waits for nobody, and whoever closes waits for what is being written', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const cache = await open(files)
  const slow = Promise.withResolvers<Uint8Array>()
  origin.fault = () => slow.promise
  const parts = [part(1, 0, 100)]
  const one = cache.acquire(objectOf(origin, 1), parts, NEVER)
  const second = new AbortController()
  const two = cache.acquire(objectOf(origin, 1), parts, second.signal)
  second.abort(new StratalogError('aborted', 'enough'))
  await expectError(two, 'aborted')

  let isSettled = false
  const settled = cache.settle().then(() => (isSettled = true))
  await Promise.resolve()
  expect(isSettled).toBe(false)
  slow.resolve(Uint8Array.from({ length: 100 }, (_, index) => byteAt(1, index)))
  expect(await soundIn(files, await one, parts)).toEqual([true])
  await settled
})

test('where one request fails the others of its file are ended', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const cache = await open(files)
  origin.fault = (bytes, fetch) =>
    fetch === 0 ? Promise.reject(new StratalogError('store_unavailable', 'away')) : bytes
  const parts = [part(1, 0, 100), part(1, 500_000, 500_100)]
  await expectError(cache.acquire(objectOf(origin, 1), parts, NEVER), 'store_unavailable')
  expect(origin.signals.map(({ aborted }) => aborted)).toEqual([true, true])
  await cache.settle()
  expect(await files.list('/columns')).toEqual([])
  expect(cache.usedBytes).toBe(0)
})

test('parts that turned out to be damaged are fetched again, and stay for whoever holds them', async () => {
  const files = new MemoryFileSystem()
  const origin = new Origin()
  const cache = await open(files)
  const parts = [part(1, 0, 100)]
  const held = await cache.acquire(objectOf(origin, 1), parts, NEVER)
  held.discard()
  const again = await cache.acquire(objectOf(origin, 1), parts, NEVER)
  expect(again.requests).toBe(1)
  await cache.settle()
  expect(await files.list('/columns')).toHaveLength(2)
  held.release()
  await cache.settle()
  expect(await soundIn(files, again, parts)).toEqual([true])
  expect(await files.list('/columns')).toHaveLength(1)
})
