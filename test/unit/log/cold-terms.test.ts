import { expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { StratalogError } from '../../../src/base/errors.ts'
import type { SegmentEntry } from '../../../src/format/manifest.ts'
import { ColdTerms } from '../../../src/log/cold-terms.ts'
import { GapHistory } from '../../../src/log/gap-history.ts'
import type { OffsetTerms } from '../../../src/log/record-terms.ts'

function segment(baseOffset: number, endOffset: number): SegmentEntry {
  return { baseOffset, endOffset } as SegmentEntry
}

function terms(start: number, end: number, expiresAt: number): OffsetTerms {
  return { start, end, expiresAt, priority: 0 }
}

test('what expired is cut out, and noted as such', async () => {
  const cold = await ColdTerms.of([segment(0, 10), segment(10, 20)], async ({ baseOffset }) =>
    baseOffset === 0 ? [terms(0, 4, 50), terms(4, 10, Infinity)] : [terms(10, 20, 90)],
  )
  const gaps = new GapHistory()
  const range = { start: 2, end: 15 }
  expect(cold?.liveRanges(range, 49, gaps)).toEqual([range])
  expect(gaps.isEmpty).toBe(true)
  expect(cold?.liveRanges(range, 50, gaps)).toEqual([{ start: 4, end: 15 }])
  expect(gaps.within(2, 4)).toEqual([{ start: 2, end: 4, cause: 'expired' }])
  expect(cold?.liveRanges(range, 90, gaps)).toEqual([{ start: 4, end: 10 }])
})

test('where nothing expires there is nothing to look at', async () => {
  expect(await ColdTerms.of([segment(0, 10)], async () => [terms(0, 10, Infinity)])).toBeNull()
  expect(await ColdTerms.of([segment(0, 10)], async () => [])).toBeNull()
})

test('what cannot be read now is told, and learnt with the next look', async () => {
  let isAway = true
  const cold = await ColdTerms.of([segment(0, 10), segment(10, 20)], async ({ baseOffset }) => {
    if (isAway && baseOffset === 0) throw new StratalogError('store_unavailable', 'It is away.')
    return [terms(baseOffset, baseOffset + 10, 50)]
  })
  expect(cold?.unknown(segment(10, 20))).toBeNull()
  expect(cold?.unknown(segment(0, 10))?.code).toBe('store_unavailable')
  isAway = false
  await expect.poll(() => cold?.unknown(segment(0, 10))).toBeNull()
  expect(cold?.liveRanges({ start: 0, end: 20 }, 50, new GapHistory())).toEqual([])
})

test('a damaged segment is left to its readers', async () => {
  const cold = await ColdTerms.of([segment(0, 10)], async () => {
    throw new StratalogError('segment_corrupt', 'It is damaged.')
  })
  expect(cold).toBeNull()
})

test('who waits for it learns it, or why not', async () => {
  let isAway = true
  let loads = 0
  const cold = await ColdTerms.of([segment(0, 10)], async () => {
    loads++
    if (isAway) throw new StratalogError('store_unavailable', 'It is away.')
    return [terms(0, 10, 50)]
  })
  await expect(cold?.settle(segment(0, 10))).rejects.toMatchObject({ code: 'store_unavailable' })
  isAway = false
  await Promise.all([cold?.settle(segment(0, 10)), cold?.settle(segment(0, 10))])
  expect(loads).toBe(3)
  expect(cold?.unknown(segment(0, 10))).toBeNull()
})

test('a look that fails in a way that nobody expects is told to who waits, and to nobody else', async () => {
  let error: Error = new StratalogError('store_unavailable', 'It is away.')
  const cold = await ColdTerms.of([segment(0, 10)], async () => {
    throw error
  })
  error = new TypeError('planted')
  expect(cold?.unknown(segment(0, 10))?.code).toBe('store_unavailable')
  await systemClock.sleep(1)
  await expect(cold?.settle(segment(0, 10))).rejects.toThrow('planted')
})
