import { expect, test } from 'vitest'
import { runnerOptions } from '../../../src/engine/query-options.ts'

test('a time-out is a duration, as everywhere', () => {
  expect(runnerOptions('SELECT 1', { timeout: '2s', maxRows: 10 })).toEqual({
    timeoutMs: 2_000,
    maxRows: 10,
  })
  expect(runnerOptions('SELECT 1', {})).toEqual({})
})

test('what a query does not know is refused, with what it knows', () => {
  expect(() => runnerOptions('SELECT 1', { timeoutMs: 5 } as object)).toThrow(
    /signal, timeout, maxRows/,
  )
  expect(() => runnerOptions('SELECT 1', { timeout: 'soon' })).toThrow(/is not a duration/)
  expect(() => runnerOptions('SELECT 1', { maxRows: -1 })).toThrow(/whole number/)
})
