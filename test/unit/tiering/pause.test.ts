import { expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { pauseEdits, pausedSince, resumeEdits } from '../../../src/tiering/pause.ts'
import { appendRows } from '../../support/live-logs.ts'
import { type Bench, eager, tieringBench } from '../../support/tiering.ts'

async function twoLogs(): Promise<{ bench: Bench; still: LiveLog; moving: LiveLog }> {
  const bench = await tieringBench()
  const policy = eager({ archiveAfter: 1e9, diskTtl: 1e9 })
  const still = await bench.addLog({ policy })
  const moving = await bench.addLog({ policy })
  for (const log of [still, moving]) await appendRows(log, [{ n: 0 }])
  return { bench, still, moving }
}

async function lookOnce({ clock }: Bench): Promise<void> {
  clock.advance(250)
  for (let turn = 0; turn < 50; turn++) await systemClock.yield()
}

function segmentsOf(...logs: readonly LiveLog[]): readonly number[] {
  return logs.map((log) => log.partition(0).segments.length)
}

test('a log whose moves are paused stands still, and the others go on', async () => {
  const { bench, still, moving } = await twoLogs()
  const { manifest } = bench.disk
  await manifest.commit((state) => pauseEdits(state, [still], 7))
  expect([pausedSince(manifest.state, still.id), pausedSince(manifest.state, moving.id)]).toEqual([
    7,
    null,
  ])
  bench.scheduler.start()
  await lookOnce(bench)
  expect(segmentsOf(still, moving)).toEqual([0, 1])
  await manifest.commit((state) => resumeEdits(state, [still]))
  await lookOnce(bench)
  expect(segmentsOf(still, moving)).toEqual([1, 1])
  await bench.scheduler.close()
})

test('what somebody asks for moves though it is paused, and so does what has no room in RAM', async () => {
  const { bench, still, moving } = await twoLogs()
  await bench.disk.manifest.commit((state) => pauseEdits(state, null, 7))
  await bench.scheduler.now([still], 'disk')
  expect(segmentsOf(still, moving)).toEqual([1, 0])
  await bench.scheduler.relieve()
  expect(segmentsOf(still, moving)).toEqual([1, 1])
})

test('a pause that holds stays as old as it is, and a resume of what goes on says nothing', async () => {
  const { bench, still } = await twoLogs()
  const { manifest } = bench.disk
  await manifest.commit((state) => pauseEdits(state, [still], 7))
  expect(pauseEdits(manifest.state, [still], 9)).toEqual([])
  await manifest.commit((state) => resumeEdits(state, null))
  expect(resumeEdits(manifest.state, null)).toEqual([])
  expect(pausedSince(manifest.state, still.id)).toBeNull()
})
