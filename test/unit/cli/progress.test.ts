import { expect, test } from 'vitest'
import { progressLine } from '../../../src/cli/progress.ts'

test('a line tells how far, how many, how fast and how long still', () => {
  const line = progressLine(
    'import',
    { done: 50, total: 100, records: 2_000, unit: 'bytes' },
    1_000,
  )
  expect(line).toBe(
    `import  ${'█'.repeat(12)}${'░'.repeat(12)} 50 %  2,000 records  2,000/s  1.0 s left`,
  )
})

test('without a total it tells what was done', () => {
  expect(progressLine('import', { done: 2048, total: null, records: 3, unit: 'bytes' }, 0)).toBe(
    'import  2 KiB  3 records',
  )
})

test('the time left is not guessed from nearly nothing', () => {
  expect(progressLine('x', { done: 1, total: 1_000, unit: 'records' }, 10)).not.toContain('left')
})
