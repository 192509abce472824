import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../src/base/random.ts'
import type { Row } from '../../../src/format/schema-inference.ts'
import { StratalogError } from '../../../src/base/errors.ts'
import { encodeSchemaPayload } from '../../../src/format/wal-payload.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { Recovery } from '../../../src/log/recovery.ts'
import { readPartition } from '../../../src/log/view-reader.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import {
  Surroundings,
  appendRows,
  liveLog,
  recoverLog,
  visibleRows,
} from '../../support/live-logs.ts'
import { segmentEntry } from '../../support/manifests.ts'
import { sampleSchema } from '../../support/sample-batches.ts'

const TWO = { definition: { partitions: 2 } }

/** Appends `rows` one by one, durably. */
async function appended(fileSystem: MemorySyncFileSystem, rows: readonly Row[]): Promise<LiveLog> {
  const { log, testWal } = recoverLog(fileSystem)
  const appends = rows.map((row) => appendRows(log, [row]))
  testWal.run()
  await Promise.all(appends)
  return log
}

function numbers(log: LiveLog, partition = 0): unknown[] {
  return visibleRows(log, partition).map((row) => row['n'])
}

describe('recovery', () => {
  test('brings back records, schemas, offsets and times', async () => {
    const fileSystem = new MemorySyncFileSystem()
    const before = await appended(fileSystem, [{ n: 1 }, { n: 2, t: 'x' }, { n: 0.5 }])
    const { log, recovery } = recoverLog(fileSystem, { wal: { epoch: 2 } })
    expect(visibleRows(log)).toEqual(visibleRows(before))
    expect(log.schemas).toEqual(before.schemas)
    expect(recovery.report).toMatchObject({ records: 3 })
    expect(log.partition(0).batches.map((batch) => batch.time)).toEqual(
      before.partition(0).batches.map((batch) => batch.time),
    )
    // The schema comes from the manifest once the checkpoint passes its frame.
    expect(log.partition(0).firstUnflushedLsn).toBeGreaterThanOrEqual(
      before.partition(0).firstUnflushedLsn,
    )
  })

  test('applied twice is applied once', async () => {
    const fileSystem = new MemorySyncFileSystem()
    await appended(fileSystem, [{ n: 1 }, { n: 2, t: 'x' }])
    const { log, recovery, testWal } = recoverLog(fileSystem, { wal: { epoch: 2 } })
    const rows = visibleRows(log)
    for (const { frame, payload } of testWal.frames) recovery.apply(frame, payload)
    expect(visibleRows(log)).toEqual(rows)
    expect(log.schemas).toHaveLength(2)
  })

  test('ends a partition before a damaged payload, and says what is lost', async () => {
    const fileSystem = new MemorySyncFileSystem()
    await appended(fileSystem, [{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }])
    const { testWal } = recoverLog(fileSystem, { wal: { epoch: 2 } })
    const around = new Surroundings()
    const log = liveLog(around)
    const recovery = new Recovery(new Map([[log.id, log]]), new Set())
    const error = new StratalogError('wal_corrupt', 'It is damaged.', { details: { file: 'f' } })
    for (const { frame, payload } of testWal.frames)
      if (frame.kind === 'append' && frame.baseOffset === 1)
        expect(recovery.passOver({ frame, error })).toBe(true)
      else recovery.apply(frame, payload)
    recovery.finish()
    const partition = log.partition(0)
    expect(partition).toMatchObject({ nextOffset: 1, visibleEnd: 1, readableEnd: 4 })
    expect(partition.lost).toMatchObject({ from: 1, to: 4 })
    await expect(appendRows(log, [{ n: 5 }])).rejects.toMatchObject({
      code: 'wal_corrupt',
      details: { from: 1, to: 4, fate: 'not_applied' },
    })
    const view = log.view()
    const numbersOf = async (to?: number): Promise<number> => {
      let rows = 0
      for await (const { batch } of readPartition(view, 0, { to })) rows += batch.length
      return rows
    }
    expect(await numbersOf(1)).toBe(1)
    await expect(numbersOf()).rejects.toMatchObject({ code: 'wal_corrupt' })
    view.release()
  })

  test('passes over what a segment has, also in the middle of an append', async () => {
    const fileSystem = new MemorySyncFileSystem()
    const first = recoverLog(fileSystem)
    const append = appendRows(
      first.log,
      Array.from({ length: 10 }, (_, n) => ({ n })),
    )
    first.testWal.run()
    await append
    const { schemas } = first.log
    for (const flushed of [1, 7, 9, 10]) {
      const segments = [[segmentEntry(0, flushed)]]
      const { log, recovery } = recoverLog(fileSystem, {
        schemas,
        segments,
        wal: { epoch: 1 + flushed },
      })
      expect(numbers(log)).toEqual(
        Array.from({ length: 10 - flushed }, (_, index) => flushed + index),
      )
      expect(recovery.report.records).toBe(10 - flushed)
      expect(log.partition(0).nextOffset).toBe(10)
    }
  })

  test('passes over frames of a log that was deleted', async () => {
    const fileSystem = new MemorySyncFileSystem()
    await appended(fileSystem, [{ n: 1 }])
    const { testWal } = recoverLog(fileSystem, { wal: { epoch: 2 } })
    const nobody = new Recovery(new Map(), new Set([1]))
    for (const { frame, payload } of testWal.frames) nobody.apply(frame, payload)
    expect(nobody.report.records).toBe(0)
  })

  test('goes on where it ended: the next append has the next offset', async () => {
    const fileSystem = new MemorySyncFileSystem()
    await appended(fileSystem, [{ n: 1 }, { n: 2 }])
    const { log, testWal } = recoverLog(fileSystem, { wal: { epoch: 2 } })
    const append = appendRows(log, [{ n: 3 }])
    testWal.run()
    expect(await append).toMatchObject({ offset: 2 })
    const again = recoverLog(fileSystem, { wal: { epoch: 3 } })
    expect(numbers(again.log)).toEqual([1, 2, 3])
  })
})

describe('contradictions are corruption, never repaired by guessing', () => {
  const frameOf = (changes: object): Parameters<Recovery['apply']>[0] => ({
    kind: 'append',
    lsn: 0,
    epoch: 1,
    logId: 1,
    partition: 0,
    baseOffset: 0,
    recordCount: 1,
    appendTime: 1,
    durableLsn: 0,
    payloadLength: 0,
    payloadChecksum: 0,
    previousLink: 0,
    headerChecksum: 0,
    producerBytes: 0,
    ...changes,
  })
  const corrupt = expect.objectContaining({ code: 'wal_corrupt' })

  test('records that begin beyond the end of their partition', async () => {
    const fileSystem = new MemorySyncFileSystem()
    await appended(fileSystem, [{ n: 1 }, { n: 2 }])
    const { testWal } = recoverLog(fileSystem, { wal: { epoch: 2 } })
    const log = liveLog(new Surroundings())
    const recovery = new Recovery(new Map([[log.id, log]]), new Set())
    const [schema, , second] = testWal.frames
    if (schema !== undefined) recovery.apply(schema.frame, schema.payload)
    expect(() =>
      recovery.apply(second?.frame ?? frameOf({}), second?.payload ?? new Uint8Array(0)),
    ).toThrow(corrupt)
    expect(numbers(log)).toEqual([])
  })

  test('records of a log that is not in the manifest and never was deleted', async () => {
    const fileSystem = new MemorySyncFileSystem()
    await appended(fileSystem, [{ n: 1 }])
    const { testWal } = recoverLog(fileSystem, { wal: { epoch: 2 } })
    const recovery = new Recovery(new Map(), new Set([7]))
    const [schema] = testWal.frames
    expect(() =>
      recovery.apply(schema?.frame ?? frameOf({}), schema?.payload ?? new Uint8Array(0)),
    ).toThrow(corrupt)
  })

  test('records of a schema that was never logged', async () => {
    const fileSystem = new MemorySyncFileSystem()
    await appended(fileSystem, [{ n: 1 }])
    const { testWal } = recoverLog(fileSystem, { wal: { epoch: 2 } })
    const log = liveLog(new Surroundings())
    const recovery = new Recovery(new Map([[log.id, log]]), new Set())
    const [, first] = testWal.frames
    expect(() =>
      recovery.apply(first?.frame ?? frameOf({}), first?.payload ?? new Uint8Array(0)),
    ).toThrow(corrupt)
  })

  test('a partition that the log does not have, and schemas that leave out a number', () => {
    const log = liveLog(new Surroundings())
    const recovery = new Recovery(new Map([[log.id, log]]), new Set())
    expect(() => recovery.apply(frameOf({ partition: 5 }), new Uint8Array(16))).toThrow(corrupt)
    const payload = encodeSchemaPayload(sampleSchema({ a: 'int32' }, 4))
    expect(() => recovery.apply(frameOf({ kind: 'schema' }), payload)).toThrow(corrupt)
  })
})

interface Submitted {
  readonly n: number
  readonly partition: number
}

type Step =
  | {
      readonly kind: 'append'
      readonly partition: number
      readonly count: number
      readonly wide: boolean
    }
  | { readonly kind: 'run' }
  | { readonly kind: 'crash' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      partition: fc.nat(1),
      count: fc.integer({ min: 1, max: 40 }),
      wide: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: 'run' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'crash' as const }) },
)

test('whatever crashes lose, acknowledged records stay, in order, and nothing else appears', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 40 }),
      fc.nat(),
      async (steps, seed) => {
        const fileSystem = new MemorySyncFileSystem({ random: seededRandom(seed) })
        let epoch = 1
        let current = recoverLog(fileSystem, { ...TWO, wal: { epoch } })
        // Per partition, every append that may be there, and how many records are acknowledged.
        let submitted: Submitted[][][] = [[], []]
        let acknowledged = [0, 0]
        let next = 0
        const check = (): void => {
          for (const partition of [0, 1]) {
            const found = numbers(current.log, partition)
            const appends = submitted[partition] ?? []
            const all = appends.flat().map(({ n }) => n)
            expect(found.length).toBeGreaterThanOrEqual(acknowledged[partition] ?? 0)
            expect(found).toEqual(all.slice(0, found.length))
            // Whole appends only.
            let count = 0
            const ends = new Set([0, ...appends.map((append) => (count += append.length))])
            expect(ends.has(found.length)).toBe(true)
          }
        }
        const restart = (): void => {
          fileSystem.crash()
          current = recoverLog(fileSystem, { ...TWO, wal: { epoch: ++epoch } })
          check()
          submitted = [0, 1].map((partition) => {
            const kept = current.log.partition(partition).nextOffset
            let count = 0
            return (submitted[partition] ?? []).filter((append) => (count += append.length) <= kept)
          })
        }
        for (const { kind, ...given } of steps) {
          if (kind === 'run') current.testWal.run()
          else if (kind === 'crash') restart()
          else {
            const { partition, count, wide } = given as {
              partition: number
              count: number
              wide: boolean
            }
            const rows = Array.from({ length: count }, () => ({ n: next++, partition }))
            submitted[partition]?.push(rows)
            const { log } = current
            const withMore = wide
              ? rows.map((row) => ({ ...row, [`c${row.n % 3}`]: 'x'.repeat(row.n % 90) }))
              : rows
            appendRows(log, withMore, partition).then(
              ({ offset }) => {
                // An engine that crashed tells nobody any more.
                if (current.log !== log) return
                acknowledged = acknowledged.map((end, index) =>
                  index === partition ? Math.max(end, offset + count) : end,
                )
              },
              () => {},
            )
          }
          for (let turn = 0; turn < 4; turn++) await Promise.resolve()
        }
        current.testWal.run()
        for (let turn = 0; turn < 4; turn++) await Promise.resolve()
        check()
        restart()
        restart()
      },
    ),
    { numRuns: 120 },
  )
})
