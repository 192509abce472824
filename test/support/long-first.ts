/**
 * The order of test files: those that take minutes begin first, so that the short ones fill what they leave idle.
 * Without results of an earlier run vitest goes by the size of the file, and the long ones are small: they came last.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/**
 * The longest first. Beside the sweep, which keeps two processes busy, those that mostly wait; the seeds, which keep
 * two more busy, when the first of these is done.
 */
const LONG = [
  'soak-corrupt.test.ts',
  'server-conformance.test.ts',
  'kill.test.ts',
  'simulation.test.ts',
  'mutants.test.ts',
  'server-fuzz.test.ts',
  'bench.test.ts',
  'machine-lost.test.ts',
  'demo.test.ts',
  'soak-load.test.ts',
  'producers.test.ts',
  'restore-lazily.test.ts',
  'package.test.ts',
  'wal-threads.test.ts',
  'soak-memory.test.ts',
  'restore-memory.test.ts',
  'cli-docs.test.ts',
]

export class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const rest = sorted.filter((file) => rankOf(file) < 0)
    const long = sorted.filter((file) => rankOf(file) >= 0)
    long.sort((a, b) => rankOf(a) - rankOf(b))
    // A project is run whole before the next one begins.
    const at = rest.findIndex(({ project }) => project.name === long[0]?.project.name)
    return rest.toSpliced(at < 0 ? rest.length : at, 0, ...long)
  }
}

function rankOf({ moduleId }: TestSpecification): number {
  return LONG.indexOf(moduleId.slice(moduleId.lastIndexOf('/') + 1))
}
