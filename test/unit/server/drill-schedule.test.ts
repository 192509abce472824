/** Drills that a server begins by itself, and what is known of the last one. */
import { describe, expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { MemoryLogger } from '../../../src/base/logger.ts'
import { MemoryMetrics } from '../../../src/base/metrics.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import type { DrillReport } from '../../../src/replay/drill-report.ts'
import { DrillRecord } from '../../../src/server/jobs/drill-record.ts'
import { DrillSchedule } from '../../../src/server/jobs/drill-schedule.ts'
import { JobList } from '../../../src/server/jobs/job-list.ts'
import { JOBS_KEPT_MAX, JOBS_QUEUED_MAX, JOBS_RUNNING_MAX } from '../../../src/server/limits.ts'

const MINUTE = 60_000
const DAY = 86_400_000

class Bench {
  readonly clock = new VirtualClock()
  readonly logger = new MemoryLogger()
  readonly metrics = new MemoryMetrics()
  readonly jobs = new JobList(this)
  readonly schedule: DrillSchedule
  begun = 0
  /** What the drills do; how long they take is what `end` waits for. */
  outcome: () => Promise<object> = async () => ({})

  constructor(intervalMs: number) {
    const work = (): Promise<object> => {
      this.begun++
      return this.outcome()
    }
    const drill = { intervalMs, request: { sample: 0.5 }, work }
    this.schedule = new DrillSchedule(this.clock, this.logger, this.jobs, drill)
    this.schedule.start()
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms)
    for (let turn = 0; turn < 20; turn++) await Promise.resolve()
  }
}

describe('a schedule of drills', () => {
  test('begins the first soon, and each next an interval after the one before began', async () => {
    const bench = new Bench(DAY)
    expect(bench.schedule.nextTime).toBe('2023-11-14T22:23:20.000Z')
    await bench.pass(10 * MINUTE - 1)
    expect(bench.begun).toBe(0)
    await bench.pass(1)
    expect(bench.begun).toBe(1)
    expect(bench.schedule.nextTime).toBe('2023-11-15T22:23:20.000Z')
    const [job] = bench.jobs.list(1, null)
    expect(job).toMatchObject({ kind: 'drill', isScheduled: true, request: { sample: 0.5 } })
    await bench.pass(DAY)
    expect(bench.begun).toBe(2)
  })

  test('begins none while one runs, and counts the time that it took', async () => {
    const bench = new Bench(DAY)
    const running = Promise.withResolvers<object>()
    bench.outcome = () => running.promise
    await bench.pass(10 * MINUTE)
    expect(bench.schedule.nextTime).toBeNull()
    await bench.pass(DAY / 2)
    running.resolve({})
    await bench.pass(0)
    await bench.pass(DAY / 2 - 1)
    expect(bench.begun).toBe(1)
    await bench.pass(1)
    expect(bench.begun).toBe(2)
  })

  test('hears the verdict of a long one, however many younger jobs were over before it', async () => {
    const bench = new Bench(DAY)
    const running = Promise.withResolvers<object>()
    bench.outcome = () => running.promise
    await bench.pass(10 * MINUTE)
    for (let younger = 0; younger < JOBS_KEPT_MAX; younger++) {
      bench.jobs.start({ kind: 'replay', request: {} }, async () => ({}))
      await bench.pass(0)
    }
    running.resolve({})
    await bench.pass(0)
    expect(bench.schedule.nextTime).toBe('2023-11-15T22:23:20.000Z')
    expect(bench.logger.entries.filter(({ level }) => level === 'warn')).toEqual([])
  })

  test('tries again soon where there was no verdict', async () => {
    const bench = new Bench(DAY)
    bench.outcome = async () => {
      throw new StratalogError('store_unavailable', 'The store is away.')
    }
    await bench.pass(10 * MINUTE)
    await bench.pass(10 * MINUTE)
    expect(bench.begun).toBe(2)
  })

  test('goes on where it could not begin, and says so', async () => {
    const bench = new Bench(MINUTE)
    const open = Array.from({ length: JOBS_RUNNING_MAX + JOBS_QUEUED_MAX }, () =>
      bench.jobs.start({ kind: 'replay', request: {} }, () => new Promise(() => {})),
    )
    await bench.pass(MINUTE)
    expect(bench.begun).toBe(0)
    expect(bench.logger.entries.at(-1)).toMatchObject({
      level: 'warn',
      fields: { code: 'queue_full' },
    })
    bench.jobs.cancel(open.at(-1) ?? '')
    await bench.pass(MINUTE)
    expect(bench.jobs.list(1, null)).toMatchObject([{ isScheduled: true, state: 'queued' }])
  })

  test('begins none once it is stopped, also when one was running then', async () => {
    const bench = new Bench(MINUTE)
    const running = Promise.withResolvers<object>()
    bench.outcome = () => running.promise
    await bench.pass(MINUTE)
    bench.schedule.stop()
    running.resolve({})
    await bench.pass(DAY)
    expect([bench.begun, bench.schedule.nextTime]).toEqual([1, null])
  })
})

describe('the last drill', () => {
  const report = (facts: Partial<DrillReport>): DrillReport =>
    ({
      verdict: 'PASS',
      reasons: [],
      coverage: 1,
      rtoMs: 1_200,
      rpoMs: 30,
      rpoRecords: 4,
      hashEqual: true,
      logs: [],
      ...facts,
    }) as unknown as DrillReport

  test('is in the status and in the metrics', () => {
    const bench = new Bench(DAY)
    const record = new DrillRecord(bench)
    expect(record.last).toBeNull()
    record.note(report({}))
    expect(record.last).toEqual({
      time: '2023-11-14T22:13:20.000Z',
      verdict: 'PASS',
      reasons: [],
      coverage: 1,
      rtoMs: 1_200,
      rpoMs: 30,
      rpoRecords: 4,
      hashEqual: true,
    })
    const value = (name: string): number => bench.metrics.value(name)
    expect([
      value('stratalog_drill_passed'),
      value('stratalog_drill_time_seconds'),
      value('stratalog_drill_coverage'),
      value('stratalog_drill_rto_ms'),
      value('stratalog_drill_rpo_ms'),
      value('stratalog_drill_rpo_records'),
    ]).toEqual([1, 1_700_000_000, 1, 1_200, 30, 4])
    expect(bench.logger.entries.at(-1)?.level).toBe('info')
  })

  test('is a warning where it failed, with the first reasons, and keeps what was not measured', () => {
    const bench = new Bench(DAY)
    const record = new DrillRecord(bench)
    const reasons = Array.from({ length: 50 }, (_, index) => `Object ${index} is missing.`)
    record.note(report({}))
    record.note(report({ verdict: 'FAIL', reasons, rpoMs: null, rpoRecords: null }))
    expect(record.last?.reasons).toEqual(reasons.slice(0, 10))
    expect(bench.metrics.value('stratalog_drill_passed')).toBe(0)
    expect(bench.metrics.value('stratalog_drill_rpo_ms')).toBe(30)
    expect(bench.logger.entries.at(-1)).toMatchObject({
      level: 'warn',
      fields: { verdict: 'FAIL', reasons: reasons.slice(0, 10) },
    })
  })
})
