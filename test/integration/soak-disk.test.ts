/** A round of each kind; `npm run soak -- disk` runs more of them. */
import { expect, test } from 'vitest'
import { diskSoak } from '../soak/disk.ts'

test('a disk that fails, and one that is full for a while, lose nothing that was acknowledged', async () => {
  const report = await diskSoak({ seed: 1, cycles: 4, timeMs: Infinity, onProgress: () => {} })
  expect(report.violations).toEqual([])
  expect(report.tried).toBe(4)
  expect(report.acknowledged).toBeGreaterThan(100)
}, 400_000)
