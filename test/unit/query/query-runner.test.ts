import { expect, test } from 'vitest'
import { present } from '../../../src/base/assert.ts'
import { StratalogError } from '../../../src/base/errors.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { noMetrics } from '../../../src/base/metrics.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import type { FromWorker, ToWorker, WorkerChannel } from '../../../src/query/protocol.ts'
import type { QueryPorts } from '../../../src/query/query-ports.ts'
import {
  DEFAULT_QUERY_LIMITS,
  type QueryIsolation,
  QueryRunner,
} from '../../../src/query/query-runner.ts'
import { sampleLog } from '../../support/query-logs.ts'
import { sampleBatch, sampleSchema } from '../../support/sample-batches.ts'

/** A worker that says what the test makes it say. */
class ScriptedWorker implements WorkerChannel {
  readonly posted: ToWorker[] = []
  isActive = true
  isTerminated = false
  isKilled = false
  kill: (() => void) | null = null
  say: (message: FromWorker) => void = () => {}
  exit: (error: Error | null) => void = () => {}
  post(message: ToWorker): void {
    this.posted.push(message)
  }
  onMessage(receive: (message: FromWorker) => void): void {
    this.say = receive
  }
  onExit(exited: (error: Error | null) => void): void {
    this.exit = exited
  }
  setActive(isActive: boolean): void {
    this.isActive = isActive
  }
  terminate(): Promise<void> {
    this.isTerminated = true
    return Promise.resolve()
  }
}

function scriptedRunner(
  ports: Partial<QueryPorts> = {},
  isolation: QueryIsolation = 'thread',
): {
  runner: QueryRunner
  workers: ScriptedWorker[]
  clock: VirtualClock
} {
  const workers: ScriptedWorker[] = []
  const clock = new VirtualClock()
  const runner = new QueryRunner(
    {
      clock,
      logger: silentLogger,
      metrics: noMetrics,
      hasLog: (name) => name === 'clicks',
      viewOf: () => {
        throw new Error('there are no logs')
      },
      logFacts: () => [],
      snapshots: () => Promise.resolve([]),
      latestOf: () => Promise.reject(new Error('there are no logs')),
      spawn: () => {
        const worker = new ScriptedWorker()
        if (isolation === 'process') worker.kill = () => void (worker.isKilled = true)
        workers.push(worker)
        return worker
      },
      localSegment: () => Promise.reject(new Error('there are no segments')),
      ...ports,
    },
    { ...DEFAULT_QUERY_LIMITS, isolation },
  )
  return { runner, workers, clock }
}

/** Lets every promise that can go on do so. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

test('a worker that dies fails its query, and the next query starts another', async () => {
  const { runner, workers } = scriptedRunner()
  const first = runner.query('SELECT 1')
  await settle()
  workers[0]?.exit(new Error('out of luck'))
  await expect(first).rejects.toMatchObject({
    code: 'query_failed',
    cause: { message: 'out of luck' },
  })
  const second = runner.query('SELECT 1')
  await settle()
  expect(workers).toHaveLength(2)
  workers[1]?.say({
    kind: 'failed',
    query: 1,
    error: { code: 'query_invalid', message: 'no', details: {} },
  })
  await expect(second).rejects.toMatchObject({ code: 'query_invalid' })
  expect(workers[1]?.isActive).toBe(false)
})

test('a worker that dies stops the look for newest records before their views are let go of', async () => {
  const schema = sampleSchema({ id: 'utf8' })
  const parts = [{ tier: 'memory', batches: [sampleBatch(schema, [{ id: 'a' }])] }] as const
  const log = await sampleLog('', 'users', [parts], { keyColumn: 'id' })
  let wasAborted: boolean | null = null
  let signalled: AbortSignal | null = null
  const { runner, workers } = scriptedRunner({
    hasLog: (name) => name === 'users',
    viewOf: () => {
      const view = log.pin()
      const release = (): void => {
        wasAborted = signalled?.aborted ?? null
        view.release()
      }
      return { ...view, release }
    },
    latestOf: (_view, signal) => {
      signalled = signal
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('aborted')))
      })
    },
  })
  const query = runner.query('SELECT * FROM "users$latest"')
  await settle()
  workers[0]?.say({
    kind: 'planned',
    query: 1,
    scans: { bounds: [[[]]], columns: [null], filters: [] },
  })
  await settle()
  workers[0]?.exit(new Error('out of luck'))
  await expect(query).rejects.toMatchObject({ code: 'query_failed' })
  expect(wasAborted).toBe(true)
})

test('a query whose first message cannot be sent ends, and gives its slot back', async () => {
  const { runner, workers } = scriptedRunner()
  const first = runner.query('SELECT 1')
  await settle()
  const worker = present(workers[0], 'a worker')
  worker.post = () => {
    throw new Error('could not be cloned')
  }
  const outcomes = [1, 2, 3].map(() => runner.query('SELECT 1', [], { timeoutMs: 100 }))
  const failed = Promise.allSettled(outcomes)
  await settle()
  worker.exit(null)
  await expect(first).rejects.toMatchObject({ code: 'query_failed' })
  for (const outcome of await failed)
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: { message: /could not be cloned/ },
    })
  await runner.close()
})

test('a cancelled query is interrupted again until the worker has ended it', async () => {
  const { runner, workers, clock } = scriptedRunner()
  const controller = new AbortController()
  const query = runner.query('SELECT 1', [], { signal: controller.signal })
  const outcome = query.catch((error: unknown) => error)
  await settle()
  const cancels = (): number =>
    workers[0]?.posted.filter((message) => message.kind === 'cancel').length ?? 0
  controller.abort()
  expect(cancels()).toBe(1)
  clock.advance(120)
  expect(cancels()).toBe(3)
  workers[0]?.say({
    kind: 'failed',
    query: 1,
    error: { code: 'aborted', message: '', details: {} },
  })
  clock.advance(120)
  expect(cancels()).toBe(3)
  expect(await outcome).toMatchObject({ code: 'aborted' })
})

test('a query whose log cannot be pinned ends with the reason', async () => {
  const { runner, workers } = scriptedRunner()
  const query = runner.query('SELECT * FROM clicks', [], {
    viewOf: () => {
      throw new StratalogError('offset_gap', 'Records are gone.')
    },
  })
  await expect(query).rejects.toMatchObject({ code: 'offset_gap' })
  expect(workers[0]?.posted.map(({ kind }) => kind)).toEqual(['open'])
  expect(workers[0]?.isActive).toBe(false)
})

test('a worker is never terminated before it says that it closed', async () => {
  const { runner, workers, clock } = scriptedRunner()
  const query = runner.query('SELECT 1').catch(() => {})
  await settle()
  workers[0]?.say({
    kind: 'failed',
    query: 1,
    error: { code: 'query_invalid', message: '', details: {} },
  })
  await query
  const closing = runner.close()
  await settle()
  expect(workers[0]?.isTerminated).toBe(false)
  workers[0]?.say({ kind: 'closed' })
  await closing
  expect(workers[0]?.isTerminated).toBe(true)

  const stuck = scriptedRunner()
  const lost = stuck.runner.query('SELECT 1').catch(() => {})
  await settle()
  stuck.workers[0]?.say({
    kind: 'failed',
    query: 1,
    error: { code: 'query_invalid', message: '', details: {} },
  })
  await lost
  const waiting = stuck.runner.close()
  await settle()
  stuck.clock.advance(5_000)
  await waiting
  expect(stuck.workers[0]?.isTerminated).toBe(false)
  expect(clock.now()).toBeGreaterThan(0)
})

test('a process whose query does not end when it is told to is killed, and its query ends with it', async () => {
  const { runner, workers, clock } = scriptedRunner({}, 'process')
  const controller = new AbortController()
  const query = runner.query('SELECT 1', [], { signal: controller.signal })
  const outcome = query.catch((error: unknown) => error)
  await settle()
  controller.abort()
  clock.advance(99)
  expect(workers[0]?.isKilled).toBe(false)
  clock.advance(1)
  expect(workers[0]?.isKilled).toBe(true)
  workers[0]?.exit(null)
  expect(await outcome).toMatchObject({ code: 'aborted' })
})

test('each query has a process of its own, and one that is free is used again', async () => {
  const { runner, workers } = scriptedRunner({}, 'process')
  const failed = { code: 'query_invalid', message: '', details: {} } as const
  const first = runner.query('SELECT 1').catch((error: unknown) => error)
  const second = runner.query('SELECT 2').catch((error: unknown) => error)
  await settle()
  expect(workers).toHaveLength(2)
  workers[0]?.exit(null)
  expect(await first).toMatchObject({ code: 'query_failed' })
  workers[1]?.say({ kind: 'failed', query: 1, error: failed })
  expect(await second).toMatchObject({ code: 'query_invalid' })
  const third = runner.query('SELECT 3').catch((error: unknown) => error)
  await settle()
  expect(workers).toHaveLength(2)
  workers[1]?.say({ kind: 'failed', query: 2, error: failed })
  await third
  await runner.close()
  expect(workers[1]?.isTerminated).toBe(true)
})

test('a process that was killed gets no further query, and closing waits for it', async () => {
  const { runner, workers, clock } = scriptedRunner({}, 'process')
  const failed = { code: 'query_invalid', message: '', details: {} } as const
  const controller = new AbortController()
  const first = runner.query('SELECT 1', [], { signal: controller.signal }).catch(() => {})
  await settle()
  controller.abort()
  clock.advance(100)
  expect(workers[0]?.isKilled).toBe(true)
  // Its last word comes before its exit.
  workers[0]?.say({ kind: 'failed', query: 1, error: failed })
  await first
  const second = runner.query('SELECT 2').catch((error: unknown) => error)
  await settle()
  expect(workers.map(({ posted }) => posted.filter(({ kind }) => kind === 'bind').length)).toEqual([
    1, 1,
  ])
  workers[1]?.say({ kind: 'failed', query: 1, error: failed })
  expect(await second).toMatchObject({ code: 'query_invalid' })
  await runner.close()
  expect(workers.map(({ isTerminated }) => isTerminated)).toEqual([true, true])
})

test('a process that ran out of memory gets no further query, and one with too many rows does', async () => {
  const { runner, workers } = scriptedRunner({}, 'process')
  const failWith = async (index: number, query: number, details: object): Promise<void> => {
    const failed = runner.query('SELECT 1').catch((error: unknown) => error)
    await settle()
    const error = { code: 'query_limit', message: '', details: { ...details } } as const
    workers[index]?.say({ kind: 'failed', query, error })
    expect(await failed).toMatchObject({ code: 'query_limit' })
  }
  await failWith(0, 1, { maxRows: 5 })
  await failWith(0, 2, {})
  expect(workers[0]?.isKilled).toBe(true)
  await failWith(1, 1, {})
  expect(workers).toHaveLength(2)
})
