import { describe, expect, test, vi } from 'vitest'
import { type Clock, RecentTime, systemClock } from '../../../src/base/clock.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'

describe('VirtualClock', () => {
  test('moves only when told to', () => {
    const clock = new VirtualClock(1_000)
    expect([clock.now(), clock.monotonic()]).toEqual([1_000, 0])
    clock.advance(2.5)
    expect([clock.now(), clock.monotonic()]).toEqual([1_002, 2.5])
  })

  test('fires timers by their time, then by their creation, each at its own time', () => {
    const clock = new VirtualClock(0)
    const fired: string[] = []
    const note = (name: string) => () => fired.push(`${name}@${clock.now()}`)
    clock.setTimer(20, note('late'))
    clock.setTimer(10, note('first'))
    clock.setTimer(10, note('second'))
    clock.setTimer(31, note('never'))
    clock.advance(30)
    expect(fired).toEqual(['first@10', 'second@10', 'late@20'])
    expect(clock.now()).toBe(30)
  })

  test('fires timers that a timer sets inside the same advance', () => {
    const clock = new VirtualClock(0)
    const fired: number[] = []
    const again = (): void => {
      fired.push(clock.now())
      clock.setTimer(10, again)
    }
    clock.setTimer(10, again)
    clock.advance(35)
    expect(fired).toEqual([10, 20, 30])
  })

  test('never goes back when a timer advances it further than the advance it runs in', () => {
    const clock = new VirtualClock(0)
    clock.setTimer(1, () => clock.advance(100))
    clock.advance(10)
    expect(clock.now()).toBe(101)
  })

  test('does not fire a cancelled timer', () => {
    const clock = new VirtualClock()
    const callback = vi.fn<() => void>()
    clock.setTimer(1, callback).cancel()
    clock.advance(10)
    expect(callback).not.toHaveBeenCalled()
  })

  test('ends a sleep in its time, or with the reason of the abort', async () => {
    const clock = new VirtualClock()
    const slept = clock.sleep(5)
    clock.advance(5)
    await slept
    const controller = new AbortController()
    const aborted = clock.sleep(5, controller.signal)
    controller.abort(new Error('enough'))
    await expect(aborted).rejects.toThrow('enough')
    await expect(clock.sleep(5, controller.signal)).rejects.toThrow('enough')
  })
})

describe('systemClock', () => {
  test('tells the time in whole ms and lets other work run', async () => {
    expect(Number.isInteger(systemClock.now())).toBe(true)
    const before = systemClock.monotonic()
    await systemClock.yield()
    expect(systemClock.monotonic()).toBeGreaterThanOrEqual(before)
  })

  test('ends a sleep with the reason of the abort, before and during it', async () => {
    const controller = new AbortController()
    const sleeping = systemClock.sleep(60_000, controller.signal)
    controller.abort(new Error('enough'))
    await expect(sleeping).rejects.toThrow('enough')
    await expect(systemClock.sleep(1, controller.signal)).rejects.toThrow('enough')
  })

  test('never fires a timer early, also beyond the longest delay of the platform', () => {
    vi.useFakeTimers()
    try {
      const callback = vi.fn<() => void>()
      systemClock.setTimer(2 ** 31 + 5_000, callback)
      vi.advanceTimersByTime(2 ** 31)
      expect(callback).not.toHaveBeenCalled()
      vi.advanceTimersByTime(5_000)
      expect(callback).toHaveBeenCalledTimes(1)
      const cancelled = systemClock.setTimer(2 ** 31 + 5_000, callback)
      vi.advanceTimersByTime(2 ** 31 + 1)
      cancelled.cancel()
      vi.advanceTimersByTime(10_000)
      expect(callback).toHaveBeenCalledTimes(1)
      expect(vi.getTimerCount()).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })

  test('sleeps beyond the longest delay of the platform, and leaves no timer after an abort', async () => {
    vi.useFakeTimers()
    try {
      let isAwake = false
      const sleeping = systemClock.sleep(2 ** 31 + 5_000).then(() => {
        isAwake = true
      })
      await vi.advanceTimersByTimeAsync(2 ** 31)
      expect(isAwake).toBe(false)
      await vi.advanceTimersByTimeAsync(5_000)
      await sleeping
      const controller = new AbortController()
      const aborted = systemClock.sleep(2 ** 31 + 5_000, controller.signal)
      const outcome = expect(aborted).rejects.toThrow('enough')
      await vi.advanceTimersByTimeAsync(2 ** 31)
      controller.abort(new Error('enough'))
      await outcome
      expect(vi.getTimerCount()).toBe(0)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('a recent time', () => {
  /** A clock whose time passes while nothing else runs. */
  function busyClock(): { clock: Clock; pass: (ms: number) => void; turn: (ms: number) => void } {
    const virtual = new VirtualClock()
    let passed = 0
    const clock = Object.assign(Object.create(virtual) as Clock, {
      now: () => virtual.now() + passed,
      setTimer: virtual.setTimer.bind(virtual),
    })
    return { clock, pass: (ms) => (passed += ms), turn: (ms) => virtual.advance(ms) }
  }

  test('is read again after so many uses, and after some time', () => {
    const { clock, pass, turn } = busyClock()
    const time = new RecentTime(clock)
    const first = time.recent()
    pass(5_000)
    expect(Array.from({ length: 64 }, () => time.recent())).toEqual(Array(64).fill(first))
    expect(time.recent()).toBe(first + 5_000)
    turn(10)
    expect(time.recent()).toBe(first + 5_010)
  })

  test('is never before an exact one', () => {
    const { clock, pass } = busyClock()
    const time = new RecentTime(clock)
    time.recent()
    pass(7)
    const exact = time.now()
    expect(time.recent()).toBe(exact)
  })
})
