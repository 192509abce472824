/** The one place that reads the process's environment: variables, its id, what memory it may use. */
import { totalmem } from 'node:os'

export type EnvironmentVariables = Readonly<Record<string, string | undefined>>

export function environmentVariables(): EnvironmentVariables {
  return process.env
}

/** Threads of libuv's pool: what it reads when it starts them, by its own rules. */
export function poolThreads(): number {
  const text = process.env['UV_THREADPOOL_SIZE']
  if (text === undefined) return 4
  const number = Number.parseInt(text, 10)
  return Math.min(1024, Number.isNaN(number) || number === 0 ? 1 : Math.abs(number))
}

export function processId(): number {
  return process.pid
}

/** Whether this is a debug build: recycled memory is poisoned, so that a use after release shows. Tests run so. */
export function isDebug(): boolean {
  return process.env['STRATALOG_DEBUG'] === '1'
}

/** Bytes that the process may use: its control group's limit where there is one, else the machine's memory. */
export function availableMemoryBytes(): number {
  // Without a limit Node says 0, or more than any machine has.
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}
