/** Jobs: how many run and wait, how they end, and what is known of them afterwards. */
import { describe, expect, test } from 'vitest'
import { throwIfAborted } from '../../../src/base/errors.ts'
import { MemoryLogger } from '../../../src/base/logger.ts'
import { MemoryMetrics } from '../../../src/base/metrics.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { type JobContext, JobList } from '../../../src/server/jobs/job-list.ts'
import {
  DRAIN_MS,
  JOBS_KEPT_MAX,
  JOBS_QUEUED_MAX,
  JOBS_RUNNING_MAX,
  JOB_RESULTS_BYTES_MAX,
} from '../../../src/server/limits.ts'
import { expectError } from '../../support/expect-error.ts'

/** Works that the test ends, in the order in which they began to run. */
class Bench {
  readonly clock = new VirtualClock()
  readonly logger = new MemoryLogger()
  readonly metrics = new MemoryMetrics()
  readonly jobs = new JobList(this)
  readonly running: { readonly context: JobContext; readonly end: (result: object) => void }[] = []

  start(kind = 'drill'): string {
    return this.jobs.start({ kind, request: { asked: kind } }, (context) => {
      const { promise, resolve } = Promise.withResolvers<object>()
      this.running.push({ context, end: resolve })
      context.signal.addEventListener('abort', () => resolve(aborted(context.signal)))
      return promise
    })
  }

  async end(index: number, result: object = {}): Promise<void> {
    this.running[index]?.end(result)
    await settled()
  }

  state(id: string): string {
    return this.jobs.facts(id).state
  }
}

async function aborted(signal: AbortSignal): Promise<object> {
  throwIfAborted(signal)
  return {}
}

/** Whatever is ready to run has run. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

describe('a list of jobs', () => {
  test('runs some, lets more wait for their turn in order, and refuses what is too much', async () => {
    const bench = new Bench()
    const ids = Array.from({ length: JOBS_RUNNING_MAX + JOBS_QUEUED_MAX }, () => bench.start())
    expect(bench.running).toHaveLength(JOBS_RUNNING_MAX)
    expect(ids.map((id) => bench.state(id)).filter((state) => state === 'queued')).toHaveLength(
      JOBS_QUEUED_MAX,
    )
    await expectError(
      Promise.resolve().then(() => bench.start()),
      'queue_full',
    )
    await bench.end(0)
    expect(bench.running).toHaveLength(JOBS_RUNNING_MAX + 1)
    expect(bench.state(ids[JOBS_RUNNING_MAX] ?? '')).toBe('running')
    expect(bench.state(ids[JOBS_RUNNING_MAX + 1] ?? '')).toBe('queued')
    expect(bench.state(bench.start())).toBe('queued')
  })

  test('says of a job what it is, how far, how fast and how long still, and its result', async () => {
    const bench = new Bench()
    const id = bench.start('replay')
    expect(bench.jobs.facts(id)).toMatchObject({ id, kind: 'replay', progress: null })
    bench.clock.advance(2_000)
    const progress = { done: 40, total: 100, unit: 'records', records: 30 } as const
    bench.running[0]?.context.onProgress(progress)
    expect(bench.jobs.facts(id).progress).toEqual({
      ...progress,
      elapsedMs: 2_000,
      perSecond: 20,
      remainingMs: 3_000,
    })
    expect(bench.jobs.result(id)).toBeNull()
    await bench.end(0, { records: 100 })
    expect(bench.jobs.facts(id)).toMatchObject({
      state: 'done',
      request: { asked: 'replay' },
      isScheduled: false,
      createdAt: '2023-11-14T22:13:20.000Z',
      startedAt: '2023-11-14T22:13:20.000Z',
      endedAt: '2023-11-14T22:13:22.000Z',
      problem: null,
    })
    expect(bench.jobs.result(id)).toBe('{"records":100}')
  })

  test('says nothing of the time left before a hundredth is done', () => {
    const bench = new Bench()
    const id = bench.start()
    bench.clock.advance(1_000)
    bench.running[0]?.context.onProgress({ done: 9, total: 1_000, unit: 'bytes', records: 1 })
    expect(bench.jobs.facts(id).progress?.remainingMs).toBeNull()
  })

  test('keeps the problem of one that failed, as HTTP tells errors', async () => {
    const bench = new Bench()
    const id = bench.jobs.start({ kind: 'drill', request: {} }, async () => {
      throw new Error('secret of the machine')
    })
    await bench.jobs.ended(id)
    const { state, problem } = bench.jobs.facts(id)
    expect([state, problem?.['code'], problem?.['requestId']]).toEqual(['failed', 'internal', id])
    expect(JSON.stringify(problem)).not.toContain('secret')
    expect(JSON.stringify(bench.logger.entries)).toContain('secret')
  })

  test('ends one that waits at once, and one that runs by its signal; what is over stays', async () => {
    const bench = new Bench()
    const [first, second, third] = [bench.start(), bench.start(), bench.start()]
    bench.jobs.cancel(third)
    expect(bench.jobs.facts(third)).toMatchObject({ state: 'cancelled', startedAt: null })
    bench.jobs.cancel(first)
    expect(bench.state(first)).toBe('running')
    await bench.jobs.ended(first)
    expect(bench.jobs.facts(first)).toMatchObject({
      state: 'cancelled',
      problem: { code: 'aborted', detail: 'It was cancelled.' },
    })
    await bench.end(1)
    bench.jobs.cancel(second)
    expect(bench.state(second)).toBe('done')
    await expectError(
      Promise.resolve().then(() => bench.jobs.cancel('none')),
      'job_not_found',
    )
  })

  test('ends all when the server stops, says why, and takes none any more', async () => {
    const bench = new Bench()
    const ids = Array.from({ length: JOBS_RUNNING_MAX + 2 }, () => bench.start())
    await bench.jobs.stop()
    for (const id of ids) {
      expect(bench.jobs.facts(id)).toMatchObject({
        state: 'cancelled',
        problem: { detail: 'The server stopped before it was done.' },
      })
    }
    expect(() => bench.start()).toThrow('The server is stopping.')
    expect(bench.running).toHaveLength(JOBS_RUNNING_MAX)
  })

  test('does not wait for longer than the server does for one that does not end', async () => {
    const bench = new Bench()
    bench.jobs.start({ kind: 'drill', request: {} }, () => new Promise(() => {}))
    const stopped = bench.jobs.stop()
    bench.clock.advance(DRAIN_MS)
    await stopped
  })

  test('waits for the end of one, for a time, or until nobody asks any more', async () => {
    const bench = new Bench()
    const id = bench.start()
    const timed = bench.jobs.wait(id, 1_000)
    bench.clock.advance(1_000)
    await timed
    const asking = new AbortController()
    const left = bench.jobs.wait(id, 1_000, asking.signal)
    asking.abort()
    await left
    const waited = bench.jobs.wait(id, 1_000)
    await bench.end(0)
    await waited
    await bench.jobs.wait(id, 1_000)
  })

  test('lists the newest first, page by page', async () => {
    const bench = new Bench()
    const ids = Array.from({ length: 5 }, () => bench.start())
    const page = bench.jobs.list(2, null)
    expect(page.map(({ id }) => id)).toEqual([ids[4], ids[3]])
    const rest = bench.jobs.list(10, page[1]?.id ?? null)
    expect(rest.map(({ id }) => id)).toEqual([ids[2], ids[1], ids[0]])
  })

  test('forgets the oldest that are over, never one that is not', async () => {
    const bench = new Bench()
    const runs = bench.start()
    const ids: string[] = []
    for (let index = 0; index <= JOBS_KEPT_MAX; index++) {
      ids.push(bench.start())
      await bench.end(index + 1)
    }
    expect(() => bench.state(ids[0] ?? '')).toThrow('no such job')
    expect(bench.state(ids[1] ?? '')).toBe('done')
    expect(bench.state(runs)).toBe('running')
  })

  test('forgets them earlier where their results take too much, but for the newest', async () => {
    const bench = new Bench()
    const half = { text: 'x'.repeat(JOB_RESULTS_BYTES_MAX / 2) }
    const [small, first, second] = [bench.start(), bench.start(), bench.start()]
    await bench.end(0)
    await bench.end(1, half)
    expect([bench.state(small), bench.state(first)]).toEqual(['done', 'done'])
    await bench.end(2, { text: half.text + half.text })
    expect(bench.state(second)).toBe('done')
    expect(() => bench.state(small)).toThrow('no such job')
    expect(() => bench.state(first)).toThrow('no such job')
  })
})
