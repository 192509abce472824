import { expect, test } from 'vitest'
import type { StorageOptions } from '../../../src/engine/config.ts'
import { Policies } from '../../../src/engine/policies.ts'
import { surroundingsOf } from '../../../src/engine/storage-policy.ts'

const surroundings = surroundingsOf({ dataDir: '/data' })

test('logs that ask for the same share one policy, which nobody can change', () => {
  const policies = new Policies({}, surroundings)
  const first = policies.resolve({ mode: 'persistent', memoryTtl: '1m' })
  expect(policies.resolve({ mode: 'persistent', memoryTtl: '1m' })).toBe(first)
  expect(policies.resolve({ mode: 'persistent' })).not.toBe(first)
  expect(first).toMatchObject({ mode: 'persistent', memoryTtl: 60_000 })
  expect(Object.isFrozen(first)).toBe(true)
})

test('a key without a value is not one that is left out', () => {
  const policies = new Policies({ memoryTtl: '1m' }, surroundings)
  const empty = { memoryTtl: undefined } as unknown as StorageOptions
  expect(policies.resolve({}).memoryTtl).toBe(60_000)
  expect(policies.resolve(empty).memoryTtl).toBe(3_600_000)
})

test('a policy that cannot be is refused each time', () => {
  const policies = new Policies({}, surroundings)
  const resolve = () => policies.resolve({ mode: 'memory', wal: true })
  expect(resolve).toThrow("storage.wal: expected false in mode 'memory'")
  expect(resolve).toThrow("storage.wal: expected false in mode 'memory'")
})
