import { describe, expect, test } from 'vitest'
import type { AckLevel, Location, SegmentEntry } from '../../../src/format/manifest.ts'
import { storedSchema } from '../../../src/format/schema-evolution.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import type { Eviction } from '../../../src/log/eviction.ts'
import type { Partition } from '../../../src/log/partition.ts'
import {
  type OffsetGap,
  type PartitionReadOptions,
  readPartition,
} from '../../../src/log/view-reader.ts'
import {
  MEMORY_POLICY,
  Surroundings,
  appendRows,
  batchRows,
  hotRows,
  liveLog,
  visibleRows,
} from '../../support/live-logs.ts'
import { HYBRID_POLICY, segmentEntry } from '../../support/manifests.ts'

const OBJECT: Location = { object: 'key', position: 0, length: 32 }

interface Setting {
  readonly around: Surroundings
  readonly log: LiveLog
  readonly partition: Partition
}

function setting(ack: AckLevel = 'memory', segments: readonly SegmentEntry[] = []): Setting {
  const around = new Surroundings()
  // Without a WAL of its own: what is durable is told by hand.
  const policy = ack === 'memory' ? MEMORY_POLICY : { ...HYBRID_POLICY, ack, wal: false }
  const log = liveLog(around, { policy, segments: [segments] })
  return { around, log, partition: log.partition(0) }
}

/** Appends rows `{ n }` from where the partition ends, in a batch of their own. */
async function fill({ log, partition }: Setting, count: number): Promise<void> {
  const from = partition.nextOffset
  await appendRows(
    log,
    Array.from({ length: count }, (_, index) => ({ n: from + index })),
  )
  partition.sealOpenBatch()
}

function evictOldest(partition: Partition): Eviction | null {
  const { oldestBatch } = partition
  return oldestBatch === undefined ? null : partition.evict(oldestBatch)
}

function flushed({ partition }: Setting, endOffset: number): void {
  partition.addSegment(segmentEntry(partition.flushedEnd, endOffset))
}

describe('a view', () => {
  test('serves every offset from exactly one copy: segments up to RAM, RAM from there', async () => {
    const given = setting()
    await fill(given, 4)
    flushed(given, 4)
    await fill(given, 3)
    given.partition.dropHot(4)
    await fill(given, 2)
    flushed(given, 7)
    const { view, release } = given.partition.view()
    const ranges = view.sources.map((source) =>
      source.tier === 'memory'
        ? [source.tier, source.batch.baseOffset, source.batch.baseOffset + source.batch.length]
        : [source.tier, source.from, source.to],
    )
    expect(ranges).toEqual([
      ['disk', 0, 4],
      ['memory', 4, 7],
      ['memory', 7, 9],
    ])
    expect([view.startOffset, view.endOffset]).toEqual([0, 9])
    release()
  })

  test('is cut to the offsets that were asked for', async () => {
    const given = setting('memory', [segmentEntry(0, 10)])
    await fill(given, 10)
    const cut = (start: number, end: number): unknown => {
      const { view, release } = given.partition.view({ start, end })
      release()
      return [view.startOffset, view.endOffset, view.sources.length]
    }
    expect([cut(3, 5), cut(8, 12), cut(12, 15), cut(5, 5), cut(30, 40), cut(0, Infinity)]).toEqual([
      [3, 5, 1],
      [8, 12, 2],
      [12, 15, 1],
      [20, 20, 0],
      [20, 20, 0],
      [0, 20, 2],
    ])
  })

  test('stays as it was while the partition appends, flushes, drops and evicts', async () => {
    const given = setting()
    await fill(given, 50)
    const view = given.log.view()
    const before = hotRows(view)
    await fill(given, 5_000)
    flushed(given, 50)
    given.partition.dropHot(50)
    for (let count = 0; count < 3; count++) await fill(given, 500)
    while (evictOldest(given.partition) !== null);
    await fill(given, 5_000)
    expect(hotRows(view)).toEqual(before)
    view.release()
    given.log.close()
    expect(given.around.pool.usedBytes).toBe(0)
  })

  test('lets go of batches that end before an offset when it is told to, and of each once', async () => {
    const given = setting()
    for (let count = 0; count < 3; count++) await fill(given, 10)
    const { view, release } = given.partition.view()
    const leased = (): boolean[] => given.partition.batches.map(({ isLeased }) => isLeased)
    const [first] = view.sources
    expect(leased()).toEqual([true, true, true])
    release(15)
    expect(leased()).toEqual([false, true, true])
    release(20)
    release(20)
    expect(leased()).toEqual([false, false, true])
    expect(first?.tier === 'memory' && first.batch).toMatchObject({ baseOffset: 0, length: 10 })
    release()
    expect(leased()).toEqual([false, false, false])
  })

  test('pins the files it reads until it is released, and is released once', () => {
    const removed: string[] = []
    const given = setting('memory', [segmentEntry(0, 10)])
    const file = given.partition.segments.at(0)?.disk?.object ?? ''
    const view = given.log.view()
    given.around.pins.whenFree(file, () => {
      removed.push(file)
    })
    expect(removed).toEqual([])
    view.release()
    expect(removed).toEqual([file])
    expect(() => view.release()).toThrow('a view is released once')
  })

  test('reads the object copy once the disk copy is dropped', () => {
    const { partition } = setting('memory', [segmentEntry(0, 10)])
    partition.setCopy(0, 'object', OBJECT)
    expect(partition.view().view.sources[0]?.tier).toBe('disk')
    partition.setCopy(0, 'disk', null)
    expect(partition.view().view.sources[0]?.tier).toBe('object')
  })
})

describe('what readers see', () => {
  test('is all that is applied, durable or archived, by the acknowledgement level', async () => {
    const ends = async (ack: AckLevel): Promise<readonly number[]> => {
      const given = setting(ack)
      await fill(given, 10)
      flushed(given, 6)
      given.partition.setCopy(0, 'object', OBJECT)
      const { nextOffset, durableEnd, archivedEnd, visibleEnd } = given.partition
      return [nextOffset, durableEnd, archivedEnd, visibleEnd]
    }
    expect(await ends('memory')).toEqual([10, 10, 6, 10])
    expect(await ends('disk')).toEqual([10, 10, 6, 10])
    expect(await ends('object')).toEqual([10, 10, 6, 6])
  })

  test('is archived only as a prefix: a later segment waits for the one before it', () => {
    const { partition } = setting('object', [
      segmentEntry(0, 5),
      segmentEntry(5, 8),
      segmentEntry(8, 9),
    ])
    partition.setCopy(5, 'object', OBJECT)
    expect(partition.archivedEnd).toBe(0)
    partition.setCopy(0, 'object', OBJECT)
    expect(partition.archivedEnd).toBe(8)
  })
})

describe('waitFor', () => {
  test('resolves when the offset is visible, and at once when it is', async () => {
    const given = setting()
    const signal = new AbortController().signal
    let isDone = false
    const waiting = given.partition.waitFor(2, signal).then(() => {
      isDone = true
    })
    await fill(given, 2)
    await Promise.resolve()
    expect(isDone).toBe(false)
    await fill(given, 1)
    await waiting
    await given.partition.waitFor(0, signal)
  })

  test('resolves on abort, before and during the wait', async () => {
    const { partition } = setting()
    const controller = new AbortController()
    const waiting = partition.waitFor(0, controller.signal)
    controller.abort()
    await waiting
    await partition.waitFor(0, controller.signal)
  })

  test('resolves when the partition closes', async () => {
    const { log, partition } = setting()
    const waiting = partition.waitFor(0, new AbortController().signal)
    log.close()
    await waiting
    await partition.waitFor(5, new AbortController().signal)
  })
})

describe('dropping', () => {
  test('takes RAM copies only below what is flushed', async () => {
    const given = setting('disk')
    await fill(given, 4)
    await fill(given, 4)
    expect(given.partition.dropHot(8)).toBe(0)
    flushed(given, 4)
    expect(given.partition.dropHot(3)).toBe(0)
    expect(given.partition.dropHot(8)).toBeGreaterThan(0)
    expect([given.partition.hotStart, given.partition.batches.length]).toEqual([4, 1])
  })

  test('of the only copy is told, and moves the start', async () => {
    const given = setting()
    await fill(given, 4)
    await fill(given, 3)
    expect(evictOldest(given.partition)).toMatchObject({ records: 4, isWhole: true })
    expect([given.partition.startOffset, given.partition.firstOffset]).toEqual([4, 0])
    expect(visibleRows(given.log).map((row) => row['n'])).toEqual([4, 5, 6])
    expect(evictOldest(given.partition)).toMatchObject({ records: 3, isWhole: true })
    expect(evictOldest(given.partition)).toBeNull()
    expect(given.around.pool.usedBytes).toBe(0)
  })

  test('leaves the batch alone that an append is being staged in', async () => {
    const given = setting()
    await fill(given, 1)
    const { partition } = given
    partition.beginStaging()
    const dropped = [evictOldest(partition), partition.dropHot(1)]
    partition.endStaging()
    expect(dropped).toEqual([null, 0])
    expect(evictOldest(partition)).not.toBeNull()
  })
})

describe('records with terms of their own', () => {
  const NOW = 1_000

  /** Ten records: odd ones expire at 2,000, the others never. */
  async function mixed(): Promise<Setting & { at: (now: number) => void }> {
    const given = setting()
    let now = NOW
    given.around.now = () => now
    for (let n = 0; n < 10; n++) {
      const expiresAt = n % 2 === 1 ? 2_000 : Infinity
      await appendRows(given.log, [{ n }], 0, NOW, { expiresAt, priority: n % 3 })
    }
    return {
      ...given,
      at: (time) => {
        now = time
      },
    }
  }

  async function read(
    { log }: Setting,
    options: PartitionReadOptions = {},
  ): Promise<readonly unknown[]> {
    const view = log.view()
    try {
      const rows: unknown[] = []
      for await (const { batch } of readPartition(view, 0, options))
        rows.push(...batchRows(batch).map((row) => row['n']))
      return rows
    } finally {
      view.release()
    }
  }

  test('are not seen from the instant they expire, and are a gap that fails no read', async () => {
    const given = await mixed()
    given.at(1_999)
    expect(await read(given)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    given.at(2_000)
    expect(await read(given)).toEqual([0, 2, 4, 6, 8])
    const gaps: OffsetGap[] = []
    await read(given, { onGap: (gap) => gaps.push(gap) })
    expect(gaps).toEqual(
      [1, 3, 5, 7, 9].map((n) => ({ partition: 0, from: n, to: n + 1, cause: 'expired' })),
    )
    expect([given.partition.find(3), given.partition.find(4)?.row]).toEqual([null, 4])
    expect(given.partition.dropExpired(2_000, 0.6)).toEqual([])
    expect(given.partition.dropExpired(2_000, 0.5)).toMatchObject([{ records: 5, isWhole: false }])
    expect(await read(given)).toEqual([0, 2, 4, 6, 8])
    expect([given.partition.find(3), given.partition.find(4)?.row]).toEqual([null, 2])
    expect(given.partition.hotRecords).toBe(5)
    await appendRows(given.log, [{ n: 10 }])
    expect(await read(given)).toEqual([0, 2, 4, 6, 8, 10])
  })

  test('that are evicted from the middle are a gap that fails a read, is passed over, or told', async () => {
    const given = await mixed()
    const [batch] = given.partition.batches
    if (batch === undefined) throw new Error('there is a batch')
    const held = given.log.view()
    const eviction = given.partition.evictRuns(batch, (_, priority) => priority === 0)
    expect(eviction).toMatchObject({ records: 4, isWhole: false })
    expect(hotRows(held).map((row) => row['n'])).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    held.release()
    // What begins behind the first offset is a late start, not a gap.
    expect(given.partition.startOffset).toBe(1)
    await expect(read(given)).rejects.toMatchObject({
      code: 'offset_gap',
      details: { from: 3, to: 4, cause: 'evicted' },
    })
    expect(await read(given, { onGap: 'skip' })).toEqual([1, 2, 4, 5, 7, 8])
    const gaps: OffsetGap[] = []
    await read(given, { onGap: (gap) => gaps.push(gap) })
    expect(gaps.map(({ from, to, cause }) => [from, to, cause])).toEqual([
      [3, 4, 'evicted'],
      [6, 7, 'evicted'],
      [9, 10, 'evicted'],
    ])
    expect(given.partition.gaps().map(({ start, end }) => [start, end])).toEqual([
      [0, 1],
      [3, 4],
      [6, 7],
      [9, 10],
    ])
    given.log.close()
    expect(given.around.pool.usedBytes).toBe(0)
  })

  test('keep them where one schema follows another', async () => {
    const given = await mixed()
    await appendRows(given.log, [{ n: 10, more: 'x' }], 0, NOW, { expiresAt: 2_000, priority: 5 })
    const [first, second] = given.partition.batches
    expect([first?.priorityMin, first?.expiresMin, second?.priorityMin]).toEqual([0, 2_000, 5])
    given.at(2_000)
    expect(await read(given)).toEqual([0, 2, 4, 6, 8])
  })
})

test('of thousands of batches the one of an offset is found, whichever went before', async () => {
  const given = setting()
  for (let count = 0; count < 3_000; count++) await fill(given, 1)
  const batches = [...given.partition.batches]
  for (const [index, batch] of batches.entries())
    if (index < 500 || index % 3 === 0) given.partition.evict(batch)
  for (let offset = 0; offset < 3_000; offset++) {
    const isThere = offset >= 500 && offset % 3 !== 0
    expect(given.partition.find(offset)?.batch.baseOffset).toBe(isThere ? offset : undefined)
  }
  expect(given.partition.startOffset).toBe(500)
  expect(given.partition.hotRecords).toBe(given.partition.batches.length)
})

describe('batches', () => {
  test('are leased for a flush when they are sealed and durable, and no others', async () => {
    const given = setting()
    await fill(given, 4)
    await fill(given, 4)
    await appendRows(given.log, [{ n: 8 }])
    const leased = given.partition.leaseSealed(4, 8)
    expect(leased.map((batch) => batch.baseOffset)).toEqual([4])
    for (const batch of leased) batch.release()
    expect(given.partition.leaseSealed(0, 9).map((batch) => batch.baseOffset)).toEqual([0, 4])
    given.partition.sealOpenBatch()
    expect(given.partition.leaseSealed(4, 8).map((batch) => batch.baseOffset)).toEqual([4])
  })

  test('of another schema begin anew; an empty one gives way', async () => {
    const { around, partition } = setting()
    const schema = (id: number): ReturnType<typeof storedSchema> => storedSchema(id, [], null)
    const first = partition.openBatch(schema(0))
    const second = partition.openBatch(schema(1))
    expect(partition.batches).toEqual([second])
    expect(second).not.toBe(first)
    partition.discardStaged()
    expect(partition.batches).toEqual([])
    expect(around.pool.usedBytes).toBe(0)
  })

  test('begin behind offsets that are left out, also when an append failed before', async () => {
    const given = setting()
    await fill(given, 2)
    await expect(appendRows(given.log, [{ n: Symbol('refused') }])).rejects.toMatchObject({
      code: 'schema_mismatch',
    })
    given.partition.skipTo(10)
    await fill(given, 1)
    expect(visibleRows(given.log).map((row) => row['_offset'])).toEqual([0, 1, 10])
  })
})

test('a closed partition takes no appends and closes again without harm', async () => {
  const given = setting()
  await fill(given, 3)
  given.log.close()
  given.log.close()
  expect(given.around.pool.usedBytes).toBe(0)
  await expect(appendRows(given.log, [{ n: 1 }])).rejects.toMatchObject({ code: 'engine_closed' })
  expect(given.around.pool.usedBytes).toBe(0)
})

test('segments that lie over each other, or leave out what is in RAM, are a bug of ours', async () => {
  const around = new Surroundings()
  const log = liveLog(around, { segments: [[segmentEntry(0, 10)]] })
  const partition = log.partition(0)
  expect(() => partition.addSegment(segmentEntry(9, 12))).toThrow('in the order of offsets')
  await appendRows(log, [{ n: 10 }, { n: 11 }])
  expect(() => partition.addSegment(segmentEntry(11, 12))).toThrow('leaves out nothing')
  expect(() => partition.setCopy(3, 'disk', null)).toThrow('missing: segment at 3')
})
