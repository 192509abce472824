import { expect, test } from 'vitest'
import { cacheBudget } from '../../../src/engine/cache-budget.ts'

test('both parts of the budget are the budget', () => {
  expect(cacheBudget('5GB')).toEqual({ segments: 4 * 1024 ** 3, parts: 1024 ** 3 })
  expect(cacheBudget()).toEqual(cacheBudget('5GB'))
  expect(cacheBudget(1_001)).toEqual({ segments: 801, parts: 200 })
})
