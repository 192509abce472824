/** Two writers and one directory: what one that is superseded may still do. */
import { readFileSync, rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Stratalog } from '../../src/index.ts'
import { writersSoak } from '../soak/writers.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

test(
  'a stopped process keeps others out; superseded, with kernel locks and without, it acknowledges nothing more',
  { timeout: 300_000 },
  async () => {
    const limits = { seed: 1, cycles: 2, timeMs: Infinity, onProgress: () => undefined }
    const report = await writersSoak(limits)
    expect(report.violations).toEqual([])
    expect(report.tried).toBe(2)
    expect(report.acknowledged).toBeGreaterThan(40)
  },
)

test('a writer whose lock file was taken away does not acknowledge beside another, nor touch its lock', async () => {
  const dataDir = `${await temporaryDirectory()}/data`
  const first = await Stratalog.open({ dataDir, logLevel: 'silent' })
  const orders = await first.createLog('orders')
  await orders.append({ n: 0 })
  rmSync(`${dataDir}/lock`)
  await using second = await Stratalog.open({ dataDir })
  await second.log('orders').append({ n: 1 })
  const refused = await expectError(orders.append({ n: 2 }), 'writer_fenced')
  expect(refused.kind).toBe('fenced')
  expect(first.status()).toMatchObject({ disk: { state: 'fenced' } })
  await expectError(orders.append({ n: 3 }), 'writer_fenced')
  expect(await orders.read().toArray()).toMatchObject([{ n: 0 }])
  const text = readFileSync(`${dataDir}/lock`, 'utf8')
  await first.close()
  expect(readFileSync(`${dataDir}/lock`, 'utf8')).toBe(text)
  await second.log('orders').append({ n: 4 })
  expect(await second.log('orders').read().toArray()).toMatchObject([{ n: 0 }, { n: 1 }, { n: 4 }])
})
