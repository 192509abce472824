import fc from 'fast-check'
import { expect, test } from 'vitest'
import { TURN_BYTES, inTurns, joinInTurns, partsInTurns } from '../../../src/base/in-turns.ts'

/** Counts the turns that others got. */
class Turns {
  count = 0
  async yield(): Promise<void> {
    this.count++
  }
}

function bytesOf(length: number, from = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (from + index) % 251)
}

test('pieces are joined in order, whatever their lengths, and are let go of', async () => {
  const lengths = fc.array(fc.oneof(fc.nat(10), fc.integer({ min: 0, max: 3 * TURN_BYTES })), {
    maxLength: 8,
  })
  await fc.assert(
    fc.asyncProperty(lengths, async (given) => {
      const pieces = given.map((length, index) => bytesOf(length, index))
      const expected = Buffer.concat(pieces)
      const joined = await joinInTurns(pieces, new Turns())
      expect(Buffer.compare(joined, expected)).toBe(0)
      expect(pieces).toEqual([])
    }),
    { numRuns: 50 },
  )
})

test('others get a turn for each part that is copied, and for what is small none', async () => {
  const turns = new Turns()
  await joinInTurns([bytesOf(10), bytesOf(20)], turns)
  expect(turns.count).toBe(0)
  await joinInTurns([bytesOf(4 * TURN_BYTES), bytesOf(TURN_BYTES), bytesOf(TURN_BYTES)], turns)
  expect(turns.count).toBe(5)
})

test('parts are given in order, with a turn between them', async () => {
  const turns = new Turns()
  const given: unknown[] = []
  const take = (part: Uint8Array, position: number): void => {
    given.push([position, part.length])
  }
  await inTurns(partsInTurns(bytesOf(2 * TURN_BYTES + 1), take), turns)
  expect(given).toEqual([
    [0, TURN_BYTES],
    [TURN_BYTES, TURN_BYTES],
    [2 * TURN_BYTES, 1],
  ])
  expect(turns.count).toBe(2)
})
