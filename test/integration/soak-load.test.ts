/** Half a minute of load; `npm run soak -- load` is ten minutes of it. */
import { expect, test } from 'vitest'
import { loadSoak } from '../soak/load/load.ts'
import { sharedMinio } from '../support/minio-global.ts'

test(
  'a server under load beside a dead store, readers that stop and a drill keeps all and refuses nothing wrongly',
  { timeout: 900_000 },
  async () => {
    const limits = { seed: 1, cycles: 1, timeMs: 24_000, onProgress: () => {} }
    const report = await loadSoak(limits, await sharedMinio())
    expect(report.violations).toEqual([])
    expect(report).toMatchObject({ lost: 0, invented: 0, drill: { status: 0, verdict: 'PASS' } })
    expect(report.acknowledged).toBeGreaterThan(100)
    // The store was missed.
    expect(report.storeFailures).toBeGreaterThan(0)
  },
)
