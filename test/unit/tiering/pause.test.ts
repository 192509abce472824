import { expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { pauseEdits, pausedSince, resumeEdits } from '../../../src/tiering/pause.ts'
import { appendRows } from '../../support/live-logs.ts'
import { type Bench, HYBRID_POLICY, eager, tieringBench } from '../../support/tiering.ts'

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

test.each(['one log', 'all logs'])(
  'the budget of the disk holds while %s stand still',
  async (what) => {
    const bench = await tieringBench({ maxDiskBytes: 200_000 })
    const policy = {
      ...HYBRID_POLICY,
      memoryTtl: 0,
      diskAfter: 1e9,
      archiveAfter: 1e9,
      diskTtl: 1e9,
    }
    const log = await bench.addLog({ policy })
    await bench.disk.manifest.commit((state) =>
      pauseEdits(state, what === 'one log' ? [log] : null, 7),
    )
    for (let count = 0; bench.diskBudget.facts().excessBytes === 0; count++) {
      const rows = Array.from({ length: 500 }, (_, n) => ({ n: Math.sin(count * 500 + n) }))
      await appendRows(log, rows, 0, bench.clock.now())
      await bench.scheduler.now([log], 'disk')
    }
    const all = log.partition(0).segments.length
    bench.scheduler.start()
    for (let look = 0; look < 3; look++) await lookOnce(bench)
    expect(bench.diskBudget.facts().excessBytes).toBe(0)
    const { segments } = log.partition(0)
    expect(segments.countHaving('disk')).toBeLessThan(all)
    // No more than that.
    expect(segments.countHaving('disk')).toBeGreaterThan(0)
    expect(segments.length).toBe(all)
    await bench.scheduler.close()
  },
)

test('the WAL keeps to its bytes while all logs stand still', async () => {
  const bench = await tieringBench({ walBytesMax: 10_000 })
  const log = await bench.addLog({ policy: { ...HYBRID_POLICY, diskAfter: 1e9 } })
  await bench.disk.manifest.commit((state) => pauseEdits(state, null, 7))
  bench.scheduler.start()
  await appendRows(log, [{ n: 0 }], 0, bench.clock.now())
  await lookOnce(bench)
  expect(segmentsOf(log)).toEqual([0])
  for (let count = 0; count < 10; count++) {
    const rows = Array.from({ length: 500 }, (_, n) => ({ n }))
    await appendRows(log, rows, 0, bench.clock.now())
  }
  await lookOnce(bench)
  expect(log.partition(0).flushedEnd).toBe(5_001)
  await bench.scheduler.close()
})
