/** What the kinds of jobs do. What does it is loaded with the first job. */
import { present } from '../../base/assert.ts'
import type { Logger } from '../../base/logger.ts'
import type { Clock } from '../../base/clock.ts'
import type { Random } from '../../base/random.ts'
import type { S3Options } from '../../engine/config.ts'
import type { DrillJob, JobRequest, ReplayJob, RestoreJob } from '../../engine/job-request.ts'
import type { ReplayFromArchiveOptions } from '../../engine/replay-from-archive-options.ts'
import type { Stratalog } from '../../engine/stratalog.ts'
import type { DrillReport } from '../../replay/drill-report.ts'
import type { LiveEngine, OffsetRange } from '../../replay/live-side.ts'
import type { ReplayProgress } from '../../replay/replay-options.ts'
import { given } from '../api/parameters.ts'
import type { JobContext, JobWork } from './job-list.ts'
import type { JobPlaces } from './job-places.ts'
import type { JobProgress } from './job-progress.ts'

export interface JobWorkPorts {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export class JobWorks {
  readonly #db: Stratalog
  readonly #places: JobPlaces
  readonly #s3: { readonly s3?: S3Options }
  readonly #ports: JobWorkPorts
  readonly #onDrill: (report: DrillReport) => void

  /** `onDrill` is told of every drill of the server's own archive that gave a verdict. */
  constructor(
    db: Stratalog,
    places: JobPlaces,
    s3: S3Options | undefined,
    ports: JobWorkPorts,
    onDrill: (report: DrillReport) => void,
  ) {
    this.#db = db
    this.#places = places
    this.#s3 = given({ s3 })
    const { clock, random, logger } = ports
    // Not the metrics: a scratch engine would set the gauges of this one.
    this.#ports = { clock, random, logger }
    this.#onDrill = onDrill
  }

  /** @throws StratalogError `url_invalid`, `argument_invalid` for what a job may not do here. */
  of(request: JobRequest): JobWork {
    switch (request.kind) {
      case 'restore':
        return this.#restore(request)
      case 'replay':
        return this.#replay(request)
      case 'drill':
        return this.#drill(request)
    }
  }

  #restore({ archive, plan, directory, ...request }: RestoreJob): JobWork {
    const { url } = this.#places.archive(archive)
    const { snapshot, at, toOffsets, logs: wanted, rename, eager } = request
    const chosen = given({ snapshot, at, toOffsets, logs: wanted, rename, eager })
    const options = { ...this.#s3, ...chosen, archive: url }
    if (plan === true) return (context) => this.#plan(options, context)
    if (directory === undefined) {
      const logs = this.#places.engineLogs(wanted, rename)
      return async ({ signal, onProgress }) => {
        const { restoreLogs } = await import('../../engine/restore-logs.ts')
        return restoreLogs(this.#db, {
          ...options,
          logs,
          signal,
          onProgress: (progress) => onProgress(recordProgress(progress)),
        })
      }
    }
    const dataDir = this.#places.directory(directory)
    return async ({ signal, onProgress }) => {
      const { restoreArchive } = await import('../../engine/archive-operations.ts')
      return restoreArchive(
        {
          ...options,
          dataDir,
          signal,
          onProgress: ({ bytes, bytesTotal, records }) =>
            onProgress({ done: bytes, total: bytesTotal, unit: 'bytes', records }),
        },
        this.#ports,
      )
    }
  }

  /** What the command prints with `--plan`. */
  async #plan(options: { readonly archive: string }, { signal }: JobContext): Promise<object> {
    const { planRestoreArchive } = await import('../../engine/archive-operations.ts')
    const plan = await planRestoreArchive({ ...options, signal }, this.#ports)
    return { plan, records: 0, elapsedMs: 0, verified: false, missing: [], corrupt: [] }
  }

  #replay({ archive, into, resume, logs, ...request }: ReplayJob): JobWork {
    const { url } = this.#places.archive(archive)
    const { since, until, from, to, speed } = request
    const taken = into === 'engine' ? this.#places.engineLogs(logs) : logs
    const options = {
      ...this.#s3,
      ...given({ logs: taken, since, until, from, to, speed }),
      ...(resume === true && into === 'engine' ? { resumePoint: { logs: [] } } : {}),
    }
    const sink = this.#sinkOf(into)
    return ({ signal, onProgress }) =>
      this.#db.replayFromArchive(url, {
        ...options,
        ...sink,
        signal,
        onProgress: (progress) => onProgress(recordProgress(progress)),
      })
  }

  #sinkOf(into: ReplayJob['into']): Pick<ReplayFromArchiveOptions, 'into'> {
    if (into === 'engine') return {}
    if (into === undefined) return { into: () => {} }
    return { into: this.#places.endpoint(into.url) }
  }

  #drill({ archive, against, sample, checks }: DrillJob): JobWork {
    const { url, isOwn } = this.#places.archive(archive)
    const isCompared = against ?? isOwn
    return async ({ signal, onProgress }) => {
      const { drillArchive } = await import('../../engine/archive-operations.ts')
      const report = await drillArchive(
        {
          archive: url,
          ...this.#s3,
          ...given({ sample, checks }),
          queryIsolation: this.#places.queryIsolation,
          ...(isCompared ? { against: await liveEngine(this.#db) } : {}),
          signal,
          onProgress: (progress) => onProgress(recordProgress(progress)),
        },
        this.#ports,
      )
      if (isOwn) this.#onDrill(report)
      return report
    }
  }
}

function recordProgress({ records, recordsPassed, recordsTotal }: ReplayProgress): JobProgress {
  return { done: recordsPassed, total: recordsTotal, unit: 'records', records }
}

/**
 * The logs as they are now. Nothing is pinned, which would hold their batches in RAM for as long as the drill takes:
 * records never change, so later hashes are of the same.
 */
async function liveEngine(db: Stratalog): Promise<LiveEngine> {
  const { liveLogs, hashOfLog } = await import('../../engine/live-logs.ts')
  const { engineId, logs } = liveLogs(db)
  const sides = logs.map((facts) => {
    const { id, name, schema } = facts
    const ask = (
      ranges: readonly OffsetRange[],
      isLatest: boolean,
      signal = new AbortController().signal,
    ): Promise<string | null> =>
      hashOfLog(db, name, { id, schemaId: schema.id, ranges, isLatest }, signal)
    return {
      ...facts,
      hash: async (ranges: readonly OffsetRange[], signal?: AbortSignal) =>
        present(await ask(ranges, false, signal), 'a hash'),
      latestHash: (ranges: readonly OffsetRange[], signal?: AbortSignal) =>
        ask(ranges, true, signal),
    }
  })
  return { engineId, logs: sides }
}
