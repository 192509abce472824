import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { StratalogError } from '../../base/errors.ts'
import type { FromBridge, ToBridge } from '../../query/child/child-protocol.ts'
import type { DatabaseOptions, WorkerChannel } from '../../query/protocol.ts'
import { environmentVariables } from '../environment.ts'
import { type ProcessMemory, processMemory } from './process-memory.ts'

export interface BridgeData {
  readonly entry: string
  readonly environment: Readonly<Record<string, string>>
  readonly memory: ProcessMemory
}

/** Of the environment a query process needs how programs are found, and no secrets. */
const PASSED_ON = ['PATH', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH', 'SystemRoot', 'TMPDIR']

/** Starts a query process. It does not keep this one alive until `setActive` says so, and never outlives it. */
export function spawnQueryProcess(options: DatabaseOptions): WorkerChannel {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const workerData: BridgeData = {
    entry: fileURLToPath(new URL(`query-process.${extension}`, import.meta.url)),
    environment: environment(),
    memory: processMemory(options),
  }
  const worker = new Worker(new URL(`query-bridge.${extension}`, import.meta.url), {
    name: 'query-bridge',
    workerData,
    execArgv: [],
  })
  let error: Error | null = null
  worker.on('error', (cause: unknown) => {
    error = cause instanceof Error ? cause : new Error(String(cause))
  })
  worker.on('message', (message: FromBridge) => {
    if (message.kind === 'ending') {
      const { code, details } = message.error
      error = new StratalogError(code, message.error.message, { details })
    }
    if (message.kind === 'exited') error ??= ended(message.status, message.signal)
  })
  const post = (message: ToBridge): void => worker.postMessage(message)
  return {
    post,
    onMessage: (receive) =>
      worker.on('message', (message: FromBridge) => {
        if (message.kind !== 'ending' && message.kind !== 'exited') receive(message)
      }),
    onExit: (exited) => worker.on('exit', () => exited(error)),
    setActive: (isActive) => (isActive ? worker.ref() : worker.unref()),
    terminate: async () => {
      const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
      worker.ref()
      post({ kind: 'kill' })
      await exited
    },
    kill: () => post({ kind: 'kill' }),
  }
}

function environment(): Readonly<Record<string, string>> {
  const variables = environmentVariables()
  return Object.fromEntries(
    PASSED_ON.flatMap((name) => {
      const value = variables[name]
      return value === undefined ? [] : [[name, value]]
    }),
  )
}

function ended(status: number | null, signal: string | null): StratalogError {
  const by = signal === null ? `with status ${status}` : `by ${signal}`
  return new StratalogError('query_failed', `The process of the query ended ${by}.`, {
    details: { status, signal },
  })
}
