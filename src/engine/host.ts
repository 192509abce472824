/** What only an engine with files asks of the machine: its name, and a place for what need not last. */
import { mkdtemp } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'

export function hostName(): string {
  return hostname()
}

/** A new empty directory for what need not survive this process. */
export function temporaryDirectory(): Promise<string> {
  return mkdtemp(`${tmpdir()}/stratalog-`)
}
