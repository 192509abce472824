/** Work of a command that a server does: begun there, followed here, and ended there when the command is. */
import { StratalogError, isStratalogError, throwIfAborted } from '../base/errors.ts'
import type { JobRequest } from '../engine/job-request.ts'
import { Progress, type ProgressState } from './progress.ts'
import { problemError } from '../base/server-problem.ts'
import type { Remote } from './remote.ts'
import type { Session } from './session.ts'

/** What is looked at of a job. */
interface RemoteJob<T> {
  readonly id: string
  readonly state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled'
  readonly progress: (ProgressState & { readonly total: number }) | null
  readonly problem: (Readonly<Record<string, unknown>> & { readonly status: number }) | null
  readonly result: T | null
}

/** How long an answer waits for the end of the job: short where someone looks at its progress. */
const WAIT = '15s'
const WATCHED_WAIT = '500ms'

/** How often a job is asked for where a server or its proxy is away or busy, each time after a longer pause. */
const TRIES_MAX = 8
const PAUSE_MS = 1_000

/**
 * The result of a job, as its command prints it.
 * @throws StratalogError what the job failed with; `aborted` once it was ended, here or by somebody else;
 * `server_unavailable`, `queue_full` with `details.job` where the server could not be asked for long: the job may go
 * on.
 */
export async function runRemoteJob<T>(
  session: Session,
  remote: Remote,
  request: JobRequest,
): Promise<T> {
  const { signal, terminal, json } = session
  throwIfAborted(signal)
  // An answer that nobody waited for would leave a job that nobody knows.
  const steady = remote.uninterrupted()
  const begun = await steady.json<RemoteJob<T>>('/v1/jobs', { method: 'POST', body: request })
  const wait = terminal.notesAreSeen && !json ? WATCHED_WAIT : WAIT
  const progress = new Progress(session, request.kind)
  try {
    for (let job = begun; ; job = await lookedAt(session, remote, begun.id, wait)) {
      if (job.progress !== null) progress.update(job.progress)
      if (job.result !== null) return job.result
      if (job.problem !== null) throw problemError(job.problem)
      throwIfAborted(signal)
    }
  } catch (error) {
    if (signal.aborted) await steady.json(pathOf(begun.id), { method: 'DELETE' }).catch(() => {})
    throw error
  } finally {
    progress.end()
  }
}

/** The job as it is now. To ask again does no harm, and a job goes on when nobody does. */
async function lookedAt<T>(
  { clock, signal }: Session,
  remote: Remote,
  id: string,
  wait: string,
): Promise<RemoteJob<T>> {
  for (let tries = 1; ; tries++) {
    try {
      return await remote.json(pathOf(id), { parameters: { wait } })
    } catch (error) {
      if (!isStratalogError(error)) throw error
      const { code, kind, message, details } = error
      if (kind !== 'unavailable' && kind !== 'overloaded') throw error
      if (tries === TRIES_MAX) {
        throw new StratalogError(
          code,
          `${message} The job may go on there: ask the server for ${pathOf(id)}.`,
          { cause: error, details: { ...details, job: id } },
        )
      }
      await clock.sleep(tries * PAUSE_MS, signal)
    }
  }
}

function pathOf(id: string): string {
  return `/v1/jobs/${id}`
}
