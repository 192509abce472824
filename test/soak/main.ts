/**
 * `npm run soak -- <name> [options]`: long runs over the shipped engine that a plain test has no time for. Each prints
 * one JSON line with what was tried and what broke, and exits with 10 when something did.
 */
import { parseArgs } from 'node:util'
import { parseBytes } from '../../src/base/units.ts'
import { memorySoak } from './memory.ts'
import { simulationSoak } from './simulate.ts'

const USAGE = [
  'usage: npm run soak -- memory [--logs 100] [--records 36000000] [--budget 256MB] [--seed 1]',
  '       npm run soak -- simulate --seeds N [--seed S]    N seeds from S on; with --seed alone, that one',
].join('\n')

const VIOLATED = 10

interface Outcome {
  readonly violations: readonly unknown[]
}

const SOAKS: Readonly<Record<string, (argv: string[]) => Promise<Outcome>>> = {
  memory: (argv) => {
    const { values } = parseArgs({
      args: argv,
      options: {
        logs: { type: 'string', default: '100' },
        records: { type: 'string', default: '36000000' },
        budget: { type: 'string', default: '256MB' },
        seed: { type: 'string', default: '1' },
      },
    })
    return memorySoak({
      logs: count(values.logs, 'logs'),
      records: count(values.records, 'records'),
      budgetBytes: parseBytes(values.budget, 'budget'),
      seed: count(values.seed, 'seed'),
    })
  },
  simulate: (argv) => {
    const { values } = parseArgs({
      args: argv,
      options: { seeds: { type: 'string', default: '1' }, seed: { type: 'string', default: '1' } },
    })
    return simulationSoak({
      seed: count(values.seed, 'seed'),
      seeds: count(values.seeds, 'seeds'),
      progress: (line) => process.stderr.write(`${line}\n`),
    })
  },
}

process.exitCode = await main(process.argv.slice(2))

async function main([name = '', ...argv]: readonly string[]): Promise<number> {
  const soak = SOAKS[name]
  if (soak === undefined) {
    process.stderr.write(`${USAGE}\n`)
    return 2
  }
  const report = await soak(argv)
  process.stdout.write(`${JSON.stringify(report)}\n`)
  return report.violations.length === 0 ? 0 : VIOLATED
}

function count(text: string, name: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new RangeError(`--${name} is a whole number above 0; got ${text}`)
}
