import { expect, test } from 'vitest'
import { SlabPool, slabSize } from '../../../src/log/slab-pool.ts'

const POISON = 0xdb

test('a slab is of the least power of two that holds what was asked for', () => {
  expect([0, 1, 256, 257, 1_000_000].map(slabSize)).toEqual([256, 256, 256, 512, 1 << 20])
})

test('slabs in use are counted, and released ones are handed out again', () => {
  const pool = new SlabPool({ freeBytesMax: 1 << 20, poison: false })
  const first = pool.acquire(1_000)
  expect([pool.usedBytes, pool.freeBytes]).toEqual([1_024, 0])
  expect(first.buffer).toBeInstanceOf(SharedArrayBuffer)
  pool.release(first)
  expect([pool.usedBytes, pool.freeBytes]).toEqual([0, 1_024])
  expect(pool.acquire(700)).toBe(first)
  expect(pool.acquire(700)).not.toBe(first)
  expect([pool.usedBytes, pool.freeBytes]).toEqual([2_048, 0])
})

test('more free bytes than allowed are dropped, and so is a rare huge slab', () => {
  const pool = new SlabPool({ freeBytesMax: 1_024, poison: false })
  for (const slab of [pool.acquire(512), pool.acquire(512), pool.acquire(512)]) pool.release(slab)
  expect([pool.usedBytes, pool.freeBytes]).toEqual([0, 1_024])
  const roomy = new SlabPool({ freeBytesMax: 1 << 30, poison: false })
  roomy.release(roomy.acquire(16 << 20))
  expect(roomy.freeBytes).toBe(0)
})

test('a poisoned pool overwrites what it takes back', () => {
  const pool = new SlabPool({ freeBytesMax: 1 << 20, poison: true })
  const slab = pool.acquire(256).fill(7)
  pool.release(slab)
  expect(slab.every((byte) => byte === POISON)).toBe(true)
})

test('a slab that cannot be had does not count as used', () => {
  const pool = new SlabPool({ freeBytesMax: 0, poison: false })
  expect(() => pool.acquire(2 ** 52)).toThrow(RangeError)
  expect(pool.usedBytes).toBe(0)
})

test('to release more than was taken is a bug of ours', () => {
  const pool = new SlabPool({ freeBytesMax: 0, poison: false })
  expect(() => pool.release(new Uint8Array(256))).toThrow('a slab is released once')
})
