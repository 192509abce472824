import fc from 'fast-check'
import { expect, test } from 'vitest'
import { randomFraction, randomHex, seededRandom, systemRandom } from '../../../src/base/random.ts'

test('equal seeds give equal sequences and others do not', () => {
  const take = (seed: number): number[] => {
    const random = seededRandom(seed)
    return Array.from({ length: 20 }, () => random.uint32())
  }
  expect(take(7)).toEqual(take(7))
  expect(take(7)).not.toEqual(take(8))
})

test('words are uniform 32-bit numbers', () => {
  for (const random of [seededRandom(1), systemRandom]) {
    const words = Array.from({ length: 4_000 }, () => random.uint32())
    expect(words.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32)).toBe(true)
    const mean = words.reduce((sum, word) => sum + word, 0) / words.length / 2 ** 32
    expect(mean).toBeGreaterThan(0.45)
    expect(mean).toBeLessThan(0.55)
  }
})

test('fractions lie in [0, 1), also at the ends of the words', () => {
  expect(randomFraction({ uint32: () => 0 })).toBe(0)
  expect(randomFraction({ uint32: () => 2 ** 32 - 1 })).toBeLessThan(1)
})

test('hex has two lowercase digits a byte, leading zeros too', () => {
  expect(randomHex({ uint32: () => 1 }, 6)).toBe('000000010000')
  fc.assert(
    fc.property(fc.nat(20), fc.nat(), (bytes, seed) => {
      const hex = randomHex(seededRandom(seed), bytes)
      expect(hex).toMatch(new RegExp(`^[0-9a-f]{${bytes * 2}}$`))
    }),
  )
})
