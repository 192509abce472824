import { describe, expect, test } from 'vitest'
import { openArchive } from '../../../src/log/archive-view.ts'
import type { ReplayProgress, ReplayStep } from '../../../src/replay/replay-options.ts'
import { type ReplayOptions, replay } from '../../../src/replay/replay.ts'
import type { ReplayReport } from '../../../src/replay/report.ts'
import { type ReplaySink, type SinkStart, functionSink } from '../../../src/replay/sink.ts'
import { ArchiveFixture, FIXTURE_TYPES, fixtureRows } from '../../support/archive-fixture.ts'
import { expectError } from '../../support/expect-error.ts'

/** Batches as they came: log, partition, offsets. */
type Given = readonly (readonly [string, number, number, number])[]

async function run(
  fixture: ArchiveFixture,
  options: ReplayOptions = {},
  ports: { readonly heldBytesMax?: number } = {},
): Promise<{ report: ReplayReport; given: Given }> {
  const given: (readonly [string, number, number, number])[] = []
  const sink = functionSink((log, partition, { baseOffset, length }) => {
    given.push([log.name, partition, baseOffset, baseOffset + length])
  })
  const archive = await openArchive(fixture.store)
  const report = await replay(archive, sink, options, { clock: fixture.clock, ...ports })
  return { report, given }
}

async function oneLog(rows = 300): Promise<ArchiveFixture> {
  const fixture = await ArchiveFixture.create()
  const log = await fixture.addLog('a', FIXTURE_TYPES)
  for (let base = 0; base < rows; base += 100)
    await fixture.addSegment(log, 0, base, fixtureRows(base, 100))
  return fixture
}

describe('a replay with a filter', () => {
  test('gives only the records that it wants, with their offsets, and hashes those', async () => {
    const fixture = await oneLog()
    const log = [...fixture.manifest.state.logs.values()][0]
    expect(log?.definition.name).toBe('a')
    const { report, given } = await run(fixture, {
      filter: (name, { n }) => name === 'a' && typeof n === 'number' && n % 100 < 3,
    })
    expect(given.map(([, , from, to]) => [from, to])).toEqual([
      [0, 3],
      [100, 101],
      [102, 103],
      [200, 203],
    ])
    expect(report).toMatchObject({ records: 8 })
    expect(report.resumePoint.logs[0]?.partitions).toEqual([
      { partition: 0, offset: 300, records: 8 },
    ])
    expect(report.logs[0]?.gaps).toEqual([])
  })
})

describe('a replay step by step', () => {
  test('asks before each record, and goes no further than it is told', async () => {
    const fixture = await oneLog(100)
    const steps: ReplayStep[] = []
    const controller = new AbortController()
    const step = async (next: ReplayStep): Promise<void> => {
      steps.push(next)
      if (steps.length === 4) controller.abort()
    }
    const { signal } = controller
    const given: number[] = []
    const sink = functionSink((_log, _partition, { baseOffset, length }) => {
      given.push(baseOffset, length)
    })
    const archive = await openArchive(fixture.store)
    const options = { speed: 'stepped', step, signal } as const
    await expectError(replay(archive, sink, options, { clock: fixture.clock }), 'aborted')
    expect(given).toEqual([0, 1, 1, 1, 2, 1])
    expect(steps[3]).toEqual({ log: 'a', partition: 0, offset: 3, records: 1, time: 1_000_030 })
  })

  test('takes as many records as a step has', async () => {
    const fixture = await oneLog(100)
    let steps = 0
    const step = async (): Promise<void> => {
      steps++
    }
    const { given } = await run(fixture, { speed: 'stepped', step, stepRecords: 40 })
    expect(given.map(([, , from, to]) => [from, to])).toEqual([
      [0, 40],
      [40, 80],
      [80, 100],
    ])
    expect(steps).toBe(3)
  })
})

describe('the options of a replay', () => {
  test.each<[ReplayOptions, string]>([
    [{ from: 10, to: 5 }, 'from (10) is after to (5)'],
    [{ from: -1 }, 'from is a whole number'],
    [{ since: 2_000, until: 1_000 }, 'is after until'],
    [{ speed: 'stepped' }, 'belong together'],
    [{ step: async () => {} }, 'belong together'],
    [{ speed: 'stepped', step: async () => {}, stepRecords: 0 }, 'stepRecords is 1 or more'],
  ])('%o are refused', async (options, message) => {
    const error = await expectError(run(await oneLog(100), options), 'argument_invalid')
    expect(error.message).toContain(message)
  })

  test('before the first record and behind the last one give what there is', async () => {
    const fixture = await oneLog()
    expect((await run(fixture, { since: 0 })).report.records).toBe(300)
    expect((await run(fixture, { until: 5 })).report.records).toBe(0)
    expect((await run(fixture, { from: 1_000 })).report.records).toBe(0)
    expect((await run(fixture, { logs: ['a', 'a'] })).report.records).toBe(300)
  })
})

describe('the report of a replay', () => {
  test('says from when to when the records of each log are', async () => {
    const fixture = await oneLog()
    const { report } = await run(fixture, { from: 1, to: 299 })
    expect(report.logs[0]).toMatchObject({
      firstTime: new Date(1_000_010).toISOString(),
      lastTime: new Date(1_002_980).toISOString(),
    })
    const none = await run(fixture, { until: 5 })
    expect(none.report.logs[0]).toMatchObject({ firstTime: null, lastTime: null })
  })

  test('and its progress say how fast it went and how long it will take', async () => {
    const fixture = await oneLog()
    const seen: ReplayProgress[] = []
    const sink = functionSink(() => fixture.clock.advance(1_000))
    const archive = await openArchive(fixture.store)
    const onProgress = (progress: ReplayProgress): void => void seen.push(progress)
    const report = await replay(archive, sink, { onProgress }, { clock: fixture.clock })
    expect(
      seen.map(({ recordsPassed, recordsTotal, recordsPerSecond, remainingMs }) => [
        recordsPassed,
        recordsTotal,
        recordsPerSecond,
        remainingMs,
      ]),
    ).toEqual([
      [100, 300, 100, 2_000],
      [200, 300, 100, 1_000],
      [300, 300, 100, 0],
    ])
    expect(report).toMatchObject({ elapsedMs: 3_000, recordsPerSecond: 100, limitedBy: 'sink' })
    expect(report.bytesPerSecond).toBe(Math.round(report.bytes / 3))
  })

  test('says that the store was slow, when it was', async () => {
    const fixture = await oneLog()
    const { store, clock } = fixture
    const get = store.get.bind(store)
    store.get = async (key, options) => {
      const bytes = await get(key, options)
      clock.advance(50)
      return bytes
    }
    expect((await run(fixture)).report.limitedBy).toBe('store')
  })
})

test('partitions that hold too much let go and are read again: the same order, and no more held', async () => {
  const fixture = await ArchiveFixture.create()
  for (const name of ['a', 'b', 'c', 'd']) {
    const log = await fixture.addLog(name, FIXTURE_TYPES)
    for (const base of [0, 9_000])
      await fixture.addSegment(log, 0, base, fixtureRows(base, 9_000), { blockRows: 3_000 })
    await fixture.addSegment(log, 0, 20_000, fixtureRows(20_000, 10))
  }
  const free = await run(fixture)
  const tight = await run(fixture, {}, { heldBytesMax: 1 })
  expect(tight.given).toEqual(free.given)
  expect(tight.report.logs.map(({ hash, gaps }) => [hash, gaps])).toEqual(
    free.report.logs.map(({ hash, gaps }) => [hash, gaps]),
  )
  expect(tight.report.bytes).toBeGreaterThan(free.report.bytes)
})

test('what a sink says that it has is not given again, whatever the resume point says', async () => {
  const fixture = await oneLog()
  const given: number[] = []
  const sinkAt = (start: SinkStart): ReplaySink => ({
    begin: async () => [start],
    append: async (_log, _partition, { baseOffset, length }) => {
      given.push(baseOffset, baseOffset + length)
    },
    end: async () => {},
  })
  const archive = await openArchive(fixture.store)
  const resumePoint = {
    logs: [{ name: 'a', partitions: [{ partition: 0, offset: 50, records: 50 }] }],
  }
  const { clock } = fixture
  const options = { resumePoint, filter: () => true }
  await replay(
    archive,
    sinkAt({ offset: 150, records: 150, heldTo: 150, heldBetween: 0 }),
    options,
    { clock },
  )
  expect(given).toEqual([150, 200, 200, 300])
  given.length = 0
  const report = await replay(
    archive,
    sinkAt({ offset: 50, records: 125, heldTo: 225, heldBetween: 75 }),
    { ...options, filter: (_log, { n }) => typeof n === 'number' && n % 2 === 0 },
    { clock },
  )
  expect(given[0]).toBe(226)
  const position = report.resumePoint.logs[0]?.partitions[0]
  expect(position).toMatchObject({ offset: 300, records: 125 + report.records })
  const held = { offset: 50, records: 60, heldTo: 225, heldBetween: 10 }
  const missed = replay(archive, sinkAt(held), options, { clock })
  const { message } = await expectError(missed, 'log_exists')
  expect(message).toContain("has 10 records of 'a', partition 0, offsets [50, 225)")
})

test('segments of older schemas come in the newest one', async () => {
  const fixture = await ArchiveFixture.create()
  const log = await fixture.addLog('a', { at: 'timestamp[ms]', n: 'int32' })
  await fixture.addSegment(log, 0, 0, [{ at: new Date(1), n: 1 }])
  await fixture.addSchema(log, { at: 'timestamp[ms]', n: 'int64', text: 'utf8' })
  await fixture.addSegment(log, 0, 1, [{ at: new Date(2), n: 2, text: 'new' }])
  const { report, given } = await run(fixture)
  expect(given).toHaveLength(2)
  expect(report.logs[0]?.hash).toBe(fixture.hash(log))
})
