import { expect, test } from 'vitest'
import { TwoQueue } from '../../../src/storage/two-queue.ts'

/** Reads `names` of ten bytes each through a queue, as a cache does: kept ones are touched, others added. */
function readAll(queue: TwoQueue, kept: Set<string>, names: readonly string[]): number {
  let hits = 0
  for (const name of names) {
    if (kept.has(name)) {
      queue.touch(name)
      hits++
    } else {
      kept.add(name)
      for (const gone of queue.add(name, 10)) kept.delete(gone)
    }
  }
  return hits
}

function names(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`)
}

test('what is kept stays within the bytes, whatever comes', () => {
  const queue = new TwoQueue(105)
  const kept = new Set<string>()
  readAll(queue, kept, names('a', 1_000))
  expect(queue.usedBytes).toBe(100)
  expect(kept.size).toBe(10)
  expect(queue.add('huge', 200)).toContain('huge')
  expect(queue.usedBytes).toBeLessThanOrEqual(105)
})

test('a scan of everything leaves what was read again and again', () => {
  const queue = new TwoQueue(1_000)
  const kept = new Set<string>()
  const points = names('point', 20)
  readAll(queue, kept, points)
  // They leave the first queue, and are wanted again while they are remembered.
  readAll(queue, kept, names('other', 100))
  readAll(queue, kept, points)
  readAll(queue, kept, names('scan', 10_000))
  expect(readAll(queue, kept, points)).toBe(20)
})

test('what is preferred needs no second read', () => {
  const queue = new TwoQueue(1_000)
  const kept = new Set(['footer'])
  queue.add('footer', 10, true)
  readAll(queue, kept, names('scan', 10_000))
  expect(kept).toContain('footer')
})

test('of what is read again and again, that goes which was not used for longest', () => {
  const queue = new TwoQueue(100)
  for (const name of names('p', 10)) queue.add(name, 10, true)
  queue.touch('p0')
  expect(queue.add('p10', 10, true)).toEqual(['p1'])
  queue.remove('p2')
  expect(queue.usedBytes).toBe(90)
  expect(queue.add('p11', 10, true)).toEqual([])
})
