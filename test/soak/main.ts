/**
 * `npm run soak -- <name> [options]`: long runs over the shipped engine that a plain test has no time for. Each prints
 * one JSON line with what was tried and what broke, and exits with 1 when something did.
 */
import { parseArgs } from 'node:util'
import { parseBytes } from '../../src/base/units.ts'
import { memorySoak } from './memory.ts'

const USAGE =
  'usage: npm run soak -- memory [--logs 100] [--records 36000000] [--budget 256MB] [--seed 1]'

process.exitCode = await main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      logs: { type: 'string', default: '100' },
      records: { type: 'string', default: '36000000' },
      budget: { type: 'string', default: '256MB' },
      seed: { type: 'string', default: '1' },
    },
  })
  if (positionals.length !== 1 || positionals[0] !== 'memory') {
    process.stderr.write(`${USAGE}\n`)
    return 2
  }
  const report = await memorySoak({
    logs: count(values.logs, 'logs'),
    records: count(values.records, 'records'),
    budgetBytes: parseBytes(values.budget, 'budget'),
    seed: count(values.seed, 'seed'),
  })
  process.stdout.write(`${JSON.stringify(report)}\n`)
  return report.violations.length === 0 ? 0 : 1
}

function count(text: string, name: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new RangeError(`--${name} is a whole number above 0; got ${text}`)
}
