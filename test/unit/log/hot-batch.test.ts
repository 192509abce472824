import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ColumnData } from '../../../src/format/column.ts'
import { BATCH_BYTES_TARGET, BATCH_ROWS_MAX } from '../../../src/format/limits.ts'
import type { RecordBatch } from '../../../src/format/record-batch.ts'
import { storedSchema } from '../../../src/format/schema-evolution.ts'
import type { Row } from '../../../src/format/schema-inference.ts'
import { foreignBytes } from '../../../src/format/foreign-bytes.ts'
import { type AppendFacts, HotBatch } from '../../../src/log/hot-batch.ts'
import { pushRows } from '../../../src/log/row-appender.ts'
import { BudgetExceeded, SlabPool } from '../../../src/log/slab-pool.ts'
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

function facts(time: number): AppendFacts {
  return { appendTime: time, lsn: time * 10, expiresAt: Infinity, priority: 0 }
}

function add(batch: HotBatch, given: readonly Row[], time = 5): void {
  expect(pushRows(batch, given, time)).toBe('ok')
  batch.commit(facts(time))
}

function expected(count: number, from = 0): Row[] {
  return rows(count, from).map((row, index) => ({ _offset: from + index, ...row }))
}

describe('a hot batch', () => {
  test('shows only what is committed', () => {
    const batch = newBatch(newPool(), 100)
    pushRows(batch, rows(3), 5)
    expect([batch.length, batch.endOffset]).toEqual([0, 100])
    expect(batch.commit(facts(5))).toBe(3)
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
      batch.retain()
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

  test('gives back what grew for rows that it then forgets, once no view is leased', () => {
    for (const isViewed of [false, true]) {
      const pool = newPool()
      const batch = newBatch(pool)
      add(batch, rows(50))
      const before = pool.usedBytes
      if (isViewed) batch.retain()
      const view = batch.view(0, 50)
      batch.builders[1]?.push('x'.repeat(4 << 20))
      const during = batch.view(10, 20)
      batch.rollback()
      if (isViewed) expect(pool.usedBytes).toBeGreaterThan(4 << 20)
      else expect(pool.usedBytes).toBeLessThan(before * 3)
      expect(batch.bytes).toBe(pool.usedBytes)
      add(batch, rows(50, 50))
      expect(batchRows(batch.view(0, 100))).toEqual(expected(100))
      if (isViewed) {
        expect(batchRows(view)).toEqual(expected(50))
        expect(batchRows(during)).toEqual(expected(10, 10))
        batch.release()
        expect(pool.usedBytes).toBeLessThan(before * 3)
      }
      expect(batch.bytes).toBe(pool.usedBytes)
      batch.release()
      expect(pool.usedBytes).toBe(0)
    }
  })

  test('keeps what a reader saw when the partition lets go of it, and until the reader does', () => {
    const pool = newPool()
    const batch = newBatch(pool)
    add(batch, rows(50))
    batch.retain()
    const view = batch.view(0, 50)
    // Every buffer of the view is replaced.
    add(batch, rows(3_000, 50))
    batch.seal()
    batch.drop()
    expect(batch.isLeased).toBe(true)
    expect(batchRows(view)).toEqual(expected(50))
    batch.release()
    expect(pool.usedBytes).toBe(0)
  })

  test('passes no limit for a reader when it forgets rows', () => {
    const pool = newPool()
    const batch = newBatch(pool)
    add(batch, rows(50))
    batch.retain()
    const view = batch.view(0, 50)
    batch.builders[1]?.push('x'.repeat(4 << 20))
    pool.limit = pool.usedBytes
    batch.rollback()
    expect(pool.usedBytes).toBe(pool.limit)
    expect(batchRows(view)).toEqual(expected(50))
    batch.release()
    batch.rollback()
    expect(pool.usedBytes).toBeLessThan(1 << 20)
    expect(batchRows(batch.view(0, 50))).toEqual(expected(50))
  })

  test('says that its buffers changed when one only goes', () => {
    const pool = newPool()
    const batch = newBatch(pool)
    const empty = Array.from({ length: 100 }, () => ({ n: 1, t: '', b: true }))
    add(batch, empty)
    expect(batch.rows()[1]?.dictionary).not.toBeNull()
    const before = batch.bufferChanges
    // The column turns plain, which takes no buffer for empty texts; the text then finds no room.
    pool.limit = pool.usedBytes - 64
    expect(() => batch.builders[1]?.push('x'.repeat(70))).toThrow(BudgetExceeded)
    batch.rollback()
    expect(batch.rows()[1]?.dictionary).toBeNull()
    expect(batch.bufferChanges).toBeGreaterThan(before)
    expect(batchRows(batch.view(0, 100)).map((row) => row['t'])).toEqual(empty.map(() => ''))
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
    expect(() => batch.commit(facts(5))).toThrow('a sealed batch takes no rows')
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

describe('a lease', () => {
  test('keeps the buffers that grew out of use, and without one they are gone', () => {
    const pool = newPool()
    const batch = newBatch(pool)
    add(batch, rows(10))
    batch.retain()
    const leased = batch.view(0, 10)
    add(batch, rows(5_000, 10))
    const held = pool.usedBytes
    expect(batchRows(leased)).toEqual(expected(10))
    expect([batch.isLeased, batch.bytes]).toEqual([true, held])
    batch.release()
    expect(pool.usedBytes).toBeLessThan(held)
    expect([batch.isLeased, batch.bytes]).toEqual([false, pool.usedBytes])
    // The lease has ended: what was kept beyond it shows what the pool does with the memory.
    expect(batchRows(leased)).not.toEqual(expected(10))
    expect(batchRows(batch.view(0, 10))).toEqual(expected(10))
  })

  test('is not what keeps the rows from being cut to their size', () => {
    const pool = newPool()
    const batch = newBatch(pool)
    add(batch, rows(900))
    add(batch, rows(100, 900))
    batch.retain()
    const view = batch.view(0, 1_000)
    const open = batch.bytes
    batch.seal()
    expect(batch.bytes).toBe(pool.usedBytes)
    expect(batch.bytes).toBeLessThan(open)
    expect(batchRows(view)).toEqual(expected(1_000))
    expect(batchRows(batch.view(0, 1_000))).toEqual(expected(1_000))
  })

  test('that is the only one keeps the buffers that grew out of use when the batch is evicted', () => {
    const pool = newPool()
    const batch = newBatch(pool)
    add(batch, rows(10))
    batch.retain()
    const leased = batch.view(0, 10)
    add(batch, rows(500, 10))
    batch.drop()
    expect(batchRows(leased)).toEqual(expected(10))
    batch.release()
    expect([batch.bytes, pool.usedBytes]).toEqual([0, 0])
  })

  test('of any order among appends, rollbacks, sealing and eviction shows the rows that it was taken for', () => {
    fc.assert(
      fc.property(fc.array(leaseStep, { maxLength: 60 }), (steps) => {
        const pool = newPool()
        const batch = newBatch(pool)
        const leases: { readonly from: number; readonly view: RecordBatch }[] = []
        let isHeld = true
        for (const { kind, amount } of steps) {
          const { length, isSealed } = batch
          if (kind === 'lease' && isHeld) {
            batch.retain()
            const from = amount % (length + 1)
            leases.push({ from, view: batch.view(from, length) })
          } else if (kind === 'end' && leases.length > 0) {
            leases.splice(amount % leases.length, 1)
            batch.release()
          } else if (kind === 'append' && isHeld && !isSealed) {
            add(batch, rows(1 + amount, length))
          } else if (kind === 'stage' && isHeld && !isSealed) {
            pushRows(batch, [...rows(amount, 7), { t: 'x'.repeat(amount * 2_000) }], 5)
            batch.rollback()
          } else if (kind === 'seal' && isHeld && amount < 100) {
            batch.seal()
          } else if (kind === 'evict' && isHeld && amount < 100) {
            isHeld = false
            batch.drop()
          }
          for (const { from, view } of leases) {
            expect(batchRows(view)).toEqual(expected(view.length, from))
          }
          expect(batch.bytes).toBe(pool.usedBytes)
        }
        if (isHeld) batch.drop()
        leases.forEach(() => batch.release())
        expect([batch.bytes, pool.usedBytes]).toEqual([0, 0])
      }),
      { numRuns: 60 },
    )
  })
})

const leaseStep = fc.record({
  kind: fc.constantFrom(
    ...(['append', 'append', 'append', 'lease', 'lease', 'end', 'stage', 'seal', 'evict'] as const),
  ),
  amount: fc.nat(600),
})

describe('a batch that finds no memory', () => {
  test('is as it was, and goes on when there is', () => {
    const pool = newPool()
    const batch = newBatch(pool)
    add(batch, rows(20))
    for (let bytes = pool.usedBytes; ; bytes += 256) {
      pool.limit = bytes
      const before = pool.usedBytes
      try {
        add(batch, rows(700, 20))
        break
      } catch (error) {
        expect(error).toBeInstanceOf(BudgetExceeded)
        expect([batch.length, batch.bytes]).toEqual([20, pool.usedBytes])
        expect(pool.usedBytes).toBeLessThanOrEqual(pool.limit)
        expect(batchRows(batch.view(0, 20))).toEqual(expected(20))
        bytes = Math.max(bytes, before, pool.usedBytes)
      }
    }
    expect(batchRows(batch.view(0, 720))).toEqual(expected(720))
  })
})

describe('a batch of columns that were given away', () => {
  function given(count: number): { readonly source: HotBatch; readonly columns: ColumnData[] } {
    const source = newBatch(newPool())
    add(source, rows(count), 7)
    return { source, columns: [...source.view(0, count).columns] }
  }

  test('shows them without a copy, and counts the buffers for as long as it is held', () => {
    const pool = newPool()
    const { columns } = given(100)
    const bytes = foreignBytes(columns)
    expect(bytes).toBe(new Set(columns.map((column) => column.values.buffer)).size * 64 * 1_024)
    const batch = HotBatch.adopt(SCHEMA, 40, '_time', pool, columns, facts(9))
    expect([batch.bytes, pool.usedBytes, pool.reservedBytes]).toEqual([bytes, bytes, 0])
    expect([batch.isSealed, batch.length, batch.endOffset]).toEqual([true, 100, 140])
    expect([batch.time, batch.appendTimeMin, batch.firstLsn]).toEqual([{ min: 7, max: 7 }, 9, 90])
    expect(batch.valueBytes).toBeGreaterThan(100 * 12)
    const { columns: seen } = batch.view(50, 60)
    expect(seen[0]?.values.buffer).toBe(columns[0]?.values.buffer)
    const shown = batchRows(batch.view(50, 60)).map(({ n, t, b }) => ({ n, t, b }))
    expect(shown).toEqual(rows(10, 10))
    batch.retain()
    batch.release()
    expect(pool.usedBytes).toBe(bytes)
    batch.release()
    expect([batch.bytes, pool.usedBytes]).toEqual([0, 0])
  })

  test('takes no rows, and says nothing of the size of the next', () => {
    const pool = newPool()
    const { columns } = given(100)
    const batch = HotBatch.adopt(SCHEMA, 0, '_time', pool, columns, facts(9))
    expect(() => batch.commit(facts(9))).toThrow('a sealed batch takes no rows')
    const before = pool.usedBytes
    add(newBatch(pool, 100, batch), rows(1))
    expect(pool.usedBytes - before).toBeLessThan(2_000)
  })

  test('is not taken beyond the limit', () => {
    const pool = newPool()
    const { columns } = given(100)
    pool.limit = 1_000
    expect(() => HotBatch.adopt(SCHEMA, 0, '_time', pool, columns, facts(9))).toThrow(
      BudgetExceeded,
    )
    expect(pool.usedBytes).toBe(0)
  })
})

describe('the size of a batch', () => {
  test('has nothing for the offsets of values of one length', () => {
    const equal = Array.from({ length: 5_000 }, (_, row) => ({ t: `row ${10_000 + row}` }))
    const [bytes, bytesOfMixed] = [equal, [...equal.slice(1), { t: 'row' }]].map((given) => {
      const pool = newPool()
      const batch = newBatch(pool)
      add(batch, given)
      batch.seal()
      return pool.usedBytes
    })
    expect((bytesOfMixed ?? 0) - (bytes ?? 0)).toBeGreaterThan(4 * 5_000 - 64)
  })

  test('is not lent whole to the next when it took long to fill', () => {
    const bytesBegun = (lastTime: number): number => {
      const pool = newPool()
      const previous = newBatch(pool)
      for (let time = 0; !previous.isFull; time = lastTime) add(previous, rows(2_000), time)
      previous.seal()
      const before = pool.usedBytes
      const batch = newBatch(pool, 0, previous)
      add(batch, rows(1))
      return pool.usedBytes - before
    }
    expect(bytesBegun(10_000)).toBeGreaterThan(0.8 * BATCH_BYTES_TARGET)
    expect(bytesBegun(10_001)).toBeLessThan(0.2 * BATCH_BYTES_TARGET)
  })

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

  test('comes close to the target and does not pass it; the next one grows no more', () => {
    const pool = newPool()
    let previous: HotBatch | null = null
    for (const [size, least] of [
      [1, 0.97],
      [50, 0.97],
      [2_000, 0.8],
      [2_000, 0.8],
    ] as const) {
      const batch: HotBatch = newBatch(pool, 0, previous)
      add(batch, rows(size))
      const begun = batch.bytes
      while (!batch.isFull) add(batch, rows(size, batch.length))
      // Bitmaps come with the first null, and grow.
      if (previous !== null) expect(batch.bytes).toBeLessThan(begun * 1.05)
      batch.seal()
      expect(batch.bytes / BATCH_BYTES_TARGET).toBeLessThan(1.01)
      expect(batch.bytes / BATCH_BYTES_TARGET).toBeGreaterThan(least)
      previous = batch
    }
  })

  test('says nothing of the next batch when one append was huge', () => {
    const pool = newPool()
    const huge = newBatch(pool)
    add(huge, [{ t: 'x'.repeat(8 << 20) }])
    const batch = newBatch(pool, 1, huge)
    add(batch, rows(1))
    expect(batch.bytes).toBeLessThan(BATCH_BYTES_TARGET / 100)
  })

  test('is bounded in rows', () => {
    const batch = newBatch(newPool())
    batch.builders.forEach((builder) => {
      for (let row = 0; row < BATCH_ROWS_MAX; row++)
        builder.push(builder.type === 'timestamp[ms]' ? 0 : null)
    })
    batch.commit(facts(0))
    expect(batch.isFull).toBe(true)
  })
})
