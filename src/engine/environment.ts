/** The one place that reads the process's environment: variables, memory limits, the host's name. */
import { readFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { hostname, tmpdir, totalmem } from 'node:os'
import process from 'node:process'

export type EnvironmentVariables = Readonly<Record<string, string | undefined>>

export function environmentVariables(): EnvironmentVariables {
  return process.env
}

export function hostName(): string {
  return hostname()
}

export function processId(): number {
  return process.pid
}

/** Whether this is a debug build: recycled memory is poisoned, so that a use after release shows. Tests run so. */
export function isDebug(): boolean {
  return process.env['STRATALOG_DEBUG'] === '1'
}

/** A new empty directory for what need not survive this process. */
export function temporaryDirectory(): Promise<string> {
  return mkdtemp(`${tmpdir()}/stratalog-`)
}

/** Files that hold the memory limit of the process's control group, version 2 and 1. */
const CGROUP_LIMIT_FILES = [
  '/sys/fs/cgroup/memory.max',
  '/sys/fs/cgroup/memory/memory.limit_in_bytes',
]

/** Bytes that the process may use: its control group's limit where there is one, else the machine's memory. */
export function availableMemoryBytes(): number {
  const machine = totalmem()
  for (const file of CGROUP_LIMIT_FILES) {
    try {
      const limit = Number(readFileSync(file, 'utf8').trim())
      if (Number.isFinite(limit) && limit > 0) return Math.min(limit, machine)
    } catch {
      // No such file: no control group of that version.
    }
  }
  return machine
}
