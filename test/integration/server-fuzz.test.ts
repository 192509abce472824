/** Requests that no client would send; `npm run soak -- fuzz` sends more of them, and one seed of them again. */
import { expect, test } from 'vitest'
import { fuzzSoak } from '../soak/fuzz/fuzz.ts'

const REQUESTS = process.env['CI'] === 'true' ? 100_000 : 10_000

test(
  `${REQUESTS} malformed requests are refused one by one, and the server stays whole`,
  { timeout: 1_800_000 },
  async () => {
    const report = await fuzzSoak({
      seed: 7,
      cycles: REQUESTS,
      timeMs: Infinity,
      onProgress: () => {},
    })
    expect(report.violations).toEqual([])
    expect(report).toMatchObject({
      tried: REQUESTS,
      lost: 0,
      invented: 0,
      wrong: 0,
      hung: 0,
      crashed: 0,
    })
    // It was not one refusal for all, and what was sound came in.
    for (const status of [0, 200, 204, 400, 401, 403, 404, 405, 409, 413, 415, 431])
      expect(report.byStatus[status], `${status}`).toBeGreaterThan(0)
    expect(report.acknowledged).toBeGreaterThan(REQUESTS / 100)
  },
)
