import { describe, expect, test } from 'vitest'
import { present } from '../../../src/base/assert.ts'
import { closureGatherer, createRowGatherer } from '../../../src/format/row-gatherer.ts'

const NAMES = ['a', 'b"]; throw 1; //', '日本']
const ways = [
  ['generated', present(createRowGatherer(NAMES), 'a gatherer')],
  ['closure', closureGatherer(NAMES)],
] as const

describe.each(ways)('a gatherer, %s', (_way, gather) => {
  const empty = (): unknown[][] => NAMES.map(() => [])

  test('puts the values of each column together, in the order of the rows', () => {
    const columns = empty()
    const rows = [
      { a: 1, 'b"]; throw 1; //': 'x', 日本: null },
      { 日本: true, a: 2 },
    ]
    expect(gather(rows, 2, columns)).toBe(-1)
    expect(columns).toEqual([
      [1, 2],
      ['x', undefined],
      [null, true],
    ])
  })

  test('stops at the first row that is no plain record of these names', () => {
    const inherited = Object.create({ c: 1 }, { a: { value: 1, enumerable: true } }) as object
    for (const odd of [{ a: 1, c: 2 }, { a: undefined }, null, 5, 'text', [], [1], inherited]) {
      expect(gather([{ a: 1 }, odd, { a: 2 }], 3, empty())).toBe(1)
    }
  })

  test('passes on what a getter throws', () => {
    const rows = [
      {
        get a(): number {
          throw new TypeError('boom')
        },
      },
    ]
    expect(() => gather(rows, 1, empty())).toThrow('boom')
  })
})

test('names that every object inherits have no gatherer', () => {
  expect(createRowGatherer(['a', 'toString'])).toBeNull()
  expect(createRowGatherer(['__proto__'])).toBeNull()
  expect(createRowGatherer([])).toBeNull()
})
