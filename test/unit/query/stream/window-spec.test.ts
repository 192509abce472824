import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type WindowSpec,
  endsWithin,
  firstEnd,
  isLate,
  lastEnd,
  lastStart,
  startsEndingBy,
} from '../../../../src/query/stream/window-spec.ts'

/** Starts of the windows that hold a time, found by looking at each that there could be. */
function startsOf({ sizeMs, slideMs }: WindowSpec, time: number): number[] {
  const starts: number[] = []
  for (let number = Math.floor((time - sizeMs) / slideMs) - 2; number * slideMs <= time; number++) {
    const start = number * slideMs
    if (start <= time && time < start + sizeMs) starts.push(start)
  }
  return starts
}

const specs = fc
  .record({ slideMs: fc.integer({ min: 1, max: 500 }), hops: fc.integer({ min: 1, max: 7 }) })
  .chain(({ slideMs, hops }) =>
    fc
      .integer({ min: slideMs * hops - slideMs + 1, max: slideMs * hops })
      .map((size): WindowSpec => ({
        kind: hops === 1 ? 'tumble' : 'hop',
        slideMs,
        sizeMs: hops === 1 ? slideMs : Math.max(size, slideMs),
      })),
  )
const times = fc.integer({ min: -10_000, max: 10_000 })

test('a time lies in the windows that begin at or before it and end after it, also before 1970', () => {
  fc.assert(
    fc.property(specs, times, (spec, time) => {
      const starts = startsOf(spec, time)
      expect(lastStart(spec, time)).toBe(starts.at(-1))
      expect(firstEnd(spec, time)).toBe((starts[0] ?? NaN) + spec.sizeMs)
      expect(lastEnd(spec, time)).toBe((starts.at(-1) ?? NaN) + spec.sizeMs)
    }),
  )
})

test('windows that have closed by a time are those that end at or before it', () => {
  fc.assert(
    fc.property(specs, times, times, (spec, time, end) => {
      const closed = startsOf(spec, time).filter((start) => start + spec.sizeMs <= end)
      expect([...startsEndingBy(spec, time, end)]).toEqual(closed)
      expect(isLate(spec, time, end)).toBe(closed.length > 0)
    }),
  )
})

test('a window ends between two times exactly when some end lies behind the first, up to the second', () => {
  fc.assert(
    fc.property(specs, times, fc.integer({ min: -50, max: 2_000 }), (spec, from, length) => {
      const to = from + length
      const ends = new Set<number>()
      for (let time = from - spec.sizeMs; time <= to; time++)
        for (const start of startsOf(spec, time)) ends.add(start + spec.sizeMs)
      const isBetween = [...ends].some((end) => end > from && end <= to)
      expect(endsWithin(spec, from, to)).toBe(isBetween)
    }),
    { numRuns: 30 },
  )
})

test('windows are half-open: a time at an edge belongs to the window that begins there', () => {
  const minute: WindowSpec = { kind: 'tumble', sizeMs: 60_000, slideMs: 60_000 }
  expect(lastStart(minute, 60_000)).toBe(60_000)
  expect(firstEnd(minute, 59_999)).toBe(60_000)
  expect(firstEnd(minute, 60_000)).toBe(120_000)
  expect(firstEnd(minute, -1)).toBe(0)
  expect(firstEnd(minute, -60_000)).toBe(0)
  expect(isLate(minute, 59_999, 60_000)).toBe(true)
  expect(isLate(minute, 60_000, 60_000)).toBe(false)
})

test('what is older than the horizon is late for sessions, and what is as old as it is not', () => {
  const session: WindowSpec = { kind: 'session', sizeMs: 100, slideMs: 100 }
  expect(isLate(session, 999, 1_000)).toBe(true)
  expect(isLate(session, 1_000, 1_000)).toBe(false)
  expect(endsWithin(session, 0, 1)).toBe(true)
  expect(endsWithin(session, 1, 1)).toBe(false)
  expect(endsWithin(session, -Infinity, -Infinity)).toBe(false)
})
