import { expect, test } from 'vitest'
import { outage } from '../soak/object-store/outage.ts'
import { AWAY_FROM, AWAY_TO, MAX_DISK_BYTES, type Try } from './outage-child.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS

function isQuick({ tookMs, refusal }: Try): boolean {
  return refusal === null && tookMs < SECOND_MS
}

test('an hour without the archive costs lag, then backpressure, then drains to nothing, with nothing lost', async () => {
  const { tries, looks, ...end } = await outage()
  const between = (from: number, to: number): readonly Try[] =>
    tries.filter(({ at }) => at >= from && at < to)
  const lagIn = (minute: number): number =>
    Math.max(...looks.filter(({ at }) => at === minute).map(({ uploadMs }) => uploadMs))

  // The line holds, and what is said of it is so.
  expect(looks.filter(({ bytes }) => bytes > MAX_DISK_BYTES)).toEqual([])
  expect(looks.filter(({ bytes, usedBytes }) => usedBytes < bytes)).toEqual([])
  expect(new Set(looks.map(({ maxBytes }) => maxBytes))).toEqual(new Set([MAX_DISK_BYTES]))

  // Lag: for minutes nobody who appends notices anything.
  expect(tries.find((one) => !isQuick(one))?.at).toBeGreaterThan(AWAY_FROM + 5)
  expect(lagIn(AWAY_FROM - 2)).toBeLessThan(MINUTE_MS)
  expect(lagIn(AWAY_FROM + 4)).toBeGreaterThan(3 * MINUTE_MS)

  // Backpressure: who waited long enough is refused, and told why and when to come again.
  const refusals = tries.flatMap(({ refusal }) => refusal ?? [])
  expect(refusals.length).toBeGreaterThan(10)
  for (const refusal of refusals)
    expect(refusal).toEqual({
      kind: 'overloaded',
      code: 'disk_budget_full',
      retryAfterMs: expect.any(Number),
    })
  expect(between(AWAY_TO - 10, AWAY_TO).filter(isQuick)).toEqual([])
  const whys = looks.filter(({ at }) => at === AWAY_TO - 10).map(({ why }) => why)
  expect(whys).toContainEqual(expect.stringMatching(/^maxDiskBytes is 8 MiB, and 7/))

  // It drains while records come.
  expect(between(AWAY_TO + 5, Infinity).filter((one) => !isQuick(one))).toEqual([])
  expect(lagIn(AWAY_TO + 18)).toBeLessThan(MINUTE_MS)
  expect([end.pending, end.failed]).toEqual([0, 0])

  // Nothing is lost, and nothing that was refused is there.
  expect(end.acknowledged.length).toBeGreaterThan(1_000)
  expect(end.rows).toEqual(end.acknowledged)
  expect(end.replayed).toBe(end.rows.length)
}, 120_000)
