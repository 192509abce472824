import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  MEMORY_TARGETS,
  bytesBeside,
  makeMemoryArchive,
  measureMemory,
  memoryConstant,
  type MemoryArchive,
} from '../../bench/restore-memory.ts'
import { type TempDirectory, makeTempDirectory } from '../../bench/temp-directory.ts'

const BUDGET_BYTES = 32 * 1024 * 1024

let directory: TempDirectory
let archive: MemoryArchive

beforeAll(async () => {
  directory = await makeTempDirectory()
  archive = makeMemoryArchive(directory.path, BUDGET_BYTES)
})

afterAll(() => directory[Symbol.asyncDispose]())

test.each(MEMORY_TARGETS)(
  'the memory of the process stays under the budget and a constant when an archive of ten budgets goes to: %s',
  (target) => {
    const { path } = directory
    const { records } = archive
    const report = measureMemory(target, path, join(path, target), BUDGET_BYTES)
    // What does not fit into an engine in RAM is refused.
    const outcome =
      target === 'memory' ? { records: 0, failed: 'memory_full' } : { records, failed: null }
    expect(report).toMatchObject(outcome)
    expect(bytesBeside(target, report, BUDGET_BYTES)).toBeLessThan(memoryConstant(target, archive))
  },
)
