import { expect, test } from 'vitest'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { Lane } from '../../../src/tiering/lane.ts'
import { Surroundings, liveLog } from '../../support/live-logs.ts'

function setting(): {
  clock: VirtualClock
  lane: Lane
  partitions: ReturnType<typeof liveLog>['partitions']
} {
  const clock = new VirtualClock()
  const log = liveLog(new Surroundings(), { definition: { partitions: 5 } })
  return { clock, lane: new Lane(clock, 2), partitions: log.partitions }
}

test('rounds never overlap, and a lane is busy until the last of them is over', async () => {
  const { lane } = setting()
  const steps: string[] = []
  const round = (name: string) => async (): Promise<void> => {
    steps.push(`${name} begins`)
    await Promise.resolve()
    steps.push(`${name} ends`)
  }
  expect(lane.isBusy).toBe(false)
  const first = lane.round(round('a'))
  const second = lane.round(round('b'))
  expect(lane.isBusy).toBe(true)
  await first
  expect(lane.isBusy).toBe(true)
  await second
  expect(lane.isBusy).toBe(false)
  expect(steps).toEqual(['a begins', 'a ends', 'b begins', 'b ends'])
  await expect(lane.round(() => Promise.reject(new Error('failed')))).rejects.toThrow('failed')
  expect(lane.isBusy).toBe(false)
})

test('a partition moves one at a time and pauses longer after each failure, up to a minute', async () => {
  const { clock, lane, partitions } = setting()
  const [first, second] = partitions
  if (first === undefined || second === undefined) throw new Error('a log has partitions')
  const pauses: number[] = []
  for (let failure = 0; failure < 9; failure++) {
    await expect(
      lane.attempt(first, () => Promise.reject(new Error(`failure ${failure}`))),
    ).rejects.toThrow()
    let waited = 0
    for (; lane.isBackingOff(first); waited += 500) clock.advance(500)
    pauses.push(waited)
  }
  expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000])
  expect([lane.errorOf(first), lane.errorOf(second), lane.isBackingOff(second)]).toEqual([
    'failure 8',
    null,
    false,
  ])
  await lane.attempt(first, () => Promise.resolve())
  expect([lane.errorOf(first), lane.isBackingOff(first)]).toEqual([null, false])
  const running: string[] = []
  const move = (name: string) => async (): Promise<void> => {
    running.push(name)
    await clock.yield()
    running.push(`${name} over`)
  }
  await Promise.all([
    lane.attempt(first, move('a')),
    lane.attempt(first, move('b')),
    lane.attempt(second, move('c')),
  ])
  expect(running.filter((step) => !step.startsWith('c'))).toEqual(['a', 'a over', 'b', 'b over'])
  expect(running.indexOf('c')).toBe(1)
})

test('steps run side by side, within a limit, and all of them', async () => {
  const { clock, lane } = setting()
  let running = 0
  let most = 0
  const results = await lane.all(
    Array.from({ length: 9 }, (_, index) => async () => {
      running++
      most = Math.max(most, running)
      await clock.yield()
      running--
      return index
    }),
  )
  expect(results.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
  expect(most).toBe(2)
})

test('who asks for a move during its pause does not make the pause longer', async () => {
  const { clock, lane, partitions } = setting()
  const [partition] = partitions
  if (partition === undefined) throw new Error('a log has partitions')
  for (let asked = 0; asked < 10; asked++) {
    const failing = lane.attempt(partition, () => Promise.reject(new Error(`failure ${asked}`)))
    await expect(failing).rejects.toThrow()
    clock.advance(50)
  }
  expect(lane.errorOf(partition)).toBe('failure 9')
  expect(lane.isBackingOff(partition)).toBe(true)
  clock.advance(500)
  expect(lane.isBackingOff(partition)).toBe(false)
})
