import { describe, expect, test } from 'vitest'
import { AssertionError, assert, present, unreachable } from '../../../src/base/assert.ts'
import {
  ERROR_CODES,
  ERROR_KINDS,
  StratalogError,
  isStratalogError,
  throwIfAborted,
  toStratalogError,
} from '../../../src/base/errors.ts'

describe('StratalogError', () => {
  test('takes its kind from its code', () => {
    const error = new StratalogError('memory_full', 'full', { details: { log: 'a' }, cause: 'why' })
    expect(error).toMatchObject({
      kind: 'overloaded',
      code: 'memory_full',
      message: 'full',
      cause: 'why',
    })
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      kind: 'overloaded',
      code: 'memory_full',
      message: 'full',
      details: { log: 'a' },
    })
  })

  test('has no cause and no details unless given', () => {
    const error = new StratalogError('internal', 'x')
    expect('cause' in error).toBe(false)
    expect(error.details).toEqual({})
  })

  test('has only kinds that are listed, and every kind has a code', () => {
    expect(new Set(Object.values(ERROR_CODES))).toEqual(new Set(ERROR_KINDS))
  })
})

describe('toStratalogError', () => {
  test('leaves ours as it is', () => {
    const error = new StratalogError('timeout', 'late')
    expect(toStratalogError(error)).toBe(error)
  })

  test('takes what an abort throws for an abort, and what a deadline throws for a timeout', () => {
    const aborted = new AbortController()
    aborted.abort()
    expect(toStratalogError(aborted.signal.reason)).toMatchObject({ code: 'aborted' })
    expect(toStratalogError(new DOMException('late', 'TimeoutError'))).toMatchObject({
      code: 'timeout',
    })
  })

  test('makes everything else internal and keeps it as the cause', () => {
    const cause = new TypeError('oops')
    expect(toStratalogError(cause)).toMatchObject({ code: 'internal', message: 'oops', cause })
    expect(toStratalogError('text')).toMatchObject({ code: 'internal', message: 'text' })
    expect(isStratalogError(cause)).toBe(false)
  })
})

test('throwIfAborted throws once the signal has fired, with its reason', () => {
  const controller = new AbortController()
  expect(() => throwIfAborted(controller.signal)).not.toThrow()
  expect(() => throwIfAborted(undefined)).not.toThrow()
  controller.abort('enough')
  expect(() => throwIfAborted(controller.signal)).toThrow(
    expect.objectContaining({ code: 'aborted', cause: 'enough' }),
  )
})

describe('assertions', () => {
  test('throw an error of their own, never one that callers handle', () => {
    expect(() => assert(false, 'broken')).toThrow(AssertionError)
    expect(() => assert(1, 'fine')).not.toThrow()
    expect(() => unreachable('x' as never)).toThrow('unreachable value: x')
  })

  test('present passes what is there, also zero and the empty text', () => {
    expect([present(0, 'n'), present('', 's'), present(false, 'b')]).toEqual([0, '', false])
    expect(() => present(null, 'the thing')).toThrow('missing: the thing')
    expect(() => present(undefined, 'the thing')).toThrow(AssertionError)
  })
})
