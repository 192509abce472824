/** Jobs of a server: restores, replays and drills, which go on whoever asks for them. */
import { throwIfAborted } from '../base/errors.ts'
import { problemError } from '../base/server-problem.ts'
import type { DrillJob, JobRequest, ReplayJob, RestoreJob } from '../engine/job-request.ts'
import type { DrillReport } from '../replay/drill-report.ts'
import type { ReplayReport } from '../replay/report.ts'
import type { RestoreResult } from '../snapshot/restore.ts'
import { type Transport, pathOf } from './transport.ts'

export interface JobProgress {
  readonly done: number
  readonly total: number
  readonly unit: 'bytes' | 'records'
  readonly records: number
  readonly elapsedMs: number
  /** In its unit, since the job began to run. */
  readonly perSecond: number
  /** At that rate; null while it says nothing. */
  readonly remainingMs: number | null
}

/** A job as it was when the server was asked. Times are ISO 8601, UTC. */
export interface Job<Result = object> {
  readonly id: string
  readonly kind: JobRequest['kind']
  readonly state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled'
  /** What it was asked for. */
  readonly request: object
  /** Whether the server began it by itself. */
  readonly isScheduled: boolean
  readonly createdAt: string
  readonly startedAt: string | null
  readonly endedAt: string | null
  readonly progress: JobProgress | null
  /** Why it failed or was cancelled, as the body of an error. */
  readonly problem: Readonly<Record<string, unknown>> | null
  /** Null until it is done, and in a list. */
  readonly result: Result | null
}

/** Of a plan, which restores nothing, only the plan. */
export type RestoreJobResult = Pick<RestoreResult, 'plan'> & Partial<RestoreResult>

export interface JobWaitOptions {
  /** Is told when the job has come further. */
  readonly onProgress?: (progress: JobProgress) => void
  /** Ends the waiting; the job goes on. */
  readonly signal?: AbortSignal
}

/** How long an answer waits for the end of the job: short where someone looks at its progress. */
const WAIT_MS = 15_000
const WATCHED_WAIT_MS = 500

export class Jobs {
  readonly #transport: Transport

  /** `Client.jobs` has them. */
  constructor(transport: Transport) {
    this.#transport = transport
  }

  /**
   * Begins a restore, a replay or a drill; docs/http-api.md says what they may reach.
   * @throws StratalogError `argument_invalid`, `url_invalid`, `queue_full`; `server_unavailable` where nobody knows
   * whether it began: the list says.
   * @example
   * const job = await db.jobs.start({ kind: 'drill' })
   * const { verdict } = await db.jobs.wait(job, { onProgress: ({ done, total }) => console.log(done / total) })
   */
  start(request: DrillJob): Promise<Job<DrillReport>>
  start(request: ReplayJob): Promise<Job<ReplayReport>>
  start(request: RestoreJob): Promise<Job<RestoreJobResult>>
  start(request: JobRequest): Promise<Job> {
    const post = { method: 'POST', body: request, isRepeatable: false } as const
    return this.#transport.json('/v1/jobs', post)
  }

  /** A job by its id. @throws StratalogError `job_not_found`: also one of long ago, or of before its last start. */
  get(id: string): Promise<Job> {
    return this.#transport.json(pathOf('jobs', id), { isRepeatable: true })
  }

  /** Every job that the server knows, the newest first, without results. */
  async list(): Promise<readonly Job[]> {
    interface Page {
      readonly jobs: readonly Omit<Job, 'result'>[]
      readonly next: string | null
    }
    const found: Job[] = []
    for (let after: string | null = ''; after !== null;) {
      const parameters = after === '' ? {} : { after }
      const page: Page = await this.#transport.json('/v1/jobs', { parameters, isRepeatable: true })
      for (const job of page.jobs) found.push({ ...job, result: null })
      after = page.next
    }
    return found
  }

  /** Ends a job that waits or runs; one that is over stays as it is. @throws StratalogError `job_not_found`. */
  cancel(id: string): Promise<Job> {
    // It is answered when the job has ended.
    const end = { method: 'DELETE', isRepeatable: true, isLong: true } as const
    return this.#transport.json(pathOf('jobs', id), end)
  }

  /**
   * The result of a job, once it is done. Of a drill that found something wrong that is its report.
   * @throws StratalogError what the job failed with; `aborted` for one that was cancelled, and where the signal fires;
   * `job_not_found`.
   */
  async wait<Result = object>(
    job: Job<Result> | string,
    { onProgress, signal }: JobWaitOptions = {},
  ): Promise<Result> {
    const id = typeof job === 'string' ? job : job.id
    const longest = onProgress === undefined ? WAIT_MS : WATCHED_WAIT_MS
    const waitMs = Math.min(longest, Math.ceil(this.#transport.timeoutMs / 2))
    let told = -1
    for (;;) {
      throwIfAborted(signal)
      const now = await this.#transport.json<Job<Result>>(pathOf('jobs', id), {
        parameters: { wait: waitMs },
        isRepeatable: true,
        signal,
      })
      if (now.progress !== null && now.progress.done !== told) {
        told = now.progress.done
        onProgress?.(now.progress)
      }
      if (now.result !== null) return now.result
      if (now.problem !== null) throw problemError(now.problem)
    }
  }
}
