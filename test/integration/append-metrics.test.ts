/** What appends say of themselves to the metrics port: exact counts by level, and measures of some. */
import { expect, test } from 'vitest'
import { MemoryMetrics, noMetrics } from '../../src/base/metrics.ts'
import { AppendMeter, appendMeter } from '../../src/engine/append-meter.ts'
import type { AckLevel } from '../../src/format/manifest.ts'
import { type AppendResult, Stratalog, VirtualClock } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { Surroundings, liveLog } from '../support/live-logs.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

/** Of one level: appends, their records; how many were timed, and how many sized. */
function figures(metrics: MemoryMetrics, level: AckLevel): readonly number[] {
  return ['appends_total', 'append_records_total', 'append_ack_ms_count', 'append_bytes_count'].map(
    (name) => metrics.value(`stratalog_${name}`, { level }),
  )
}

test('every append counts, one of 256 is measured, and the first of each second', async () => {
  const clock = new VirtualClock()
  const metrics = new MemoryMetrics()
  await using db = await Stratalog.memoryOnly({}, { clock, metrics })
  const log = await db.createLog('ticks')
  await log.append([{ n: 1 }, { n: 2 }, { n: 3 }])
  expect(figures(metrics, 'memory')).toEqual([0, 0, 1, 1])
  for (let n = 0; n < 599; n++) await log.append({ n })
  db.memoryMetrics()
  expect(figures(metrics, 'memory')).toEqual([600, 602, 3, 3])
  expect(metrics.value('stratalog_append_records_sum', { level: 'memory' })).toBe(3 + 1 + 1)
  await log.append({ n: 1 })
  await log.append({ n: 2 })
  expect(figures(metrics, 'memory')).toEqual([600, 602, 4, 4])
  clock.advance(1_000)
  expect(figures(metrics, 'memory')).toEqual([602, 604, 4, 4])
  await log.append({ n: 3 })
  await db.close()
  expect(figures(metrics, 'memory')).toEqual([603, 605, 5, 5])
})

test('each level counts for itself, and what was refused or repeated does not', async () => {
  const root = await temporaryDirectory()
  const metrics = new MemoryMetrics()
  const places = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
  await using db = await Stratalog.open(places, { metrics })
  const log = await db.createLog('orders')
  await log.append({ n: 1 }, { ack: 'memory' })
  const producer = { producerId: 'till', epoch: 0, sequence: 0 }
  await log.append([{ n: 2 }, { n: 3 }], { ack: 'disk', producer })
  expect(await log.append([{ n: 2 }, { n: 3 }], { ack: 'disk', producer })).toHaveProperty(
    'isDuplicate',
  )
  await log.append({ n: 4 })
  await log.append({ n: 5 })
  await Promise.all([
    log.append([{ n: 6 }], { ack: 'object' }),
    log.append([{ n: 7 }], { ack: 'object' }),
  ])
  await expectError(log.append({ n: 'eight' }, { ack: 'memory' }), 'schema_mismatch')
  db.memoryMetrics()
  // How many are measured depends on how long this took.
  expect(figures(metrics, 'memory')).toEqual([1, 1, 1, 1])
  expect(figures(metrics, 'disk').slice(0, 2)).toEqual([3, 4])
  expect(Math.min(...figures(metrics, 'disk').slice(2))).toBeGreaterThan(0)
  expect(figures(metrics, 'object')).toEqual([2, 2, 2, 2])
  expect(metrics.value('stratalog_append_bytes_sum', { level: 'disk' })).toBeGreaterThan(16)
})

test('an ack is timed from the call until the append is where its level wants it', async () => {
  const clock = new VirtualClock()
  const metrics = new MemoryMetrics()
  const meter = new AppendMeter(clock, metrics)
  const partition = liveLog(new Surroundings()).nextPartition()
  const { promise, resolve } = Promise.withResolvers<AppendResult>()
  const acked = meter.row(promise, 'disk', meter.begin('disk', partition))
  clock.advance(40)
  resolve({ partition: 0, offset: 0, count: 1 })
  await acked
  expect(metrics.value('stratalog_append_ack_ms_sum', { level: 'disk' })).toBe(40)
})

test('where nobody is told nothing is measured', () => {
  expect(appendMeter(new VirtualClock(), noMetrics)).toBeNull()
})
