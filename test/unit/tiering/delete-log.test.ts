/** A deletion, stopped at every step: what comes after finds the log whole, or gone. */
import { describe, expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import type { ManifestState } from '../../../src/format/manifest.ts'
import { isDeletedLog } from '../../../src/format/manifest.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { manifestFilesInDirectory } from '../../../src/log/manifest-files.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import type { ArchiveWriter } from '../../../src/tiering/archive-writer.ts'
import { commitCheckpoint } from '../../../src/tiering/checkpoint.ts'
import type { TieringContext } from '../../../src/tiering/context.ts'
import { deleteLog } from '../../../src/tiering/delete-log.ts'
import { flushPartition } from '../../../src/tiering/flush.ts'
import { areEndsUnsure } from '../../../src/tiering/unsure-ends.ts'
import { uploadSegments } from '../../../src/tiering/upload.ts'
import { expectError } from '../../support/expect-error.ts'
import { appendRows, visibleRows } from '../../support/live-logs.ts'
import {
  type Bench,
  DATA_DIR,
  eager,
  isManifestPut,
  outline,
  tieringBench,
} from '../../support/tiering.ts'

interface Deleted {
  readonly bench: Bench
  readonly log: LiveLog
  readonly context: TieringContext
  /** What the registry was told: whether the log is surely gone. */
  readonly told: boolean[]
  readonly run: () => Promise<void>
}

/** A log with a segment of two records on disk and in the archive, and two records in RAM. */
async function aboutToGo(place: ArchiveWriter | null = null): Promise<Deleted> {
  const bench = await tieringBench()
  const log = await bench.addLog({ policy: eager() })
  await appendRows(log, [{ n: 0 }, { n: 1 }])
  await flushPartition(bench.context, log, log.partition(0), 'disk')
  await uploadSegments(bench.context, log, log.partition(0), [0])
  await appendRows(log, [{ n: 2 }, { n: 3 }])
  bench.steps.length = 0
  const told: boolean[] = []
  const logs = (): readonly LiveLog[] => (told.length === 0 ? [log] : [])
  const context = { ...bench.context, logs }
  const run = (): Promise<void> => deleteLog(context, place, log, (isSure) => told.push(isSure))
  return { bench, log, context, told, run }
}

/** As its files say. */
async function committed({ files, clock }: Bench): Promise<ManifestState> {
  return (await ManifestStore.open(manifestFilesInDirectory(files, DATA_DIR), { clock })).state
}

describe('a deletion', () => {
  test('asks the archive, commits to the directory, then removes the files, then tells the archive', async () => {
    const { bench, log, told, run } = await aboutToGo()
    await run()
    expect(outline(bench.steps)).toEqual([
      'object get manifest',
      'disk put manifest',
      'disk remove segments',
      'object put manifest',
    ])
    expect(told).toEqual([true])
    expect(isDeletedLog(await committed(bench), 1)).toBe(true)
    expect(bench.archive.state?.logs.get(1)).toMatchObject({ deletedAt: bench.clock.now() })
    await expectError(appendRows(log, [{ n: 4 }]), 'log_deleted')
  })

  test('that cannot be committed leaves the log as it was', async () => {
    const { bench, log, run } = await aboutToGo()
    let tries = 0
    // The second call finds out that the first one was not done.
    bench.fault = (step) =>
      isManifestPut('disk', step) && ++tries === 1 ? 'store_unavailable' : null
    await expectError(run(), 'store_unavailable')
    expect((await committed(bench)).logs.has(1)).toBe(true)
    await appendRows(log, [{ n: 4 }])
    expect(visibleRows(log)).toHaveLength(5)
    await run()
    expect((await committed(bench)).logs.has(1)).toBe(false)
  })

  test('whose commit is answered with an error, and done all the same, is done', async () => {
    const { bench, told, run } = await aboutToGo()
    bench.lostReply = (step) => isManifestPut('disk', step)
    await run().catch(() => {})
    expect((await committed(bench)).logs.has(1)).toBe(false)
    expect(told).not.toEqual([])
  })

  test('of which nobody knows whether it is committed holds the WAL, and is committed with the checkpoint', async () => {
    const { bench, log, context, told, run } = await aboutToGo()
    bench.fault = (step) => (isManifestPut('disk', step) ? 'disk_full' : null)
    await expectError(run(), 'disk_full')
    await expectError(appendRows(log, [{ n: 4 }]), 'log_deleted')
    expect(told).toEqual([false])
    expect(areEndsUnsure(context)).toBe(true)
    bench.fault = () => null
    const { walLsn } = await committed(bench)
    await commitCheckpoint(context)
    const state = await committed(bench)
    expect(state.walLsn).toBeGreaterThan(walLsn)
    expect(state.logs.has(1)).toBe(false)
    expect(areEndsUnsure(context)).toBe(false)
    expect(told).toEqual([false, true])
  })

  test('is not begun while the archive is away', async () => {
    const { bench, log, told, run } = await aboutToGo()
    const away = new StratalogError('store_unavailable', 'It is away.')
    bench.archive.manifest = () => Promise.reject(away)
    await expectError(run(), 'store_unavailable')
    expect(told).toEqual([])
    expect(visibleRows(log)).toHaveLength(4)
  })

  test('that the archive could not be told of is done here, and told later', async () => {
    const { bench, told, run } = await aboutToGo()
    bench.fault = (step) => (isManifestPut('object', step) ? 'store_unavailable' : null)
    const error = await expectError(run(), 'store_unavailable')
    expect(error.details).toMatchObject({ isDeleted: true, log: 'log-1' })
    expect(told).toEqual([true])
    expect(bench.archive.isUntold).toBe(true)
    bench.fault = () => null
    await bench.archive.settle()
    await bench.archive.tellDeleted()
    expect(bench.archive.isUntold).toBe(false)
    expect(bench.archive.state?.logs.get(1)?.deletedAt).toBeDefined()
  })

  test('refuses a retry of a producer that waits meanwhile', async () => {
    const { bench, log, run } = await aboutToGo()
    const terms = { expiresAt: Infinity, priority: 0 }
    const producer = { producerId: 'p', epoch: 0, sequence: 0 }
    const input = { kind: 'rows', rows: [{ n: 9 }] } as const
    const append = (): Promise<unknown> =>
      log.append(log.partition(0), input, 'disk', 1, { ...terms, producer })
    await append()
    const [held, reached] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    bench.fault = (step) => {
      if (!isManifestPut('disk', step)) return null
      reached.resolve()
      return held.promise
    }
    const deletion = run()
    await reached.promise
    const again = append()
    held.resolve()
    await Promise.all([deletion, expectError(again, 'log_deleted')])
  })
})
