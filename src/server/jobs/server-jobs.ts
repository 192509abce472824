/** The jobs of one server: what is asked for over HTTP, and the drills that it begins by itself. */
import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/logger.ts'
import type { Metrics } from '../../base/metrics.ts'
import type { Random } from '../../base/random.ts'
import type { Stratalog } from '../../engine/stratalog.ts'
import type { DrillReport } from '../../replay/drill-report.ts'
import type { EnginePlaces } from '../api/file-routes.ts'
import { given } from '../api/parameters.ts'
import type { Route } from '../router.ts'
import { DrillRecord, type DrillStatus } from './drill-record.ts'
import { DrillSchedule } from './drill-schedule.ts'
import { JobList, type JobWork } from './job-list.ts'
import { JobPlaces, type JobRules } from './job-places.ts'
import { jobRoutes } from './job-routes.ts'
import { JobWorks } from './job-work.ts'

export interface DrillOptions {
  readonly intervalMs: number
  /** The part of the archive that is restored; null: all of it. */
  readonly sample: number | null
}

export interface ServerJobsOptions {
  readonly places: EnginePlaces
  readonly jobs: JobRules
  readonly drill: DrillOptions | null
}

export interface ServerJobsPorts {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
  readonly saveDrillPage: ((endedAt: number, page: string) => Promise<void>) | null
}

export class ServerJobs {
  readonly routes: readonly Route[]
  readonly #ports: ServerJobsPorts
  readonly #list: JobList
  readonly #record: DrillRecord
  readonly #schedule: DrillSchedule | null

  /** @throws StratalogError `url_invalid`, `argument_invalid` for drills of a server without an archive. */
  constructor(db: Stratalog, options: ServerJobsOptions, outer: ServerJobsPorts) {
    const ports = { ...outer, logger: outer.logger.child('jobs') }
    const { places, drill } = options
    const { clock, logger } = ports
    this.#ports = ports
    this.#list = new JobList(ports)
    this.#record = new DrillRecord(ports)
    const allowed = new JobPlaces(options.jobs, places)
    const works = new JobWorks(db, allowed, places.s3, ports, (report) => this.#record.note(report))
    this.routes = jobRoutes(this.#list, works)
    if (drill === null) {
      this.#schedule = null
      return
    }
    const { intervalMs, sample } = drill
    const request = given({ sample: sample ?? undefined })
    const work = this.#saving(
      works.of({ kind: 'drill', ...request }),
      allowed.archive(undefined).url,
    )
    this.#schedule = new DrillSchedule(clock, logger, this.#list, { intervalMs, request, work })
  }

  /** Of the own archive; null where none was drilled and none will be. */
  get drillStatus(): {
    readonly last: DrillStatus | null
    readonly nextTime: string | null
  } | null {
    const { last } = this.#record
    if (last === null && this.#schedule === null) return null
    return { last, nextTime: this.#schedule?.nextTime ?? null }
  }

  start(): void {
    this.#schedule?.start()
  }

  async stop(): Promise<void> {
    this.#schedule?.stop()
    await this.#list.stop()
  }

  /** The page of each drill is kept. */
  #saving(work: JobWork, archive: string): JobWork {
    const { saveDrillPage, clock, logger } = this.#ports
    if (saveDrillPage === null) return work
    return async (context) => {
      const report = (await work(context)) as DrillReport
      const { drillHtml } = await import('../../replay/drill-html.ts')
      const endedAt = clock.now()
      try {
        const title = `Archive ${archive}, ${new Date(endedAt).toISOString()}`
        await saveDrillPage(endedAt, drillHtml(report, title))
      } catch (error) {
        logger.warn('The page of a drill was not written.', { error: String(error) })
      }
      return report
    }
  }
}
