import { describe, expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { LostRecords } from '../../../src/log/lost-records.ts'
import type { Wal } from '../../../src/log/wal.ts'
import { commitCheckpoint } from '../../../src/tiering/checkpoint.ts'
import { dropDiskCopies } from '../../../src/tiering/evict.ts'
import { flushPartition } from '../../../src/tiering/flush.ts'
import { uploadSegments } from '../../../src/tiering/upload.ts'
import { expectError } from '../../support/expect-error.ts'
import { appendRows, visibleRows } from '../../support/live-logs.ts'
import { committed, filled, flush, ranges, rows } from '../../support/moved-log.ts'
import {
  type Bench,
  DATA_DIR,
  eager,
  isManifestPut,
  outline,
  tieringBench,
} from '../../support/tiering.ts'

describe('flush', () => {
  test('writes, syncs, names and syncs the name before the manifest says so', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    expect(await flush(bench, log)).toMatchObject([
      { from: 0, to: 10, fromTier: 'memory', toTier: 'disk' },
    ])
    expect(outline(bench.steps)).toEqual([
      'disk create tmp',
      'disk write tmp',
      'disk sync tmp',
      'disk rename segments',
      'disk syncDirectory segments',
      'disk put manifest',
    ])
    expect(ranges(log)).toEqual([[0, 10, true, false]])
    expect(await committed(bench)).toEqual(ranges(log))
  })

  test('waits for the WAL: what is not durable there is in no segment', async () => {
    const bench = await tieringBench()
    const log = await bench.addLog({ policy: eager() })
    const appends = [appendRows(log, rows(5)), appendRows(log, rows(5, 5))]
    const before = log.partition(0).durableEnd
    const flushed = await flush(bench, log)
    expect(before).toBe(0)
    expect(flushed).toMatchObject([{ from: 0, to: 10 }])
    await Promise.all(appends)
  })

  test('does nothing when all is flushed, and takes only what is new', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    await flush(bench, log)
    expect(await flush(bench, log)).toEqual([])
    await appendRows(log, rows(3, 10))
    await flush(bench, log)
    expect(ranges(log)).toEqual([
      [0, 10, true, false],
      [10, 13, true, false],
    ])
  })

  test('keeps records of two schemas in segments of their own', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    await appendRows(log, [{ n: 10, more: 'x' }])
    await flush(bench, log)
    expect(
      log.partition(0).segments.map(({ schemaId, endOffset }) => [schemaId, endOffset]),
    ).toEqual([
      [0, 10],
      [1, 11],
    ])
  })

  test('of two partitions at once with a new schema commits that schema once', async () => {
    const bench = await tieringBench()
    const log = await bench.addLog({ policy: eager(), definition: { partitions: 2 } })
    await Promise.all([appendRows(log, rows(4), 0), appendRows(log, rows(4), 1)])
    await Promise.all(
      [0, 1].map((number) => flushPartition(bench.context, log, log.partition(number), 'disk')),
    )
    await Promise.all([
      appendRows(log, [{ n: 1, t: 'x' }], 0),
      appendRows(log, [{ n: 1, t: 'y' }], 1),
    ])
    await Promise.all(
      [0, 1].map((number) => flushPartition(bench.context, log, log.partition(number), 'disk')),
    )
    const state = bench.disk.manifest.state.logs.get(1)
    expect(state?.schemas.map(({ id }) => id)).toEqual([0, 1])
    expect(state?.partitions.map(({ segments }) => segments.length)).toEqual([2, 2])
  })

  test.each([
    'create tmp',
    'write tmp',
    'sync tmp',
    'rename segments',
    'syncDirectory segments',
    'put manifest',
  ])(
    'that fails at %s changes nothing, leaves no temporary file, and is done again',
    async (failing) => {
      const bench = await tieringBench()
      const log = await filled(bench)
      bench.fault = (step) => (step.startsWith(`disk ${failing}`) ? 'disk_full' : null)
      await expectError(flush(bench, log), 'disk_full')
      expect([ranges(log), await committed(bench)]).toEqual([[], []])
      expect(await bench.files.list(`${DATA_DIR}/tmp`)).toEqual([])
      expect(visibleRows(log)).toHaveLength(10)
      bench.fault = () => null
      await appendRows(log, rows(5, 10))
      await flush(bench, log)
      expect(await committed(bench)).toEqual(ranges(log))
      expect(ranges(log).at(-1)?.[1]).toBe(15)
    },
  )

  test('gives its leases back, also when it fails', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    bench.fault = () => 'disk_failed'
    await expectError(flush(bench, log), 'disk_failed')
    log.close()
    expect(bench.around.pool.usedBytes).toBe(0)
  })
})

describe('flush straight to the archive', () => {
  const policy = eager({ localDisk: false })

  test('tells the archive first, then the local manifest', async () => {
    const bench = await tieringBench()
    const log = await filled(bench, policy)
    await bench.archive.manifest()
    bench.steps.length = 0
    await flush(bench, log, 'object')
    expect(outline(bench.steps)).toEqual([
      'object put segments',
      'object head segments',
      'object put manifest',
      'disk put manifest',
    ])
    expect(ranges(log)).toEqual([[0, 10, false, true]])
  })

  test.each(['object put manifest', 'disk put manifest'])(
    'whose answer to %s was lost is done again of the same records, though more came meanwhile',
    async (lost) => {
      const bench = await tieringBench()
      const log = await filled(bench, policy)
      await bench.archive.manifest()
      bench.lostReply = (step) => step.startsWith(lost)
      // The store that takes it and says nothing is asked again by the manifest, and has it.
      await flush(bench, log, 'object').catch(() => {})
      bench.lostReply = () => false
      await appendRows(log, rows(5, 10))
      await flush(bench, log, 'object')
      expect(ranges(log)).toEqual([
        [0, 10, false, true],
        [10, 15, false, true],
      ])
      expect(await committed(bench)).toEqual(ranges(log))
      expect(bench.archive.state?.logs.get(1)?.partitions[0]?.segments).toHaveLength(2)
    },
  )

  test('whose second commit failed is done again of the same records', async () => {
    const bench = await tieringBench()
    const log = await filled(bench, policy)
    bench.fault = (step) => (isManifestPut('disk', step) ? 'disk_full' : null)
    await expectError(flush(bench, log, 'object'), 'disk_full')
    bench.fault = () => null
    await appendRows(log, rows(5, 10))
    await flush(bench, log, 'object')
    expect(ranges(log)).toEqual([
      [0, 10, false, true],
      [10, 15, false, true],
    ])
    expect(await committed(bench)).toEqual(ranges(log))
  })
})

describe('dropping a disk copy', () => {
  async function archivedLog(bench: Bench): Promise<LiveLog> {
    const log = await filled(bench)
    await flush(bench, log)
    await uploadSegments(bench.context, log, log.partition(0), [0])
    bench.steps.length = 0
    return log
  }
  const drop = (bench: Bench, log: LiveLog): Promise<unknown> =>
    dropDiskCopies(bench.context, log, log.partition(0), [0])

  test('tells the manifest before the file goes', async () => {
    const bench = await tieringBench()
    const log = await archivedLog(bench)
    expect(await drop(bench, log)).toMatchObject([
      { from: 0, to: 10, fromTier: 'disk', toTier: 'object' },
    ])
    expect(outline(bench.steps)).toEqual([
      'object head segments',
      'disk put manifest',
      'disk remove segments',
    ])
    expect([ranges(log), await committed(bench)]).toEqual([
      [[0, 10, false, true]],
      [[0, 10, false, true]],
    ])
  })

  test('keeps the file while somebody reads it, and when the commit fails', async () => {
    const bench = await tieringBench()
    const log = await archivedLog(bench)
    bench.fault = (step) => (isManifestPut('disk', step) ? 'disk_full' : null)
    await expectError(drop(bench, log), 'disk_full')
    bench.fault = () => null
    log.partition(0).dropHot(10)
    const view = log.view()
    expect(view.partitions[0]?.sources[0]?.tier).toBe('disk')
    bench.steps.length = 0
    await drop(bench, log)
    expect(outline(bench.steps)).toEqual(['object head segments', 'disk put manifest'])
    view.release()
    expect(outline(bench.steps).at(-1)).toBe('disk remove segments')
  })

  test('is done once though the manifest had done it already', async () => {
    const bench = await tieringBench()
    const log = await archivedLog(bench)
    await bench.disk.manifest.commit([
      { kind: 'segment-copy-dropped', logId: 1, partition: 0, baseOffset: 0, tier: 'disk' },
    ])
    expect(await drop(bench, log)).toHaveLength(1)
    expect(ranges(log)).toEqual([[0, 10, false, true]])
  })

  test('is not done for an object that has changed since, and puts one again that is gone', async () => {
    const bench = await tieringBench()
    const log = await archivedLog(bench)
    const key = log.partition(0).segments.at(0)?.object?.object ?? ''
    const bytes = await bench.objects.get(key)
    await bench.objects.remove(key)
    await bench.objects.put(
      key,
      Uint8Array.from(bytes, (byte) => byte ^ 1),
    )
    await expectError(drop(bench, log), 'object_corrupt')
    expect(await committed(bench)).toEqual([[0, 10, true, true]])
    await bench.objects.remove(key)
    await drop(bench, log)
    expect(await bench.objects.get(key)).toEqual(bytes)
    expect(await committed(bench)).toEqual([[0, 10, false, true]])
  })

  test('leaves alone what has no object copy', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    await flush(bench, log)
    expect(await drop(bench, log)).toEqual([])
    expect(ranges(log)).toEqual([[0, 10, true, false]])
  })
})

describe('the checkpoint', () => {
  test('stands at the first record that only RAM has, and the WAL lets go after the commit', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    const released: number[] = []
    const release = bench.wal.release.bind(bench.wal)
    bench.wal.release = (lsn) => {
      bench.steps.push('wal release')
      released.push(lsn)
      release(lsn)
    }
    const firstLsn = log.partition(0).firstUnflushedLsn
    await commitCheckpoint(bench.context)
    expect(bench.disk.manifest.state.walLsn).toBe(firstLsn)
    await flush(bench, log)
    bench.steps.length = 0
    await commitCheckpoint(bench.context)
    expect(outline(bench.steps)).toEqual(['disk put manifest', 'wal release'])
    expect(released.at(-1)).toBe(bench.wal.durableLsn)
    await appendRows(log, rows(1, 10))
    const unflushed = log.partition(0).firstUnflushedLsn
    await appendRows(log, rows(1, 11))
    await commitCheckpoint(bench.context)
    expect(bench.disk.manifest.state.walLsn).toBe(unflushed)
  })

  test('does not pass a damaged frame of a log that is there', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    const lsn = log.partition(0).firstUnflushedLsn
    const where = { log: log.name, partition: 0, from: 10, to: 20, lsn, appendTime: 0 }
    log.partition(0).lost = new LostRecords(where, new StratalogError('wal_corrupt', 'Damaged.'))
    await flush(bench, log)
    await commitCheckpoint(bench.context)
    expect(bench.disk.manifest.state.walLsn).toBe(lsn)
    log.partition(0).lost = null
    await commitCheckpoint(bench.context)
    expect(bench.disk.manifest.state.walLsn).toBe(bench.wal.durableLsn)
  })

  test('that cannot be committed lets go of nothing', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    await flush(bench, log)
    const before = bench.disk.manifest.state.walLsn
    bench.fault = () => 'disk_full'
    bench.wal.release = () => {
      throw new Error('the WAL was released without a checkpoint')
    }
    await expectError(commitCheckpoint(bench.context), 'disk_full')
    expect(bench.disk.manifest.state.walLsn).toBe(before)
  })

  test('brings schemas along that only the WAL has', async () => {
    const bench = await tieringBench()
    const log = await filled(bench)
    await flush(bench, log)
    await appendRows(log, [{ n: 1, more: 'x' }])
    const other = await bench.addLog({ policy: eager() })
    await appendRows(other, [{ a: true }])
    await commitCheckpoint(bench.context)
    const { logs } = bench.disk.manifest.state
    expect([logs.get(1)?.schemas.length, logs.get(2)?.schemas.length]).toEqual([2, 1])
  })
})

test('a flush touches no store before the WAL has what it takes', async () => {
  const bench = await tieringBench()
  const log = await filled(bench)
  const durable = Promise.withResolvers<void>()
  const wal = Object.assign(Object.create(bench.wal) as Wal, { flush: () => durable.promise })
  const flushed = flushPartition({ ...bench.context, wal }, log, log.partition(0), 'disk')
  for (let turn = 0; turn < 100; turn++) await Promise.resolve()
  expect(bench.steps).toEqual([])
  durable.resolve()
  await flushed
  expect(ranges(log)).toEqual([[0, 10, true, false]])
})
