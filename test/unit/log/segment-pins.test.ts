import { expect, test, vi } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { SegmentPins } from '../../../src/log/segment-pins.ts'

test('a file that nobody reads is removed at once', () => {
  const remove = vi.fn<() => void>()
  new SegmentPins().whenFree('a', remove)
  expect(remove).toHaveBeenCalledTimes(1)
})

test('a file that is read is removed when the last reader lets go, once', () => {
  const pins = new SegmentPins()
  const remove = vi.fn<() => void>()
  pins.pin('a')
  pins.pin('a')
  pins.pin('b')
  pins.whenFree('a', remove)
  pins.unpin('a')
  pins.unpin('b')
  expect(remove).not.toHaveBeenCalled()
  pins.unpin('a')
  expect(remove).toHaveBeenCalledTimes(1)
  pins.pin('a')
  pins.unpin('a')
  expect(remove).toHaveBeenCalledTimes(1)
})

test('the name of a file is not free before its removal is over', async () => {
  const pins = new SegmentPins()
  const removed = Promise.withResolvers<void>()
  pins.pin('a')
  expect(pins.isGoing('a')).toBe(false)
  pins.whenFree('a', () => removed.promise)
  expect(pins.isGoing('a')).toBe(true)
  pins.unpin('a')
  expect(pins.isGoing('a')).toBe(true)
  removed.resolve()
  await removed.promise
  await systemClock.yield()
  expect(pins.isGoing('a')).toBe(false)
})
