/** Seeds of the simulation, in two processes of their own: the engine is not to share one with anything that waits. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { SimulationSoakReport } from '../soak/simulate.ts'
import { repositoryRoot } from '../support/repository.ts'
import { STEPS } from './steps.ts'

const IS_CI = process.env['CI'] === 'true'
const SEEDS = IS_CI ? 2_000 : 300
const CRASHED_MIN = IS_CI ? 100 : 1
const FIRST_SEEDS = [1, 1_000_001] as const

async function soak(...options: readonly string[]): Promise<SimulationSoakReport> {
  const main = join(repositoryRoot, 'test/soak/main.ts')
  const child = spawn(process.execPath, [main, 'simulate', ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const output = await text(child.stdout)
  return JSON.parse(output.trimEnd().split('\n').at(-1) ?? '') as SimulationSoakReport
}

describe('the engine on a simulated machine', () => {
  const reports = (): Promise<SimulationSoakReport[]> =>
    Promise.all(
      FIRST_SEEDS.map((seed) => soak('--seed', String(seed), '--seeds', String(SEEDS / 2))),
    )

  test(`keeps every invariant with ${SEEDS} seeds of crashes and faults`, async () => {
    const both = await reports()
    expect(both.flatMap(({ violations }) => violations)).toEqual([])
    expect(both.reduce((sum, { tried }) => sum + tried, 0)).toBe(SEEDS)
    expect(both.reduce((sum, report) => sum + report.pastRecoveryPoint, 0)).toBeGreaterThan(
      SEEDS / 20,
    )
    expect(both.reduce((sum, report) => sum + report.damagedWals, 0)).toBeGreaterThan(SEEDS / 50)
    // What happens in some worlds only does happen.
    const rare = ['deletedLogs', 'retired', 'detachedLogs', 'pauses', 'replays'] as const
    for (const key of [...rare, 'takeovers', 'reconciled'] as const)
      expect(both.reduce((sum, report) => sum + report[key], 0)).toBeGreaterThan(SEEDS / 20)
    const crashed = STEPS.map((step) => ({
      step,
      times: both.reduce((sum, { steps }) => sum + (steps[step]?.crashed ?? 0), 0),
    }))
    expect(crashed.filter(({ times }) => times < CRASHED_MIN)).toEqual([])
  }, 900_000)
})
