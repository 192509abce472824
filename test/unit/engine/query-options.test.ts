import { expect, test } from 'vitest'
import { runnerOptions } from '../../../src/engine/query-options.ts'

test('a time-out is a duration, as everywhere', () => {
  expect(runnerOptions('SELECT 1', [], { timeout: '2s', maxRows: 10 })).toEqual({
    timeoutMs: 2_000,
    maxRows: 10,
  })
  expect(runnerOptions('SELECT 1', [], {})).toEqual({})
})

test('bytes are a size, as everywhere', () => {
  expect(runnerOptions('SELECT 1', [], { maxBytes: '2MB' })).toEqual({ maxBytes: 2 * 1024 ** 2 })
  expect(runnerOptions('SELECT 1', [], { maxBytes: 0 })).toEqual({ maxBytes: 0 })
  expect(() => runnerOptions('SELECT 1', [], { maxBytes: 'much' })).toThrow(/size/)
})

test('what a query does not know is refused, with what it knows', () => {
  expect(() => runnerOptions('SELECT 1', [], { timeoutMs: 5 } as object)).toThrow(
    /signal, timeout, maxRows/,
  )
  expect(() => runnerOptions('SELECT 1', [], { timeout: 'soon' })).toThrow(/is not a duration/)
  expect(() => runnerOptions('SELECT 1', [], { maxRows: -1 })).toThrow(/whole number/)
  expect(() => runnerOptions('SELECT 1', [], { signal: 5 } as object)).toThrow(/an AbortSignal/)
  expect(() => runnerOptions(undefined as unknown as string, [], {})).toThrow(
    /is text; got nothing/,
  )
  expect(() => runnerOptions('SELECT 1', null as unknown as [], {})).toThrow(
    /parameters of a query/,
  )
})
