import { expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { AckQueue } from '../../../src/log/ack-queue.ts'

/** Notes every step in order. */
function recorder(): {
  steps: string[]
  listener: (name: string) => { durableTo(end: number): void }
} {
  const steps: string[] = []
  return { steps, listener: (name) => ({ durableTo: (end) => steps.push(`${name} to ${end}`) }) }
}

test('appends settle in the order of the WAL, each once, when its last byte is durable', async () => {
  const { steps, listener } = recorder()
  const acks = new AckQueue()
  const first = acks.add(100, listener('a'), 1, true)
  const second = acks.add(200, listener('b'), 5, true)
  expect(acks.length).toBe(2)
  acks.settle(99)
  expect(steps).toEqual([])
  acks.settle(150)
  expect(steps).toEqual(['a to 1'])
  await first
  acks.settle(150)
  acks.settle(1_000)
  await second
  expect(steps).toEqual(['a to 1', 'b to 5'])
  expect(acks.length).toBe(0)
})

test('an append that nobody waits for moves the watermark all the same', () => {
  const { steps, listener } = recorder()
  const acks = new AckQueue()
  expect(acks.add(10, listener('a'), 3, false)).toBeNull()
  acks.settle(10)
  expect(steps).toEqual(['a to 3'])
})

test('after a failure nothing is durable any more, and all who wait or come are refused with it', async () => {
  const { steps, listener } = recorder()
  const acks = new AckQueue()
  const failure = new StratalogError('disk_failed', 'gone')
  const settled = acks.add(10, listener('a'), 1, true)
  const waiting = acks.add(20, listener('a'), 2, true)
  acks.settle(10)
  await settled
  acks.fail(failure)
  await expect(waiting).rejects.toBe(failure)
  acks.fail(new StratalogError('disk_full', 'later'))
  expect(acks.failure).toBe(failure)
  await expect(acks.add(30, listener('a'), 3, true)).rejects.toBe(failure)
  expect(acks.add(40, listener('a'), 4, false)).toBeNull()
  acks.settle(1_000)
  expect(steps).toEqual(['a to 1'])
  expect(acks.length).toBe(0)
})

test('a long queue settles in pieces without losing or repeating one', () => {
  const acks = new AckQueue()
  const ends: number[] = []
  const listener = { durableTo: (end: number): number => ends.push(end) }
  for (let index = 1; index <= 5_000; index++) void acks.add(index, listener, index, false)
  for (let lsn = 0; lsn <= 5_000; lsn += 700) acks.settle(lsn)
  acks.settle(5_000)
  expect(ends).toEqual(Array.from({ length: 5_000 }, (_, index) => index + 1))
})
