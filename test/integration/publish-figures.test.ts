/** What `/metrics` gives of disk and lag is as of when it is asked for. */
import { expect, test } from 'vitest'
import { MemoryMetrics } from '../../src/base/metrics.ts'
import { publishFigures } from '../../src/engine/publish-figures.ts'
import { Stratalog } from '../../src/index.ts'
import { eventually } from '../support/eventually.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

test('lags grow while a record waits for its copies, and are over with them', async () => {
  const root = await temporaryDirectory()
  const metrics = new MemoryMetrics()
  const places = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  await using db = await Stratalog.open({ ...places, maxDiskBytes: '1GB' }, { metrics })
  const figures = (): readonly number[] => {
    publishFigures(db)
    return ['flush_lag_ms', 'upload_lag_ms', 'disk_used_bytes', 'disk_budget_bytes'].map((name) =>
      metrics.value(`stratalog_${name}`),
    )
  }
  const inRam = await db.createLog('sessions', { storage: { mode: 'memory' } })
  await inRam.append({ a: 1 })
  const kept = await db.createLog('orders', { storage: { mode: 'persistent' } })
  const log = await db.createLog('clicks')
  expect(figures()).toEqual([0, 0, 0, 1_073_741_824])
  await log.append({ a: 1 })
  await eventually(() => {
    const [flush = 0, upload = 0] = figures()
    expect(Math.min(flush, upload)).toBeGreaterThan(0)
  })
  await db.tier.now({ to: 'disk' })
  await eventually(() => {
    const [flush, upload, used] = figures()
    expect([flush, Math.sign(upload ?? 0), Math.sign(used ?? 0)]).toEqual([0, 1, 1])
  })
  await db.tier.now({ to: 'object' })
  expect(figures().slice(0, 2)).toEqual([0, 0])
  await kept.append({ a: 1 })
  await db.tier.now({ to: 'disk', logs: ['orders'] })
  await eventually(() => expect(figures().slice(0, 2)).toEqual([0, 0]))
})
