import { describe, expect, test } from 'vitest'
import { BATCH_BYTES_TARGET, BATCH_ROWS_MAX } from '../../../src/format/limits.ts'
import { storedSchema } from '../../../src/format/schema-evolution.ts'
import type { Row } from '../../../src/format/schema-inference.ts'
import { HotBatch } from '../../../src/log/hot-batch.ts'
import { pushRows } from '../../../src/log/row-appender.ts'
import { SlabPool } from '../../../src/log/slab-pool.ts'
import { batchRows } from '../../support/live-logs.ts'

const SCHEMA = storedSchema(
  0,
  [
    { name: 'n', type: 'int32', nullable: true },
    { name: 't', type: 'utf8', nullable: true },
    { name: 'b', type: 'bool', nullable: true },
  ],
  null,
)

function newPool(): SlabPool {
  return new SlabPool({ freeBytesMax: 1 << 24, poison: true })
}

function newBatch(pool: SlabPool, baseOffset = 0, previous: HotBatch | null = null): HotBatch {
  return new HotBatch(SCHEMA, baseOffset, '_time', pool, previous)
}

function rows(count: number, from = 0): Row[] {
  return Array.from({ length: count }, (_, index) => {
    const n = from + index
    return { n: n % 3 === 0 ? null : n, t: `row ${n}`, b: n % 2 === 0 }
  })
}

function add(batch: HotBatch, given: readonly Row[], time = 5): void {
  expect(pushRows(batch, given, time)).toBe('ok')
  batch.commit({ appendTime: time, lsn: time * 10 })
}

function expected(count: number, from = 0): Row[] {
  return rows(count, from).map((row, index) => ({ _offset: from + index, ...row }))
}

describe('a hot batch', () => {
  test('shows only what is committed', () => {
    const batch = newBatch(newPool(), 100)
    pushRows(batch, rows(3), 5)
    expect([batch.length, batch.endOffset]).toEqual([0, 100])
    expect(batch.commit({ appendTime: 5, lsn: 50 })).toBe(3)
    expect([batch.length, batch.endOffset]).toEqual([3, 103])
  })

  test('keeps a view right while it grows to many times its size', () => {
    const pool = newPool()
    const batch = newBatch(pool)
    const views: { readonly count: number; readonly view: ReturnType<HotBatch['view']> }[] = []
    let count = 0
    for (const more of [1, 2, 5, 70, 400, 3_000, 9_000]) {
      add(batch, rows(more, count))
      count += more
      views.push({ count, view: batch.view(0, count) })
    }
    for (const { count: seen, view } of views) expect(batchRows(view)).toEqual(expected(seen))
    expect(batch.bytes).toBe(pool.usedBytes)
  })

  test('forgets what was staged, and takes other rows in its place', () => {
    const batch = newBatch(newPool())
    add(batch, rows(5))
    pushRows(batch, rows(300, 1_000), 9)
    batch.rollback()
    add(batch, rows(4, 5), 7)
    expect(batchRows(batch.view(0, 9))).toEqual(expected(9))
    expect(batch.appendTimeMax).toBe(7)
  })

  test('gives back what grew for rows that it then forgets, unless a view was taken of it', () => {
    for (const isViewed of [false, true]) {
      const pool = newPool()
      const batch = newBatch(pool)
      add(batch, rows(50))
      const before = pool.usedBytes
      const view = batch.view(0, 50)
      batch.builders[1]?.push('x'.repeat(4 << 20))
      const during = isViewed ? batch.view(10, 20) : null
      batch.rollback()
      if (isViewed) expect(pool.usedBytes).toBeGreaterThan(4 << 20)
      else expect(pool.usedBytes).toBeLessThan(before * 3)
      expect(batch.bytes).toBe(pool.usedBytes)
      add(batch, rows(50, 50))
      expect(batchRows(batch.view(0, 100))).toEqual(expected(100))
      expect(batchRows(view)).toEqual(expected(50))
      if (during !== null) expect(batchRows(during)).toEqual(expected(10, 10))
      batch.release()
      expect(pool.usedBytes).toBe(0)
    }
  })

  test('knows its times and the LSN that recovery would need', () => {
    const batch = newBatch(newPool())
    expect([batch.firstLsn, batch.time]).toEqual([Infinity, { min: Infinity, max: -Infinity }])
    add(batch, rows(1), 7)
    add(batch, rows(1), 3)
    expect([batch.firstLsn, batch.appendTimeMin, batch.appendTimeMax]).toEqual([30, 3, 7])
    expect(batch.time).toEqual({ min: 3, max: 7 })
  })

  test('takes nothing once it is sealed', () => {
    const batch = newBatch(newPool())
    add(batch, rows(1))
    batch.seal()
    pushRows(batch, rows(1), 5)
    expect(() => batch.commit({ appendTime: 5, lsn: 0 })).toThrow('a sealed batch takes no rows')
  })

  test('gives its buffers back when the last lease ends, not before', () => {
    const pool = newPool()
    const batch = newBatch(pool)
    add(batch, rows(100))
    const view = batch.view(0, 100)
    batch.retain()
    batch.release()
    expect(pool.usedBytes).toBeGreaterThan(0)
    expect(batchRows(view)).toEqual(expected(100))
    batch.release()
    expect(pool.usedBytes).toBe(0)
    expect(batchRows(view)).not.toEqual(expected(100))
    expect(() => batch.release()).toThrow('a lease ends once')
    expect(() => batch.retain()).toThrow('a released batch is not leased again')
  })

  test('gives out no view of what it does not have', () => {
    const batch = newBatch(newPool(), 10)
    add(batch, rows(5))
    for (const [from, to] of [
      [9, 12],
      [10, 16],
      [14, 13],
    ] as const) {
      expect(() => batch.view(from, to)).toThrow('a view lies inside its batch')
    }
    expect(batch.view(15, 15).length).toBe(0)
  })
})

describe('the size of a batch', () => {
  test('is about the target, also when the batch before it lends its size', () => {
    const pool = newPool()
    let previous: HotBatch | null = null
    for (let round = 0; round < 6; round++) {
      const batch: HotBatch = newBatch(pool, 0, previous)
      while (!batch.isFull) add(batch, rows(2_000))
      expect(batch.length).toBeGreaterThan(8_000)
      expect(batch.bytes).toBeLessThan(3 * BATCH_BYTES_TARGET)
      previous?.release()
      previous = batch
    }
    previous?.release()
    expect(pool.usedBytes).toBe(0)
  })

  test('says nothing of the next batch when one append was huge', () => {
    const pool = newPool()
    const huge = newBatch(pool)
    add(huge, [{ t: 'x'.repeat(8 << 20) }])
    expect(newBatch(pool, 1, huge).bytes).toBeLessThan(BATCH_BYTES_TARGET / 100)
  })

  test('is bounded in rows', () => {
    const batch = newBatch(newPool())
    batch.builders.forEach((builder) => {
      for (let row = 0; row < BATCH_ROWS_MAX; row++)
        builder.push(builder.type === 'timestamp[ms]' ? 0 : null)
    })
    batch.commit({ appendTime: 0, lsn: 0 })
    expect(batch.isFull).toBe(true)
  })
})
