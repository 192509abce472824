/** The corruption sweep as a test; `npm run soak -- corrupt` runs more of it, and one seed of it again. */
import { expect, test } from 'vitest'
import { FILE_KINDS, OPERATIONS } from '../soak/corrupt/damage.ts'
import { corruptSoak } from '../soak/corrupt/corrupt.ts'

const SAMPLES = process.env['CI'] === 'true' ? 5_000 : 1_000

test(
  `${SAMPLES} damages of every kind of file give named errors or the right records, and verify reports them`,
  { timeout: 1_800_000 },
  async () => {
    const report = await corruptSoak({ samples: SAMPLES, seed: 1 })
    expect(report.violations).toEqual([])
    expect(report).toMatchObject({
      tried: SAMPLES,
      lost: 0,
      invented: 0,
      wrong: 0,
      hung: 0,
      crashed: 0,
      undetected: 0,
    })
    // A sweep that damages nothing would pass too.
    expect(report.visible).toBeGreaterThan(SAMPLES / 2)
    expect(report.confined).toBeGreaterThan(SAMPLES / 500)
    expect(Object.keys(report.byKind).toSorted()).toEqual(FILE_KINDS.toSorted())
    expect(Object.keys(report.byOperation).toSorted()).toEqual(OPERATIONS.toSorted())
  },
)
