/** A few cases of each kind; `npm run soak -- object-store` has every toxic at every call, and a death in each. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import type { ObjectStoreReport } from '../soak/object-store.ts'
import { caseOf } from '../soak/object-store.ts'
import { sharedMinio } from '../support/minio-global.ts'
import { repositoryRoot } from '../support/repository.ts'

/** From here on there are two cases on MinIO and one with lives, and the rest are in simulated time. */
const SEED = 18
const CASES = 48

test(
  'a store that misbehaves, and deaths in every step, lose nothing, fence nobody and leave nothing over',
  { timeout: 900_000 },
  async () => {
    const { endpoint, accessKeyId, secretAccessKey, region } = await sharedMinio()
    const main = join(repositoryRoot, 'test/soak/main.ts')
    const limits = ['--cycles', `${CASES}`, '--seed', `${SEED}`]
    const child = spawn(process.execPath, [main, 'object-store', ...limits], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        ...process.env,
        STRATALOG_TEST_S3_ENDPOINT: endpoint,
        AWS_ACCESS_KEY_ID: accessKeyId,
        AWS_SECRET_ACCESS_KEY: secretAccessKey,
        AWS_REGION: region,
      },
    })
    const report = JSON.parse(await text(child.stdout)) as ObjectStoreReport
    expect(report.violations).toEqual([])
    expect(report.parts).toMatchObject({ minio: 2, lives: 1, memory: 11, directory: 11 })
    // Each case in simulated time acknowledges 50 records, and the toxics came to their calls.
    expect(report.acknowledged).toBeGreaterThan(45 * 40)
    expect(Object.keys(report.poisoned).length).toBeGreaterThan(7)
    expect(Object.keys(report.diedIn).length).toBeGreaterThan(5)
  },
)

test('every number is a case of its own', () => {
  const ranks = new Set<string>()
  for (let number = 1; number <= 20_000; number++) {
    const { part, rank } = caseOf(number)
    ranks.add(`${part} ${rank}`)
  }
  expect(ranks.size).toBe(20_000)
})
