/** Single appends of one turn go to the WAL as one frame, and nothing else may come between. */
import { describe, expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { COLUMNS_MAX, VALUE_BYTES_MAX } from '../../../src/format/limits.ts'
import type { AppendResult, LiveLog } from '../../../src/log/live-log.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import { HYBRID_POLICY, logDefinition } from '../../support/manifests.ts'
import { type RecoveredLog, appendRows, hotRows, recoverLog } from '../../support/live-logs.ts'
import { readTestWal, type ReadFrame } from '../../support/wal.ts'

const DEFINITION = logDefinition(1, {
  timeColumn: null,
  keyColumn: null,
  policy: { ...HYBRID_POLICY, ack: 'disk' },
})

/** A log whose open batch takes single records: one array was appended before. */
async function opened(files: MemorySyncFileSystem): Promise<RecoveredLog> {
  const opened = recoverLog(files, { definition: DEFINITION, policy: DEFINITION.policy })
  const first = appendRows(opened.log, [{ n: 0 }])
  opened.testWal.run()
  await first
  return opened
}

function appendRow(log: LiveLog, n: number, time = 1_000): Promise<AppendResult> {
  const appended = log.appendRow(log.partition(0), { n }, 'disk', time)
  if (appended === null) throw new Error('the quick way is closed')
  return appended
}

/** Offset and count of each frame of records behind the first. */
function framesIn(files: MemorySyncFileSystem): [number, number][] {
  const frames: ReadFrame[] = []
  readTestWal(files, frames)
  return frames
    .filter(({ frame }) => frame.kind === 'append' && frame.baseOffset > 0)
    .map(({ frame }) => [frame.baseOffset, frame.recordCount])
}

/** Runs the writer until the promises are settled. */
async function settled<T>({ testWal }: RecoveredLog, all: readonly Promise<T>[]): Promise<T[]> {
  await Promise.resolve()
  testWal.run()
  return await Promise.all(all)
}

describe('one frame takes', () => {
  test('the records of a turn, and recovery gives each of them', async () => {
    const files = new MemorySyncFileSystem()
    const it = await opened(files)
    const results = await settled(
      it,
      [1, 2, 3].map((n) => appendRow(it.log, n)),
    )
    expect(results.map(({ offset, count }) => [offset, count])).toEqual([
      [1, 1],
      [2, 1],
      [3, 1],
    ])
    expect(framesIn(files)).toEqual([[1, 3]])
    files.crash()
    const { log } = recoverLog(files, {
      definition: DEFINITION,
      policy: DEFINITION.policy,
      wal: { epoch: 2 },
    })
    expect(hotRows(log.view()).map((row) => row['n'])).toEqual([0, 1, 2, 3])
  })

  test('no records of another turn', async () => {
    const files = new MemorySyncFileSystem()
    const it = await opened(files)
    await settled(it, [appendRow(it.log, 1)])
    await settled(it, [appendRow(it.log, 2)])
    expect(framesIn(files)).toEqual([
      [1, 1],
      [2, 1],
    ])
  })

  test('records of one append time', async () => {
    const files = new MemorySyncFileSystem()
    const it = await opened(files)
    const times = [1_000, 1_000, 1_001]
    await settled(
      it,
      times.map((time, n) => appendRow(it.log, n, time)),
    )
    expect(framesIn(files)).toEqual([
      [1, 2],
      [3, 1],
    ])
  })

  test('what was appended before an array, which has a frame behind it', async () => {
    const files = new MemorySyncFileSystem()
    const it = await opened(files)
    const all = [
      appendRow(it.log, 1),
      appendRow(it.log, 2),
      appendRows(it.log, [{ n: 3 }, { n: 4 }]),
      appendRow(it.log, 5),
    ]
    await settled(it, all)
    expect(framesIn(files)).toEqual([
      [1, 2],
      [3, 2],
      [5, 1],
    ])
  })
})

test('a frame takes no record that it would become too long with, were its words written out in full', async () => {
  const files = new MemorySyncFileSystem()
  const it = recoverLog(files, { definition: DEFINITION, policy: DEFINITION.policy })
  const { log } = it
  const word = 'w'.repeat(64)
  const small = {
    ...Object.fromEntries(Array.from({ length: COLUMNS_MAX - 4 }, (_, n) => [`w${n}`, word])),
    ...Object.fromEntries(Array.from({ length: 4 }, (_, n) => [`t${n}`, ''])),
  }
  const long = 'x'.repeat(VALUE_BYTES_MAX - 1_000_000)
  const big = { ...small, t0: long, t1: long, t2: long, t3: long }
  await settled(it, [
    appendRows(
      log,
      Array.from({ length: 70 }, () => small),
    ),
  ])
  const appends = Array.from(
    { length: 250 },
    () =>
      log.appendRow(log.partition(0), small, 'disk', 1_000) ?? Promise.reject(new Error('null')),
  )
  expect(log.appendRow(log.partition(0), big, 'disk', 1_000)).toBeNull()
  await settled(it, appends)
  expect(framesIn(files)).toEqual([[70, 250]])
})

test('a record is not durable when only what lies before its frame is', async () => {
  const it = await opened(new MemorySyncFileSystem())
  const { wal } = it.testWal
  const start = wal.appendedLsn
  const appended = appendRow(it.log, 1)
  it.around.acks.settle(start)
  expect(it.log.partition(0).durableEnd).toBe(1)
  await settled(it, [appended])
  expect(it.log.partition(0).durableEnd).toBe(2)
})

test('a flush in the same turn waits for the records before it', async () => {
  const it = await opened(new MemorySyncFileSystem())
  const appended = appendRow(it.log, 1)
  const flushed = it.testWal.wal.flush()
  it.testWal.run()
  await flushed
  expect(it.log.partition(0).durableEnd).toBe(2)
  await appended
})

test('what a WAL that fails has open is dropped, and its records never share a frame with later ones', async () => {
  const files = new MemorySyncFileSystem()
  const it = await opened(files)
  const lost = appendRow(it.log, 1)
  it.testWal.wal.abandon(new StratalogError('disk_failed', 'planted'))
  await settled(it, [])
  expect(framesIn(files)).toEqual([])
  expect(() => appendRow(it.log, 2)).toThrow('planted')
  expect(it.log.partition(0).durableEnd).toBe(1)
  void lost.catch(() => {})
})
