import { expect, test } from 'vitest'
import { VirtualClock } from '../../../../src/base/virtual-clock.ts'
import { endOfWorker } from '../../../../src/engine/workers/worker-end.ts'

function ending(): {
  heard: string[]
  exit: () => void
  ended: Promise<void>
  clock: VirtualClock
} {
  const heard: string[] = []
  const clock = new VirtualClock()
  const exited = Promise.withResolvers<void>()
  const terminate = async (): Promise<void> => void heard.push('terminated')
  const ended = endOfWorker({ terminate }, exited.promise, clock)
  return { heard, exit: exited.resolve, ended, clock }
}

test('a worker that ends by itself is not terminated', async () => {
  const { heard, exit, ended, clock } = ending()
  exit()
  await ended
  clock.advance(60_000)
  expect(heard).toEqual([])
})

test('a worker that hangs is terminated', async () => {
  const { heard, ended, clock } = ending()
  expect(heard).toEqual([])
  clock.advance(60_000)
  await ended
  expect(heard).toEqual(['terminated'])
})
