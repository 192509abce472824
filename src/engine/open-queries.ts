/** What SQL needs around it: the runner, the worker with DuckDB, and local copies of archived segments. */
import type { LatestViews } from '../log/latest-views.ts'
import type { LogView } from '../log/log-view.ts'
import type { LogFacts } from '../query/information-tables.ts'
import { QueryRunner } from '../query/query-runner.ts'
import { NodeFileSystem } from '../storage/node-file-system.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { cacheBudget } from './cache-budget.ts'
import { ColdCache } from './cold-cache.ts'
import { temporaryDirectory } from './host.ts'
import type { EnginePorts } from './ports.ts'
import type { QueryService } from './queries.ts'
import { spawnQueryWorker } from './workers/spawn-query-worker.ts'

export interface QueriedLogs {
  /** A pinned view of the log of that name. @throws StratalogError `log_not_found`. */
  readonly viewOf: (name: string) => LogView
  readonly hasLog: (name: string) => boolean
  readonly logFacts: () => readonly LogFacts[]
  readonly latest: LatestViews
  /** The archive's store; null without an archive. */
  readonly store: ObjectStore | null
  /** Where copies of archived segments stay; null for a directory that goes away on closing. */
  readonly cacheDirectory: string | null
  /** Disk that they may take; the default where it is left out. */
  readonly cacheBytes?: number
}

export function openQueries(
  { viewOf, hasLog, logFacts, latest, store, cacheDirectory, cacheBytes }: QueriedLogs,
  { clock, logger }: EnginePorts,
): QueryService {
  const fileSystem = new NodeFileSystem()
  const cache = new ColdCache({
    fileSystem,
    store,
    bytesMax: cacheBytes ?? cacheBudget().segments,
    directory: async () => {
      if (cacheDirectory !== null) return { path: cacheDirectory, dispose: async () => {} }
      const path = await temporaryDirectory()
      return { path, dispose: () => fileSystem.removeDirectory(path) }
    },
  })
  const runner = new QueryRunner({
    clock,
    logger: logger.child('query'),
    viewOf,
    hasLog,
    logFacts,
    // Those who know of snapshots say so with each query.
    snapshots: () => Promise.resolve([]),
    latestOf: (view, signal) => latest.select(view, signal),
    spawn: spawnQueryWorker,
    segmentPath: (source) => cache.acquire(source),
  })
  return {
    query: (sql, parameters, options) => runner.query(sql, parameters, options),
    close: async () => {
      await runner.close()
      await cache.close()
    },
  }
}
