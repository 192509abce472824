import { describe, expect, test } from 'vitest'
import { runsWithin, termsOfSegment, termsWithin } from '../../../src/log/record-terms.ts'
import type { SegmentFacts } from '../../../src/format/segment.ts'

const never = { expiresAt: Infinity, priority: 0 }
const soon = { expiresAt: 500, priority: 0 }
const high = { expiresAt: Infinity, priority: 7 }

const terms = [
  { start: 10, end: 20, ...soon },
  { start: 20, end: 25, ...soon },
  { start: 30, end: 40, ...high },
]

describe('the terms of offsets', () => {
  test('cover all that is asked for, cut to it, with neighbours that are alike as one', () => {
    expect(termsWithin(terms, 0, 50)).toEqual([
      { start: 0, end: 10, ...never },
      { start: 10, end: 25, ...soon },
      { start: 25, end: 30, ...never },
      { start: 30, end: 40, ...high },
      { start: 40, end: 50, ...never },
    ])
    expect(termsWithin(terms, 15, 22)).toEqual([{ start: 15, end: 22, ...soon }])
    expect(termsWithin(terms, 26, 28)).toEqual([{ start: 26, end: 28, ...never }])
    expect(termsWithin([], 5, 8)).toEqual([{ start: 5, end: 8, ...never }])
  })

  test('are left out of a segment where nothing was asked for', () => {
    expect(runsWithin(terms, 25, 30)).toEqual([])
    expect(runsWithin(terms, 24, 31)).toEqual([
      { rows: 1, ...soon },
      { rows: 5, ...never },
      { rows: 1, ...high },
    ])
  })

  test('of a segment are those that went into it', () => {
    const facts = { baseOffset: 24, terms: runsWithin(terms, 24, 31) } as unknown as SegmentFacts
    expect(termsOfSegment(facts)).toEqual(termsWithin(terms, 24, 31))
  })
})
