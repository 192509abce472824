import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type GapCause, GapHistory } from '../../../src/log/gap-history.ts'

const OFFSETS = 60

describe('a gap history', () => {
  test('knows of every offset the last cause that was told, whatever the order', () => {
    const cause = fc.constantFrom<GapCause>('evicted', 'expired')
    const claim = fc.tuple(fc.nat({ max: OFFSETS - 1 }), fc.integer({ min: 1, max: 12 }), cause)
    fc.assert(
      fc.property(fc.array(claim, { maxLength: 40 }), (claims) => {
        const history = new GapHistory()
        const model: GapCause[] = Array.from({ length: OFFSETS }, () => 'missing')
        for (const [start, length, told] of claims) {
          const end = Math.min(OFFSETS, start + length)
          history.add(start, end, told)
          model.fill(told, start, end)
        }
        const parts = history.within(0, OFFSETS)
        const known = parts.flatMap((part) =>
          Array.from({ length: part.end - part.start }, () => part.cause),
        )
        expect(known).toEqual(model)
        const inner = history.within(7, 31)
        expect([inner[0]?.start, inner.at(-1)?.end]).toEqual([7, 31])
      }),
    )
  })

  test('is one span while a log drops from its front', () => {
    const history = new GapHistory()
    for (let start = 0; start < 100_000; start += 10) history.add(start, start + 10, 'evicted')
    expect(history.within(0, 100_000)).toEqual([{ start: 0, end: 100_000, cause: 'evicted' }])
  })

  test('forgets the oldest differences when it would grow without bound, and says so', () => {
    const history = new GapHistory()
    for (let at = 0; at < 10_000; at += 4)
      history.add(at, at + 2, at % 8 === 0 ? 'evicted' : 'expired')
    expect(history.within(0, 2)).toEqual([{ start: 0, end: 2, cause: 'missing' }])
    expect(history.within(9_996, 9_998)).toEqual([{ start: 9_996, end: 9_998, cause: 'expired' }])
    expect(history.within(9_992, 9_994)).toEqual([{ start: 9_992, end: 9_994, cause: 'evicted' }])
    expect(history.within(0, 10_000).length).toBeLessThanOrEqual(2 * 1_024 + 1)
  })
})
