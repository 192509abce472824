/** Work of a command that a server does: begun there, followed here, and ended there when the command is. */
import { throwIfAborted } from '../base/errors.ts'
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

/**
 * The result of a job, as its command prints it.
 * @throws StratalogError what the job failed with; `aborted` once it was ended, here or by somebody else.
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
  const path = `/v1/jobs/${begun.id}`
  const wait = terminal.notesAreSeen && !json ? WATCHED_WAIT : WAIT
  const progress = new Progress(session, request.kind)
  try {
    for (let job = begun; ; job = await remote.json(path, { parameters: { wait } })) {
      if (job.progress !== null) progress.update(job.progress)
      if (job.result !== null) return job.result
      if (job.problem !== null) throw problemError(job.problem)
      throwIfAborted(signal)
    }
  } catch (error) {
    if (signal.aborted) await steady.json(path, { method: 'DELETE' }).catch(() => {})
    throw error
  } finally {
    progress.end()
  }
}
