import type { WorkerChannel } from '../query/protocol.ts'
import type { QueriedLogs, QuerySettings } from './open-queries.ts'
import type { EnginePorts } from './ports.ts'
import type { QueryService } from './queries.ts'

/** Loads what runs queries while the thread that runs the first one already starts: neither waits for the other. */
export async function loadQueries(
  logs: QueriedLogs,
  ports: EnginePorts,
  settings: QuerySettings = {},
): Promise<QueryService> {
  const { spawnQueryWorker } = await import('./workers/spawn-query-worker.ts')
  const isThread = settings.queryIsolation !== 'process'
  const first: WorkerChannel | null = isThread ? spawnQueryWorker() : null
  const { openQueries } = await import('./open-queries.ts')
  return openQueries(logs, ports, settings, first)
}
