import { expect, test } from 'vitest'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { MemoryObjectStore } from '../../../src/storage/memory-object-store.ts'
import { PacedObjectStore } from '../../../src/storage/paced-object-store.ts'

function setting(): {
  clock: VirtualClock
  store: PacedObjectStore
  put: (key: string, bytes: number, signal?: AbortSignal) => Promise<void>
  done: string[]
} {
  const clock = new VirtualClock()
  const inner = new MemoryObjectStore({ url: 'memory://paced' })
  const store = new PacedObjectStore(inner, { bytesPerSecond: 1_000, unpaced: 'manifest/', clock })
  const done: string[] = []
  const put = async (key: string, bytes: number, signal?: AbortSignal): Promise<void> => {
    await store.put(key, new Uint8Array(bytes), signal === undefined ? {} : { signal })
    done.push(`${key} at ${clock.monotonic()}`)
  }
  return { clock, store, put, done }
}

async function pass(clock: VirtualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    await clock.yield()
    clock.advance(100)
  }
  await clock.yield()
}

test('puts begin in their order when what was put before has had its time', async () => {
  const { clock, put, done } = setting()
  const puts = [put('a', 500), put('b', 2_000), put('c', 1)]
  await pass(clock, 3_000)
  await Promise.all(puts)
  expect(done).toEqual(['a at 0', 'b at 500', 'c at 2500'])
  await pass(clock, 5_000)
  const before = clock.monotonic()
  await put('d', 100)
  // What was not used is not saved up.
  const next = put('e', 100)
  await pass(clock, 100)
  await next
  expect(done.slice(3)).toEqual([`d at ${before}`, `e at ${before + 100}`])
})

test('manifests do not wait, and count', async () => {
  const { clock, put, done } = setting()
  await put('a', 1_000)
  await put('manifest/1', 500)
  const next = put('b', 1)
  await pass(clock, 1_500)
  await next
  expect(done).toEqual(['a at 0', 'manifest/1 at 0', 'b at 1500'])
})

test('a wait ends with its signal, and all of them when the pace is lifted', async () => {
  const { clock, store, put, done } = setting()
  await put('a', 1e6)
  const stop = new AbortController()
  const stopped = expect(put('b', 1, stop.signal)).rejects.toMatchObject({ code: 'aborted' })
  stop.abort()
  await stopped
  const waiting = put('c', 1)
  await clock.yield()
  expect(done).toEqual(['a at 0'])
  store.lift()
  await waiting
  await put('d', 1e6)
  expect(done).toEqual(['a at 0', 'c at 0', 'd at 0'])
})
