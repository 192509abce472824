/** The rate of each client: a burst, then no more than the rate, whatever others do. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { RequestProblem } from '../../../src/server/http-error.ts'
import { RATE_BURST_SECONDS, RATE_CLIENTS_MAX } from '../../../src/server/limits.ts'
import { RateLimit, networkOf } from '../../../src/server/rate-limit.ts'

/** Null for a request that is let in; else what it is told of when to come again. */
function refusal(limit: RateLimit, client = 'a'): string | null {
  try {
    limit.take(client)
    return null
  } catch (error) {
    if (!(error instanceof RequestProblem)) throw error
    expect(error.code).toBe('rate_limited')
    return error.headers['retry-after'] ?? ''
  }
}

function admitted(limit: RateLimit, tries: number, client = 'a'): number {
  return Array.from({ length: tries }, () => refusal(limit, client)).filter((one) => one === null)
    .length
}

describe('a rate limit', () => {
  test.each([1, 3, 7, 10, 1_000])('of %d lets in a burst, and then as many a second', (rate) => {
    const clock = new VirtualClock()
    const limit = new RateLimit(rate, clock)
    expect(admitted(limit, rate * 5)).toBe(rate * RATE_BURST_SECONDS)
    for (let second = 0; second < 5; second++) {
      clock.advance(1_000)
      expect(admitted(limit, rate * 5)).toBe(rate)
    }
    clock.advance(3_600_000)
    expect(admitted(limit, rate * 5)).toBe(rate * RATE_BURST_SECONDS)
  })

  test('says when to come again, in whole seconds', () => {
    const clock = new VirtualClock()
    const limit = new RateLimit(1, clock)
    expect([refusal(limit), refusal(limit), refusal(limit)]).toEqual([null, null, '1'])
    clock.advance(999)
    expect(refusal(limit)).toBe('1')
    clock.advance(1)
    expect(refusal(limit)).toBeNull()
  })

  test('counts each client by itself', () => {
    const limit = new RateLimit(1, new VirtualClock())
    expect(admitted(limit, 10, 'a')).toBe(2)
    expect(admitted(limit, 10, 'b')).toBe(2)
    expect(refusal(limit, 'a')).toBe('1')
  })

  test('remembers a bounded number of clients, and those that are busy', () => {
    const limit = new RateLimit(1, new VirtualClock())
    admitted(limit, 10, 'busy')
    for (let other = 0; other < 3 * RATE_CLIENTS_MAX; other++) {
      limit.take(`other ${other}`)
      if (other % 1_000 === 0) expect(refusal(limit, 'busy')).toBe('1')
    }
    expect(limit.size).toBe(RATE_CLIENTS_MAX)
  })

  test('lets in no more than burst and rate allow in any stretch of time', () => {
    const waits = fc.array(fc.integer({ min: 0, max: 700 }), { maxLength: 200 })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), waits, (rate, steps) => {
        const clock = new VirtualClock()
        const limit = new RateLimit(rate, clock)
        const times: number[] = []
        for (const step of steps) {
          clock.advance(step)
          if (refusal(limit) === null) times.push(clock.monotonic())
        }
        for (const [first, from] of times.entries()) {
          for (const [last, to] of times.entries()) {
            const most = (RATE_BURST_SECONDS + (to - from) / 1_000) * rate + 0.01
            expect(last - first + 1).toBeLessThanOrEqual(Math.max(most, 1))
          }
        }
      }),
    )
  })
})

test.each([
  ['127.0.0.1', '127.0.0.1'],
  ['::ffff:10.0.0.7', '10.0.0.7'],
  ['::1', '0:0:0:0'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
  ['2001:db8::5:6', '2001:db8:0:0'],
  ['2001:db8::', '2001:db8:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['', ''],
])('the address %j is counted as %j', (address, network) => {
  expect(networkOf(address)).toBe(network)
})
