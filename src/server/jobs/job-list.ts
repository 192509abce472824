/**
 * Jobs: what takes too long for one request. At most JOBS_RUNNING_MAX run, JOBS_QUEUED_MAX wait for their turn, and the
 * last ones that are over are kept until there are too many or their results take too much. All of it is in RAM: a job
 * ends with its process.
 */
import { present } from '../../base/assert.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import { StratalogError, toStratalogError } from '../../base/errors.ts'
import type { Logger } from '../../base/logger.ts'
import type { Metrics } from '../../base/metrics.ts'
import { RequestProblem, problemOf } from '../http-error.ts'
import { ALL_RIGHTS } from '../rights.ts'
import {
  DRAIN_MS,
  JOBS_KEPT_MAX,
  JOBS_QUEUED_MAX,
  JOBS_RUNNING_MAX,
  JOB_RESULTS_BYTES_MAX,
} from '../limits.ts'
import { type JobProgress, type JobProgressFacts, progressFacts } from './job-progress.ts'

export type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled'

export interface JobContext {
  readonly signal: AbortSignal
  readonly onProgress: (progress: JobProgress) => void
}

/** Resolves with the result; ends soon after the signal fires. */
export type JobWork = (context: JobContext) => Promise<object>

export interface JobTerms {
  readonly kind: string
  /** As it was asked for. */
  readonly request: object
  readonly isScheduled?: boolean
}

/** A job as it is shown, without its result. Times are ISO 8601, UTC. */
export interface JobFacts extends Required<JobTerms> {
  readonly id: string
  readonly state: JobState
  readonly createdAt: string
  readonly startedAt: string | null
  readonly endedAt: string | null
  readonly progress: JobProgressFacts | null
  readonly problem: Readonly<Record<string, unknown>> | null
}

interface Job {
  readonly id: string
  readonly terms: JobTerms
  readonly work: JobWork
  readonly controller: AbortController
  readonly ended: PromiseWithResolvers<void>
  readonly createdAt: number
  state: JobState
  startedAt: number | null
  startedMs: number
  endedAt: number | null
  progress: JobProgress | null
  progressMs: number
  problem: Readonly<Record<string, unknown>> | null
  /** JSON. */
  result: string | null
}

export interface JobPorts {
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
}

export class JobList {
  readonly #ports: JobPorts
  /** In the order of their beginning. Names of an earlier process are not given again. */
  readonly #jobs = new Map<string, Job>()
  /** Those that are over, in the order of their end. */
  readonly #over: Job[] = []
  readonly #idPrefix: string
  #count = 0
  #isStopping = false

  constructor(ports: JobPorts) {
    this.#ports = ports
    this.#idPrefix = ports.clock.now().toString(36)
  }

  /** The id of a job that runs or waits. @throws StratalogError `queue_full`; RequestProblem `server_stopping`. */
  start(terms: JobTerms, work: JobWork): string {
    if (this.#isStopping) throw new RequestProblem('server_stopping', 'The server is stopping.')
    if (this.#having('running') >= JOBS_RUNNING_MAX && this.#having('queued') >= JOBS_QUEUED_MAX) {
      throw new StratalogError(
        'queue_full',
        `${JOBS_RUNNING_MAX} jobs run and ${JOBS_QUEUED_MAX} wait; ask again when one has ended.`,
        { details: { running: JOBS_RUNNING_MAX, queued: JOBS_QUEUED_MAX } },
      )
    }
    this.#count++
    const id = `${this.#idPrefix}-${String(this.#count).padStart(8, '0')}`
    this.#jobs.set(id, {
      id,
      terms,
      work,
      controller: new AbortController(),
      ended: Promise.withResolvers(),
      createdAt: this.#ports.clock.now(),
      state: 'queued',
      startedAt: null,
      startedMs: 0,
      endedAt: null,
      progress: null,
      progressMs: 0,
      problem: null,
      result: null,
    })
    this.#next()
    return id
  }

  /** @throws StratalogError `job_not_found`. */
  facts(id: string): JobFacts {
    return factsOf(this.#job(id))
  }

  /** Its result as JSON; null before there is one. @throws StratalogError `job_not_found`. */
  result(id: string): string | null {
    return this.#job(id).result
  }

  /** The newest first, of those that are older than the job `before`. */
  list(limit: number, before: string | null): readonly JobFacts[] {
    const older = [...this.#jobs.values()].filter(({ id }) => before === null || id < before)
    return older.toReversed().slice(0, limit).map(factsOf)
  }

  /** Resolves when it is over, after `ms`, or when the signal fires. @throws StratalogError `job_not_found`. */
  async wait(id: string, ms: number, signal?: AbortSignal): Promise<void> {
    const { ended, endedAt } = this.#job(id)
    if (endedAt !== null || ms <= 0 || signal?.aborted === true) return
    const other = Promise.withResolvers<void>()
    const timer: Timer = this.#ports.clock.setTimer(ms, other.resolve)
    signal?.addEventListener('abort', () => other.resolve(), { once: true })
    await Promise.race([ended.promise, other.promise])
    timer.cancel()
  }

  /** Resolves when it is over. @throws StratalogError `job_not_found`. */
  ended(id: string): Promise<void> {
    return this.#job(id).ended.promise
  }

  /** Ends it, if it is not over. @throws StratalogError `job_not_found`. */
  cancel(id: string): void {
    this.#end(this.#job(id), 'It was cancelled.')
  }

  /** Ends all, and waits for that as long as the server does. */
  async stop(): Promise<void> {
    this.#isStopping = true
    const open = [...this.#jobs.values()].filter(({ endedAt }) => endedAt === null)
    for (const job of open) this.#end(job, 'The server stopped before it was done.')
    const late = Promise.withResolvers<void>()
    const timer = this.#ports.clock.setTimer(DRAIN_MS, late.resolve)
    await Promise.race([Promise.all(open.map(({ ended }) => ended.promise)), late.promise])
    timer.cancel()
  }

  #job(id: string): Job {
    const job = this.#jobs.get(id)
    if (job !== undefined) return job
    throw new StratalogError(
      'job_not_found',
      'There is no such job; those of long ago are forgotten.',
      {
        details: { job: id },
      },
    )
  }

  #having(state: JobState): number {
    let count = 0
    for (const job of this.#jobs.values()) if (job.state === state) count++
    return count
  }

  #next(): void {
    const { metrics } = this.#ports
    for (const job of this.#jobs.values()) {
      if (this.#having('running') >= JOBS_RUNNING_MAX) break
      if (job.state === 'queued') void this.#run(job)
    }
    for (const state of ['queued', 'running'] as const)
      metrics.gauge('stratalog_jobs', this.#having(state), { state })
  }

  async #run(job: Job): Promise<void> {
    const { clock } = this.#ports
    job.state = 'running'
    job.startedAt = clock.now()
    job.startedMs = clock.monotonic()
    const { signal } = job.controller
    const onProgress = (progress: JobProgress): void => {
      job.progress = progress
      job.progressMs = clock.monotonic()
    }
    try {
      job.result = JSON.stringify(await job.work({ signal, onProgress }))
      this.#finish(job, 'done', null)
    } catch (error) {
      if (signal.aborted) this.#finish(job, 'cancelled', signal.reason)
      else this.#finish(job, 'failed', error)
    }
  }

  #end(job: Job, reason: string): void {
    if (job.endedAt !== null) return
    const error = new StratalogError('aborted', reason)
    job.controller.abort(error)
    if (job.state === 'queued') this.#finish(job, 'cancelled', error)
  }

  #finish(job: Job, state: JobState, error: unknown): void {
    const { clock, logger, metrics } = this.#ports
    const { id, terms } = job
    job.state = state
    job.endedAt = clock.now()
    job.problem = error === null ? null : problemOf(error, id, ALL_RIGHTS).body
    metrics.count('stratalog_jobs_total', 1, { kind: terms.kind, state })
    const fields = { requestId: id, kind: terms.kind, state }
    if (error === null) logger.info('a job is done', fields)
    else logger.warn('a job was not done', { ...fields, error: toStratalogError(error).message })
    this.#over.push(job)
    this.#forget()
    job.ended.resolve()
    this.#next()
  }

  /** What ended first goes first: whoever waited for the end of a job still finds it. */
  #forget(): void {
    let bytes = this.#over.reduce((sum, { result }) => sum + (result?.length ?? 0), 0)
    while (this.#over.length > JOBS_KEPT_MAX || bytes > JOB_RESULTS_BYTES_MAX) {
      if (this.#over.length === 1) return
      const job = present(this.#over.shift(), 'a job that is over')
      this.#jobs.delete(job.id)
      bytes -= job.result?.length ?? 0
    }
  }
}

function factsOf(job: Job): JobFacts {
  const { id, terms, state, createdAt, startedAt, endedAt, progress, problem } = job
  const { kind, request, isScheduled = false } = terms
  return {
    id,
    kind,
    state,
    request,
    isScheduled,
    createdAt: new Date(createdAt).toISOString(),
    startedAt: isoTime(startedAt),
    endedAt: isoTime(endedAt),
    progress: progress === null ? null : progressFacts(progress, job.progressMs - job.startedMs),
    problem,
  }
}

function isoTime(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString()
}
