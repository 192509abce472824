/** The one place that reads the process's environment: variables, memory limits, the host's name. */
import { readFileSync } from 'node:fs'
import { hostname, totalmem } from 'node:os'
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

/** Files that hold the memory limit of the process's control group, version 2 and 1. */
const CGROUP_LIMIT_FILES = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes']

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
