/**
 * `npm run soak -- <name> [options]`: long runs over the shipped engine that a plain test has no time for. Each prints
 * one JSON line with what was tried and what broke, and exits with 10 when something did.
 */
import { parseArgs } from 'node:util'
import { parseBytes } from '../../src/base/units.ts'
import { corruptSoak } from './corrupt/corrupt.ts'
import { memorySoak } from './memory.ts'

const USAGE = `usage: npm run soak -- memory [--logs 100] [--records 36000000] [--budget 256MB] [--seed 1]
       npm run soak -- corrupt [--samples 5000] [--seed 1] [--verbose]`

const EXIT_VIOLATION = 10

process.exitCode = await main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      logs: { type: 'string', default: '100' },
      records: { type: 'string', default: '36000000' },
      budget: { type: 'string', default: '256MB' },
      samples: { type: 'string', default: '5000' },
      seed: { type: 'string', default: '1' },
      verbose: { type: 'boolean', default: false },
    },
  })
  const seed = count(values.seed, 'seed')
  switch (positionals.length === 1 ? positionals[0] : '') {
    case 'memory': {
      const options = {
        logs: count(values.logs, 'logs'),
        records: count(values.records, 'records'),
        budgetBytes: parseBytes(values.budget, 'budget'),
        seed,
      }
      return tell(await memorySoak(options))
    }
    case 'corrupt': {
      const samples = count(values.samples, 'samples')
      const onProgress = (tried: number): void => {
        if (tried % 500 === 0 || tried === samples) note(`${tried} of ${samples} samples`)
      }
      const onCase = values.verbose || samples === 1 ? note : undefined
      return tell(
        await corruptSoak({
          samples,
          seed,
          onProgress,
          ...(onCase === undefined ? {} : { onCase }),
        }),
      )
    }
    default:
      note(USAGE)
      return 2
  }
}

function tell(report: { readonly violations: readonly unknown[] }): number {
  process.stdout.write(`${JSON.stringify(report)}\n`)
  return report.violations.length === 0 ? 0 : EXIT_VIOLATION
}

function note(line: string): void {
  process.stderr.write(`${line}\n`)
}

function count(text: string, name: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new RangeError(`--${name} is a whole number above 0; got ${text}`)
}
