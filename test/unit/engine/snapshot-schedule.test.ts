import { describe, expect, test } from 'vitest'
import { MemoryLogger } from '../../../src/base/logger.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { SnapshotSchedule } from '../../../src/engine/snapshot-schedule.ts'

const HOUR = 3_600_000
const MINUTE = 60_000

class Work {
  newest: number | null = null
  made = 0
  retired = 0
  readonly failing = new Set<'newest' | 'make' | 'retire'>()
  readonly #clock: VirtualClock

  constructor(clock: VirtualClock) {
    this.#clock = clock
  }

  newestTime(): Promise<number | null> {
    return this.#try('newest', () => this.newest)
  }

  make(): Promise<void> {
    return this.#try('make', () => {
      this.made++
      this.newest = this.#clock.now()
    })
  }

  retire(): Promise<void> {
    return this.#try('retire', () => {
      this.retired++
    })
  }

  async #try<T>(step: 'newest' | 'make' | 'retire', work: () => T): Promise<T> {
    if (this.failing.has(step)) throw new Error(`${step} failed`)
    return work()
  }
}

interface Given {
  readonly interval?: number | null
  readonly onClose?: boolean
  readonly newest?: number | null
}

function scheduled({ interval = HOUR, onClose = false, newest = null }: Given = {}): {
  readonly clock: VirtualClock
  readonly work: Work
  readonly schedule: SnapshotSchedule
} {
  const clock = new VirtualClock()
  const work = new Work(clock)
  work.newest = newest === null ? null : clock.now() + newest
  const schedule = new SnapshotSchedule(
    clock,
    new MemoryLogger(),
    { interval, onClose },
    {
      newestTime: () => work.newestTime(),
      make: () => work.make(),
      retire: () => work.retire(),
    },
  )
  return { clock, work, schedule }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

async function after(clock: VirtualClock, ms: number): Promise<void> {
  await settle()
  clock.advance(ms)
  await settle()
}

describe('on time', () => {
  test('the first is made at once, the next an interval later', async () => {
    const { clock, work, schedule } = scheduled()
    schedule.start()
    await after(clock, 0)
    expect(work.made).toBe(1)
    await after(clock, HOUR - 1)
    expect(work.made).toBe(1)
    await after(clock, 1)
    expect(work).toMatchObject({ made: 2, retired: 2 })
  })

  test('a restart neither puts the next off nor brings it forward', async () => {
    const { clock, work, schedule } = scheduled({ newest: -40 * MINUTE })
    schedule.start()
    await after(clock, 20 * MINUTE - 1)
    expect(work.made).toBe(0)
    await after(clock, 1)
    expect(work.made).toBe(1)
  })

  test('a clock that was set back waits for one interval, not for the time that it lost', async () => {
    const { clock, work, schedule } = scheduled({ newest: 365 * 24 * HOUR })
    schedule.start()
    await after(clock, HOUR)
    expect(work.made).toBe(1)
  })

  test('one that fails is tried again soon, says so, and forgets it', async () => {
    const { clock, work, schedule } = scheduled()
    work.failing.add('make')
    schedule.start()
    await after(clock, 0)
    expect(schedule.status.lastError).toBe('make failed')
    work.failing.clear()
    await after(clock, MINUTE)
    expect(work.made).toBe(1)
    expect(schedule.status.lastError).toBeNull()
    await after(clock, HOUR - 1)
    expect(work.made).toBe(1)
  })

  test('an archive that is away at the start is asked again', async () => {
    const { clock, work, schedule } = scheduled()
    work.failing.add('newest')
    schedule.start()
    await after(clock, MINUTE - 1)
    expect(work.made).toBe(0)
    await after(clock, 1)
    expect(work.made).toBe(1)
  })

  test('what cannot be let go of does not make more snapshots', async () => {
    const { clock, work, schedule } = scheduled()
    work.failing.add('retire')
    schedule.start()
    await after(clock, 0)
    await after(clock, HOUR - 1)
    expect(work.made).toBe(1)
    expect(schedule.status.lastError).toBe('retire failed')
  })

  test('the status says when the next is due', async () => {
    const { clock, schedule } = scheduled({ newest: 0 })
    schedule.start()
    await settle()
    expect(schedule.status.nextTime).toBe(new Date(clock.now() + HOUR).toISOString())
  })
})

describe('at closing', () => {
  test('one is made where that is wanted, once', async () => {
    const { work, schedule } = scheduled({ interval: null, onClose: true })
    schedule.start()
    await schedule.close()
    await schedule.close()
    expect(work.made).toBe(1)
  })

  test('none is made otherwise, nor later', async () => {
    const { clock, work, schedule } = scheduled({ newest: 0 })
    schedule.start()
    await settle()
    await schedule.close()
    await after(clock, 2 * HOUR)
    expect(work.made).toBe(0)
    expect(schedule.status.nextTime).toBeNull()
  })

  test('a failure is told and does not keep the engine from closing', async () => {
    const { work, schedule } = scheduled({ interval: null, onClose: true })
    work.failing.add('make')
    await schedule.close()
    expect(schedule.status.lastError).toBe('make failed')
  })
})
