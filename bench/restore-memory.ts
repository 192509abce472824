/** Runs `restore-memory-child.ts`, a process for each measurement, and says what it may take. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Where an archive goes to: an engine in RAM, a function, an engine with a data directory, an eager restore. */
export type MemoryTarget = 'memory' | 'function' | 'directory' | 'restore'

export interface MemoryReport {
  readonly records: number
  /** Code of the error that it ended with. */
  readonly failed: string | null
  /** Of the process, before the first step and at its highest. */
  readonly rssBytesBefore: number
  readonly rssBytesMax: number
}

export const MEMORY_TARGETS: readonly MemoryTarget[] = [
  'memory',
  'function',
  'directory',
  'restore',
]

/** How many times the budget the records of the archive take in RAM. */
export const ARCHIVE_BUDGETS = 10

export interface MemoryArchive {
  readonly records: number
  /** Stored bytes of its longest segment. */
  readonly segmentBytesMax: number
}

const MIB = 1024 * 1024

/** Makes an archive in `root`, of records that take as much in RAM as ten budgets. */
export function makeMemoryArchive(root: string, budgetBytes: number): MemoryArchive {
  return runChild('make', root, join(root, 'made'), budgetBytes) as MemoryArchive
}

/** What the process may take beside its size at the start and the budget, as docs/replay.md says. */
export function memoryConstant(target: MemoryTarget, { segmentBytesMax }: MemoryArchive): number {
  if (target === 'restore') return 192 * MIB + 5 * segmentBytesMax
  return (target === 'directory' ? 384 : 256) * MIB
}

export function measureMemory(
  target: MemoryTarget,
  root: string,
  directory: string,
  budgetBytes: number,
): MemoryReport {
  return runChild(target, root, directory, budgetBytes) as MemoryReport
}

/** What it took beside its size at the start and the budget; a restore has none. */
export function bytesBeside(
  target: MemoryTarget,
  { rssBytesBefore, rssBytesMax }: MemoryReport,
  budgetBytes: number,
): number {
  return rssBytesMax - rssBytesBefore - (target === 'restore' ? 0 : budgetBytes)
}

function runChild(work: string, root: string, directory: string, budgetBytes: number): unknown {
  const child = join(import.meta.dirname, 'restore-memory-child.ts')
  const archive = pathToFileURL(join(root, 'archive')).href
  const output = execFileSync(
    process.execPath,
    [child, work, archive, directory, String(budgetBytes)],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  )
  return JSON.parse(output)
}
