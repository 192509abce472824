import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import {
  constant,
  type Benchmark,
  type BenchmarkCase,
  type Contender,
  type Scale,
  type Target,
} from './harness.ts'

const RECORDS: Readonly<Record<Scale, number>> = { full: 1_000_000, quick: 200_000, tiny: 2_000 }
const LOGS: Readonly<Record<Scale, number>> = { full: 100_000, quick: 20_000, tiny: 200 }
/** What is nothing at all is still measured as this. */
const LEAST = 0.01

export const memoryFootprint: Benchmark = {
  name: 'memory-footprint',
  question:
    'What does a log in RAM take beside its records, and what does the collector feel of it?',
  async *cases(scale) {
    const records = RECORDS[scale]
    const logs = LOGS[scale]
    yield bounded('over payload, as counted', 'bytes a record', 'counted', records, {
      bound: 4,
      unit: 'B',
      target: { floor: 1, goal: 2 },
    })
    yield bounded('over payload, resident', 'bytes a record', 'resident', records, {
      bound: 4,
      unit: 'B',
      target: { floor: 0, goal: 0 },
    })
    yield {
      ...common('full collection', 'ms', 'pause', records),
      targets: { 'empty process': { floor: 1 / 1.5, goal: 1 / 1.2 } },
      limit: measured('empty process', 'ours', 'pause', 0, null),
    }
    yield bounded('idle log', 'bytes a log', 'idle', logs, {
      bound: 8_192,
      unit: 'B',
      target: { floor: 1, goal: 2 },
    })
    yield bounded(`${logs} logs of one record`, 's', 'seconds', logs, {
      bound: (2 * logs) / 100_000,
      unit: 's',
      target: { floor: 0, goal: 1 },
    })
    yield bounded(`${logs} logs of one record, resident`, 'MiB', 'mebibytes', logs, {
      bound: 1_024,
      unit: 'MiB',
      target: { floor: 1, goal: 1 },
    })
  },
}

interface Bound {
  readonly bound: number
  readonly unit: string
  readonly target: Target
}

/** A case whose limit is a figure that it must not pass. */
function bounded(
  name: string,
  unit: string,
  figure: string,
  count: number,
  { bound, unit: boundUnit, target }: Bound,
): BenchmarkCase {
  const limitName = `${bound} ${boundUnit}`
  return {
    ...common(name, unit, figure, count),
    targets: { [limitName]: target },
    limit: constant(limitName, bound),
  }
}

function common(
  name: string,
  unit: string,
  figure: string,
  count: number,
): Omit<BenchmarkCase, 'targets' | 'limit'> {
  // One record is read back, where there is any.
  const checksum = figure === 'idle' ? '0' : '1'
  return {
    name,
    unit,
    higherIsBetter: false,
    checksum,
    ours: measured('ours', 'ours', figure, count, checksum),
    peers: [measured('array of objects', 'array', figure, count, checksum)],
    missing: [],
  }
}

/** A figure of a process of its own. */
function measured(
  name: string,
  subject: string,
  figure: string,
  count: number,
  checksum: string | null,
): Contender {
  const child = join(import.meta.dirname, 'footprint-child.ts')
  const args = ['--expose-gc', '--max-old-space-size=4096', child, subject, figure, String(count)]
  return {
    name,
    async measure() {
      const output = execFileSync(process.execPath, args, { encoding: 'utf8' })
      const { value, readBack } = JSON.parse(output) as { value: number; readBack: number }
      return {
        value: Math.max(LEAST, value),
        checksum: checksum === null ? null : String(readBack),
      }
    },
  }
}
