/**
 * The workers of a runner, started when a query needs one. Queries share one thread; a process has one query at a time,
 * so that what it does to its process is done to no other. A process that is free is used again before another starts,
 * for what it keeps of the logs.
 */
import type { DatabaseOptions } from './protocol.ts'
import type { QueryPorts } from './query-ports.ts'
import { QueryWorker } from './query-worker.ts'

type WorkerPorts = Pick<QueryPorts, 'clock' | 'logger' | 'spawn'>

export class QueryWorkers {
  readonly #ports: WorkerPorts
  readonly #options: DatabaseOptions
  readonly #isShared: boolean
  #workers: QueryWorker[] = []

  constructor(ports: WorkerPorts, options: DatabaseOptions, isShared: boolean) {
    this.#ports = ports
    this.#options = options
    this.#isShared = isShared
  }

  /** A worker for a query, which adds itself to it before the next one is asked for. */
  open(): QueryWorker {
    this.#workers = this.#workers.filter((worker) => !worker.hasExited)
    const free = this.#workers.find(
      (worker) => this.#isShared || !(worker.isBusy || worker.isEnding),
    )
    if (free !== undefined) return free
    const { clock, logger, spawn } = this.#ports
    const worker = new QueryWorker(spawn(this.#options), clock, logger, this.#options)
    this.#workers.push(worker)
    return worker
  }

  /** No query may be running. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.close()))
    this.#workers = []
  }
}
