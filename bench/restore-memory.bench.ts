/** What a process takes while an archive of ten times its memory budget comes back, beside that budget. */
import { join } from 'node:path'
import { constant, type Benchmark, type BenchmarkCase, type Scale } from './harness.ts'
import {
  ARCHIVE_BUDGETS,
  MEMORY_TARGETS,
  type MemoryArchive,
  type MemoryTarget,
  bytesBeside,
  makeMemoryArchive,
  measureMemory,
  memoryConstant,
} from './restore-memory.ts'
import { makeTempDirectory } from './temp-directory.ts'

const MIB = 1024 * 1024
const BUDGETS: Readonly<Record<Scale, number>> = { full: 64 * MIB, quick: 16 * MIB, tiny: 4 * MIB }

export const restoreMemory: Benchmark = {
  name: 'restore-memory',
  question: `What does a process take beside its budget while ${ARCHIVE_BUDGETS} times as much comes back?`,
  async *cases(scale) {
    await using directory = await makeTempDirectory()
    const { path } = directory
    const archive = makeMemoryArchive(path, BUDGETS[scale])
    for (const target of MEMORY_TARGETS) yield caseOf(target, path, archive, BUDGETS[scale])
  },
}

const NAMES: Readonly<Record<MemoryTarget, string>> = {
  memory: 'replay into an engine in RAM, until it is full',
  function: 'replay into a function',
  directory: 'replay into a data directory',
  restore: 'eager restore',
}

function caseOf(
  target: MemoryTarget,
  root: string,
  archive: MemoryArchive,
  budgetBytes: number,
): BenchmarkCase {
  const limit = Math.round(memoryConstant(target, archive) / MIB)
  const name = `${limit} MiB`
  return {
    name: NAMES[target],
    unit: 'MiB',
    higherIsBetter: false,
    targets: { [name]: { floor: 1, goal: 1 } },
    checksum: target === 'memory' ? 'memory_full' : String(archive.records),
    ours: {
      name: 'ours',
      measure: async () => {
        await using place = await makeTempDirectory()
        const report = measureMemory(target, root, join(place.path, 'data'), budgetBytes)
        return {
          value: Math.max(1, bytesBeside(target, report, budgetBytes) / MIB),
          checksum: report.failed ?? String(report.records),
        }
      },
    },
    peers: [],
    limit: constant(name, limit),
    missing: [],
  }
}
