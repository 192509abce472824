import { expect, test } from 'vitest'
import { once } from '../../../src/base/once.ts'

test('what is started once gives every caller the same, nothing among it', () => {
  let starts = 0
  const start = once(() => {
    starts++
    return undefined
  })
  expect(starts).toBe(0)
  expect([start(), start()]).toEqual([undefined, undefined])
  expect(starts).toBe(1)
})
