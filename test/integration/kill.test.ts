/** A real process is killed at random moments and before its system calls (test/soak/kill/kill.ts). */
import { expect, test } from 'vitest'
import { killSoak } from '../soak/kill/kill.ts'

const KILLS = process.env['CI'] === 'true' ? 300 : 60

test(
  `${KILLS} kills lose no acknowledged record, invent none and leave nothing that does not recover`,
  { timeout: 900_000 },
  async () => {
    const report = await killSoak({
      seed: 20_260,
      cycles: KILLS,
      timeMs: Infinity,
      onProgress: () => undefined,
    })
    expect(report.violations).toEqual([])
    expect(report.tried).toBe(KILLS)
    expect(report.acknowledged).toBeGreaterThan(KILLS)
    expect(report.checkedRecords).toBeGreaterThan(1_000)
    expect(report.policyChanges).toBeGreaterThan(KILLS / 4)
    expect(report.duplicates).toBeGreaterThan(KILLS / 2)
    // strace is on the machines that CI runs on; elsewhere there are no calls.
    if (report.calls > 0) expect(report.callKills).toBeGreaterThan(KILLS / 4)
  },
)
