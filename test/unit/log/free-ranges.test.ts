import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FreeRanges } from '../../../src/log/free-ranges.ts'

describe('free ranges', () => {
  test('are found by length, the newest of those that fit about the same', () => {
    const ranges = new FreeRanges()
    expect(ranges.find(1)).toBe(-1)
    const [five, alsoFive, long] = [
      ranges.add(3, 0, 5),
      ranges.add(3, 10, 5),
      ranges.add(7, 0, 999),
    ]
    expect([ranges.find(4), ranges.find(5), ranges.find(6)]).toEqual([alsoFive, alsoFive, long])
    expect([ranges.find(999), ranges.find(1_000)]).toEqual([long, -1])
    ranges.remove(alsoFive)
    expect(ranges.find(5)).toBe(five)
    expect([five, long].map((node) => ranges.chunkOf(node))).toEqual([3, 7])
    expect([ranges.startOf(five), ranges.lengthOf(five), ranges.count]).toEqual([0, 5, 2])
  })

  test('that hardly differ are all looked at before none is found', () => {
    const ranges = new FreeRanges()
    const fits = ranges.add(0, 0, 1_023)
    for (let index = 1; index <= 20; index++) ranges.add(0, index * 2_000, 1_000)
    expect(ranges.find(1_020)).toBe(fits)
  })

  test('of the greatest lengths are found', () => {
    const ranges = new FreeRanges()
    const node = ranges.add(0, 0, 2 ** 24)
    expect([ranges.find(2 ** 24), ranges.find(1), ranges.find(2 ** 24 + 1)]).toEqual([
      node,
      node,
      -1,
    ])
  })

  test('are those of a plain list, whatever is added, resized and removed', () => {
    const length = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 200_000 }))
    const step = fc.record({
      kind: fc.constantFrom('add', 'add', 'resize', 'remove'),
      length,
      at: fc.nat(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const ranges = new FreeRanges()
        const model = new Map<number, number>()
        for (const { kind, length: given, at } of steps) {
          const node = [...model.keys()][at % Math.max(1, model.size)]
          if (kind === 'add' || node === undefined) model.set(ranges.add(1, at, given), given)
          else if (kind === 'remove') {
            ranges.remove(node)
            model.delete(node)
          } else {
            ranges.resize(node, at, given)
            model.set(node, given)
          }
          expect(ranges.count).toBe(model.size)
          const found = ranges.find(given)
          const longest = Math.max(0, ...model.values())
          if (longest < given) expect(found).toBe(-1)
          else expect(model.get(found)).toBeGreaterThanOrEqual(given)
        }
        // Each is found once: none is lost, and none is there twice.
        const left = new Set<number>()
        for (let node = ranges.find(1); node !== -1; node = ranges.find(1)) {
          left.add(node)
          ranges.remove(node)
        }
        expect(left).toEqual(new Set(model.keys()))
      }),
      { numRuns: 100 },
    )
  })
})
