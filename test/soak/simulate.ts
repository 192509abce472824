/**
 * The simulation, seed after seed (test/simulation): the whole engine on a simulated disk, bucket and clock, crashed
 * and failed, and held against a model. A seed that shows a violation is printed with its last steps and the command
 * that runs it again.
 */
import { systemClock } from '../../src/base/clock.ts'
import { type SeedReport, simulate } from '../simulation/simulate.ts'
import { type StepCounts, StepTally } from '../simulation/steps.ts'

export interface SimulationSoakOptions {
  /** The first seed. */
  readonly seed: number
  readonly seeds: number
  /** It begins no further seed after so long. */
  readonly timeMs: number
  readonly progress: (line: string) => void
}

export interface SimulationSoakReport {
  readonly harness: 'simulate'
  readonly seed: number
  /** Seeds. */
  readonly tried: number
  /** Appends. */
  readonly acknowledged: number
  /** Violations by what they mean. */
  readonly lost: number
  readonly invented: number
  readonly wrong: number
  readonly hung: number
  readonly crashed: number
  readonly undetected: number
  readonly violations: readonly {
    readonly invariant: string
    readonly seed: number
    readonly rerun: string
    readonly message: string
  }[]
  /** How often each step was reached, crashed in, and failed by a fault. */
  readonly steps: Readonly<Record<string, StepCounts>>
  readonly lives: number
  readonly rowsRead: number
  readonly elapsedMs: number
}

const PROGRESS_SEEDS = 100

export async function simulationSoak(
  options: SimulationSoakOptions,
): Promise<SimulationSoakReport> {
  const { seed, seeds, timeMs, progress } = options
  const startedAt = systemClock.monotonic()
  const tally = new StepTally()
  const broken: SeedReport[] = []
  const sums = { acknowledged: 0, lives: 0, rowsRead: 0 }
  let tried = 0
  while (tried < seeds && systemClock.monotonic() - startedAt < timeMs) {
    const report = await simulate(seed + tried++)
    tally.add(report.steps)
    sums.acknowledged += report.acknowledged
    sums.lives += report.lives
    sums.rowsRead += report.rowsRead
    if (report.violation !== null) {
      broken.push(report)
      progress(describe(report))
    }
    if (tried % PROGRESS_SEEDS === 0) progress(`${tried} seeds`)
  }
  const count = (...invariants: readonly string[]): number =>
    broken.filter(({ violation }) => invariants.includes(violation?.invariant ?? '')).length
  return {
    harness: 'simulate',
    seed,
    tried,
    ...sums,
    lost: count('I1', 'I3', 'I8'),
    invented: count('I2', 'I4'),
    wrong: count('I5', 'I6', 'I9', 'I10', 'I11', 'I13'),
    hung: count('I12'),
    crashed: 0,
    undetected: count('I7'),
    violations: broken.map((report) => ({
      invariant: report.violation?.invariant ?? '',
      seed: report.seed,
      rerun: rerunOf(report.seed),
      message: report.violation?.message ?? '',
    })),
    steps: tally.toJSON(),
    elapsedMs: Math.round(systemClock.monotonic() - startedAt),
  }
}

function rerunOf(seed: number): string {
  return `npm run soak -- simulate --seed ${seed}`
}

function describe({ seed, violation, trace }: SeedReport): string {
  return [...trace, `seed ${seed}: ${violation?.message}`, `rerun: ${rerunOf(seed)}`, ''].join('\n')
}
