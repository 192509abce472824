/**
 * `stratalog import` of NDJSON into a directory, records synced before they are acknowledged, beside a loop that parses
 * the same lines and does nothing with them.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { constant, secondsOf, type Benchmark, type Contender, type Scale } from './harness.ts'
import { inBatches, makeRecords, type BenchRecord } from './records.ts'
import { makeTempDirectory } from './temp-directory.ts'

interface Size {
  readonly distinct: number
  /** How often these records stand in the file. */
  readonly times: number
}

/** In full 1 GB. */
const SIZES: Readonly<Record<Scale, Size>> = {
  full: { distinct: 200_000, times: 26 },
  quick: { distinct: 100_000, times: 5 },
  tiny: { distinct: 2_000, times: 1 },
}
const LINES_PER_WRITE = 10_000
const LOOP = 'JSON.parse a line in a bare loop'
const MEMORY = 'flat: 1 GiB'
const MEMORY_MIB = 1_024
const repositoryRoot = join(import.meta.dirname, '..')

export const importBench: Benchmark = {
  name: 'import',
  question: 'How fast does a file of NDJSON come into a directory, and in how much memory?',
  async *cases(scale) {
    const { distinct, times } = SIZES[scale]
    await using directory = await makeTempDirectory()
    const file = join(directory.path, 'records.ndjson')
    writeLines(file, makeRecords(distinct), times)
    const checksum = String(distinct * times)
    const common = { checksum, peers: [], missing: [] }
    yield {
      ...common,
      name: `${(distinct * times).toLocaleString('en')} records`,
      unit: 'records/s',
      higherIsBetter: true,
      targets: { [LOOP]: { floor: 0.6, goal: 1.2 } },
      ours: importing(file, ({ records, elapsedMs }) => (records / elapsedMs) * 1_000),
      limit: { name: LOOP, measure: async () => parsing(file) },
    }
    yield {
      ...common,
      name: 'memory of the process at most',
      unit: 'MiB',
      higherIsBetter: false,
      targets: { [MEMORY]: { floor: 1, goal: 2 } },
      ours: importing(file, ({ maxRssKib }) => maxRssKib / 1_024),
      limit: constant(MEMORY, MEMORY_MIB),
    }
  },
}

interface Imported {
  readonly records: number
  readonly elapsedMs: number
  readonly maxRssKib: number
}

/** The command as a user gives it, in a process of its own, which says its own peak when it ends. */
function importing(file: string, valueOf: (imported: Imported) => number): Contender {
  return {
    name: 'ours',
    async measure() {
      await using directory = await makeTempDirectory()
      const peak = join(directory.path, 'peak')
      const code = `
        process.on('exit', () => {
          const { maxRSS } = process.resourceUsage()
          process.getBuiltinModule('fs').writeFileSync(${JSON.stringify(peak)}, String(maxRSS))
        })`
      const hook = `data:text/javascript,${encodeURIComponent(code)}`
      const args = [
        '--import',
        hook,
        'src/cli/main.ts',
        'import',
        '--json',
        '--log',
        'events',
        file,
      ]
      const place = ['--data-dir', join(directory.path, 'data'), '--max-memory', '256MB']
      const { stdout, stderr, status } = spawnSync(process.execPath, [...args, ...place], {
        cwd: repositoryRoot,
        encoding: 'utf8',
      })
      if (status !== 0) throw new Error(`import ended with ${status}: ${stderr}`)
      const report = JSON.parse(stdout) as { readonly records: number; readonly elapsedMs: number }
      const maxRssKib = Number(readFileSync(peak, 'utf8'))
      return { value: valueOf({ ...report, maxRssKib }), checksum: String(report.records) }
    },
  }
}

async function parsing(file: string): Promise<{ value: number; checksum: null }> {
  const text = readFileSync(file)
  let records = 0
  const seconds = await secondsOf(() => {
    for (let start = 0; start < text.length;) {
      const end = text.indexOf(10, start)
      if ((JSON.parse(text.toString('utf8', start, end)) as BenchRecord).ts > 0) records++
      start = end + 1
    }
  })
  return { value: records / seconds, checksum: null }
}

function writeLines(file: string, records: readonly BenchRecord[], times: number): void {
  const parts = inBatches(records, LINES_PER_WRITE).map((batch) =>
    batch.map((record) => `${JSON.stringify(record)}\n`).join(''),
  )
  const descriptor = openSync(file, 'w')
  for (let time = 0; time < times; time++) for (const part of parts) writeSync(descriptor, part)
  closeSync(descriptor)
}
