import { expect, test } from 'vitest'
import { SpentTime } from '../../../src/base/spent-time.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'

test('what most time was spent on, also by what failed', async () => {
  const clock = new VirtualClock()
  const spent = new SpentTime<'store' | 'disk'>(clock)
  expect(spent.most).toBeNull()
  await spent.during('disk', () => clock.yield())
  expect(spent.most).toBe('disk')
  const failing = spent.during('store', async () => {
    clock.advance(2)
    throw new Error('away')
  })
  await expect(failing).rejects.toThrow('away')
  expect(spent.most).toBe('store')
  spent.add('disk', 3)
  expect(spent.most).toBe('disk')
})
