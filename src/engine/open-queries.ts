/** What SQL needs around it: the runner, the worker with DuckDB, and local copies of archived segments. */
import { CACHE_COLUMNS_DIRECTORY, CACHE_DIRECTORY } from '../format/paths.ts'
import type { LatestViews } from '../log/latest-views.ts'
import type { LogView } from '../log/log-view.ts'
import type { LogFacts } from '../query/information-tables.ts'
import type { WorkerChannel } from '../query/protocol.ts'
import { DEFAULT_QUERY_LIMITS, type QueryIsolation, QueryRunner } from '../query/query-runner.ts'
import { NodeFileSystem } from '../storage/node-file-system.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { cacheBudget } from './cache-budget.ts'
import { ColdCache } from './cold-cache.ts'
import type { StratalogOptions } from './config.ts'
import { poolThreads } from './environment.ts'
import { temporaryDirectory } from './host.ts'
import type { EnginePorts } from './ports.ts'
import type { QueryService } from './queries.ts'
import { spawnQueryProcess } from './workers/spawn-query-process.ts'
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
  readonly dataDir: string | null
}

/** The keys of the configuration that queries go by. */
export type QuerySettings = Pick<StratalogOptions, 'maxCacheBytes' | 'queryIsolation'>

/**
 * Each query in a thread holds a thread of libuv's pool, which file reads and name look-ups of the whole process need
 * too: two of them stay free. Those in processes hold none of this one.
 */
export function queryConcurrency(isolation: QueryIsolation, threads: number): number {
  const { concurrencyMax } = DEFAULT_QUERY_LIMITS
  return isolation === 'process'
    ? concurrencyMax
    : Math.max(1, Math.min(concurrencyMax, threads - 2))
}

/** `first` is a thread that was started for the first query, ahead of it. */
export function openQueries(
  { viewOf, hasLog, logFacts, latest, store, dataDir }: QueriedLogs,
  { clock, logger, metrics }: EnginePorts,
  { maxCacheBytes, queryIsolation: isolation = 'thread' }: QuerySettings,
  first: WorkerChannel | null,
): QueryService {
  let started = first
  const fileSystem = new NodeFileSystem()
  const cache = new ColdCache({
    fileSystem,
    store,
    bytesMax: cacheBudget(maxCacheBytes).segments,
    directories: async () => {
      if (dataDir !== null)
        return {
          segments: `${dataDir}/${CACHE_DIRECTORY}`,
          columns: `${dataDir}/${CACHE_COLUMNS_DIRECTORY}`,
          dispose: async () => {},
        }
      const path = await temporaryDirectory()
      return {
        segments: `${path}/segments`,
        columns: `${path}/columns`,
        dispose: () => fileSystem.removeDirectory(path),
      }
    },
  })
  const runner = new QueryRunner(
    {
      clock,
      logger: logger.child('query'),
      metrics,
      viewOf,
      hasLog,
      logFacts,
      // Those who know of snapshots say so with each query.
      snapshots: () => Promise.resolve([]),
      latestOf: (view, signal) => latest.select(view, signal),
      spawn: (database) => {
        const channel = started
        started = null
        return (
          channel ?? (isolation === 'thread' ? spawnQueryWorker() : spawnQueryProcess(database))
        )
      },
      localSegment: (source, wanted, signal) => cache.acquire(source, wanted, signal),
    },
    {
      ...DEFAULT_QUERY_LIMITS,
      isolation,
      concurrencyMax: queryConcurrency(isolation, poolThreads()),
    },
  )
  return {
    query: (sql, parameters, options) => runner.query(sql, parameters, options),
    check: (sql, options) => runner.check(sql, options),
    close: async () => {
      await runner.close()
      // One that no query came to; it keeps this process until it has ended.
      started?.setActive(true)
      started?.post({ kind: 'close' })
      await started?.terminate()
      started = null
      await cache.close()
    },
  }
}
