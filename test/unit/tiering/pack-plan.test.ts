import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  ARCHIVE_PACK_RULE,
  type PackFacts,
  SHORT_DISK_PACK_RULE,
  planPacks,
} from '../../../src/tiering/pack-plan.ts'

const HOUR = 60 * 60 * 1000
const NOW = 1_000 * HOUR

function pack(path: string, liveBytes: number, deadBytes: number, deadForMs: number): PackFacts {
  return { path, liveBytes, deadBytes, deadSince: NOW - deadForMs }
}

function planned(
  packs: readonly PackFacts[],
  rule = ARCHIVE_PACK_RULE,
  bytesMax = 100,
): string[][] {
  return planPacks(packs, rule, NOW, bytesMax).map((group) => group.map(({ path }) => path))
}

describe('a pack is written anew', () => {
  test.each<[string, PackFacts, boolean]>([
    ['half of it is dead for an hour', pack('p', 50, 50, HOUR), true],
    ['half of it is dead, and may go as a whole soon', pack('p', 50, 50, HOUR - 1), false],
    ['less is dead', pack('p', 51, 49, 23 * HOUR), false],
    ['a byte is dead for a day', pack('p', 99, 1, 24 * HOUR), true],
    ['nobody knows since when something is dead', pack('p', 99, 1, Infinity), true],
    ['nothing is dead', pack('p', 99, 0, -Infinity), false],
    ['all of it is dead', pack('p', 0, 100, 48 * HOUR), false],
  ])('when %s: as it should be', (_, facts, isDue) => {
    expect(planned([facts])).toEqual(isDue ? [['p']] : [])
  })

  test('together with others, as many as fit, the emptiest first', () => {
    const packs = [pack('a', 50, 50, HOUR), pack('b', 10, 90, HOUR), pack('c', 45, 55, HOUR)]
    expect(planned(packs)).toEqual([['b', 'c'], ['a']])
    expect(planned([pack('big', 150, 150, HOUR)])).toEqual([['big']])
  })

  test('where the disk is short for an eighth that is dead, at once', () => {
    const packs = [pack('a', 7, 1, 0), pack('b', 70, 11, 0), pack('c', 8, 1, 0)]
    expect(planned(packs, SHORT_DISK_PACK_RULE)).toEqual([['b', 'a']])
  })
})

test('however segments die, half of what lies in packs is live, and as much is copied as died', () => {
  // Each die takes one of the segments that are left; time goes on by an hour, so that no pack is a day old.
  const dice = fc.array(fc.nat(), { minLength: 1, maxLength: 100 })
  fc.assert(
    fc.property(dice, (rolls) => {
      const lengths = Array.from({ length: 128 }, (_, index) => 1 + (index % 7))
      let packs = Array.from({ length: 16 }, (_, index) => ({
        live: lengths.slice(index * 8, index * 8 + 8),
        dead: 0,
      }))
      let [copied, died] = [0, 0]
      for (const roll of rolls) {
        const victim = packs[roll % packs.length]
        if (victim === undefined || victim.live.length === 0) continue
        const [length = 0] = victim.live.splice(roll % victim.live.length, 1)
        victim.dead += length
        died += length
        const facts = packs.map((entry, index) => ({
          ...pack(`${index}`, total(entry.live), entry.dead, HOUR),
          entry,
        }))
        for (const group of planPacks(facts, ARCHIVE_PACK_RULE, NOW, 64)) {
          const live = group.flatMap(({ entry }) => entry.live)
          copied += total(live)
          packs = [
            ...packs.filter((entry) => group.every((each) => each.entry !== entry)),
            { live, dead: 0 },
          ]
        }
        packs = packs.filter(({ live }) => live.length > 0)
        for (const { live, dead } of packs) expect(dead).toBeLessThan(total(live) + 1)
      }
      expect(copied).toBeLessThanOrEqual(died)
    }),
  )
})

function total(lengths: readonly number[]): number {
  return lengths.reduce((sum, length) => sum + length, 0)
}
