import { expect, test, vi } from 'vitest'
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
