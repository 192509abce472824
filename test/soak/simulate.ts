/**
 * The simulation, seed after seed (test/simulation): the whole engine on a simulated disk, bucket and clock, crashed
 * and failed, and held against a model. A seed that shows a violation is printed with its last steps and the command
 * that runs it again.
 */
import { type SeedReport, simulate } from '../simulation/simulate.ts'
import { type StepCounts, StepTally } from '../simulation/steps.ts'
import { type Damage, SoakCounts, type SoakReport } from './report.ts'
import { timeLimit } from './time-limit.ts'

export interface SimulationSoakOptions {
  /** The first seed. */
  readonly seed: number
  readonly seeds: number
  /** It begins no further seed after so long. */
  readonly timeMs: number
  readonly progress: (line: string) => void
}

export interface SimulationSoakReport extends SoakReport {
  /** How often each step was reached, crashed in, and failed by a fault. */
  readonly steps: Readonly<Record<string, StepCounts>>
  readonly lives: number
  readonly rowsRead: number
  /** Appends in RAM only that were old enough to have to outlive a crash. */
  readonly pastRecoveryPoint: number
  /** Logs that were deleted, and snapshots of such that were restored at the end. */
  readonly deletedLogs: number
  readonly restoredSnapshots: number
  /** Replays of the archive up to a moment or an offset that were held against the model. */
  readonly replays: number
  /** Damages of the WAL that cost records of one log, and nothing of the others. */
  readonly damagedWals: number
  /** Machines that another took the archive from, and directories that were reconciled after it. */
  readonly takeovers: number
  readonly reconciled: number
  /** Appends that a retention took, detached logs, and pauses of tier moves. */
  readonly retired: number
  readonly detachedLogs: number
  readonly pauses: number
  /** Questions as of snapshots. */
  readonly moments: number
}

/** What a broken invariant is counted as. */
const DAMAGES: Readonly<Record<string, Damage>> = {
  I1: 'lost',
  I2: 'invented',
  I3: 'lost',
  I4: 'invented',
  I7: 'undetected',
  I8: 'lost',
  I12: 'hung',
}

const PROGRESS_SEEDS = 100

export async function simulationSoak(
  options: SimulationSoakOptions,
): Promise<SimulationSoakReport> {
  const { seed, seeds, timeMs, progress } = options
  const isOver = timeLimit(timeMs)
  const counts = new SoakCounts('simulate', seed, rerunOf(seed))
  const tally = new StepTally()
  const sums = {
    lives: 0,
    rowsRead: 0,
    pastRecoveryPoint: 0,
    deletedLogs: 0,
    restoredSnapshots: 0,
    replays: 0,
    damagedWals: 0,
    takeovers: 0,
    reconciled: 0,
    retired: 0,
    detachedLogs: 0,
    pauses: 0,
    moments: 0,
  }
  while (counts.tried < seeds && !isOver()) {
    const report = await simulate(seed + counts.tried++)
    tally.add(report.steps)
    counts.acknowledged += report.acknowledged
    sums.lives += report.lives
    sums.rowsRead += report.rowsRead
    sums.pastRecoveryPoint += report.pastRecoveryPoint
    sums.deletedLogs += report.deletedLogs
    sums.restoredSnapshots += report.restoredSnapshots
    sums.replays += report.replays
    sums.damagedWals += report.damagedWals
    sums.takeovers += report.takeovers
    sums.reconciled += report.reconciled
    sums.retired += report.retired
    sums.detachedLogs += report.detachedLogs
    sums.pauses += report.pauses
    sums.moments += report.moments
    if (report.violation !== null) {
      const { invariant, message } = report.violation
      const again = { seed: report.seed, rerun: rerunOf(report.seed) }
      counts.violation(DAMAGES[invariant] ?? 'wrong', invariant, message, again)
      progress(describe(report))
    }
    if (counts.tried % PROGRESS_SEEDS === 0) progress(`${counts.tried} seeds`)
  }
  return { ...counts.report(), ...sums, steps: tally.toJSON() }
}

function rerunOf(seed: number): string {
  return `npm run soak -- simulate --seed ${seed}`
}

function describe({ seed, violation, trace }: SeedReport): string {
  return [...trace, `seed ${seed}: ${violation?.message}`, `rerun: ${rerunOf(seed)}`, ''].join('\n')
}
