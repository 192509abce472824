/** Four lives on one bucket; `npm run soak -- object-store` has every toxic at every operation and call index. */
import { expect, test } from 'vitest'
import { objectStoreSoak } from '../soak/object-store.ts'
import { sharedMinio } from '../support/minio-global.ts'

test(
  'an archive behind a store that misbehaves loses nothing, fences nobody and drains',
  { timeout: 900_000 },
  async () => {
    const minio = await sharedMinio()
    const limits = { seed: 11, cycles: 4, timeMs: Infinity, onProgress: () => {} }
    const report = await objectStoreSoak(limits, minio)
    expect(report.violations).toEqual([])
    expect(report.tried).toBe(4)
    expect(report.acknowledged).toBeGreaterThan(50)
  },
)
