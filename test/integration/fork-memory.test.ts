/** Forks of logs in RAM: two logs in the same memory, each of which lets go of it by itself. */
import { describe, expect, test } from 'vitest'
import { Stratalog, type StratalogOptions, VirtualClock } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const MINUTE = 60_000
const SCHEMA = { n: 'int32', text: 'utf8' } as const

function rows(from: number, count: number): readonly { n: number; text: string }[] {
  return Array.from({ length: count }, (_, index) => ({
    n: from + index,
    text: `text number ${from + index}`,
  }))
}

async function numbers(db: Stratalog, log: string): Promise<readonly unknown[]> {
  return (await db.log(log).read({ onGap: 'skip' }).toArray()).map((row) => row['n'])
}

function firstNumbers(count: number): readonly number[] {
  return Array.from({ length: count }, (_, n) => n)
}

/** What is counted of logs is what is counted of all. */
function used(db: Stratalog): { readonly all: number; readonly a: number; readonly b: number } {
  const { usedBytes: all, perLog } = db.memoryMetrics()
  const of = (log: string): number => perLog[log]?.usedBytes ?? 0
  const sum = Object.values(perLog).reduce((total, { usedBytes }) => total + usedBytes, 0)
  expect(sum).toBe(all)
  return { all, a: of('a'), b: of('b') }
}

describe('an engine in RAM', () => {
  test('a fork has what its source has, in the same memory, and goes on by itself', async () => {
    await using db = await Stratalog.memoryOnly()
    const a = await db.createLog('a', { schema: SCHEMA })
    await a.append(rows(0, 10_000))
    await a.append(rows(10_000, 5))
    a.read({ last: 1 })
    const before = used(db)
    const b = await db.fork('a', 'b')
    expect(b.range()).toEqual({ start: 0, end: 10_005 })
    // The open batch gave back what it did not take.
    expect(used(db).all).toBeLessThanOrEqual(before.all)
    expect(used(db)).toMatchObject({ b: 0 })
    expect(await numbers(db, 'b')).toEqual(firstNumbers(10_005))
    expect(await b.get(10_004)).toMatchObject({ n: 10_004, text: 'text number 10004' })
    expect((await b.append(rows(1, 1))).offset).toBe(10_005)
    expect((await a.append(rows(2, 1))).offset).toBe(10_005)
    expect((await b.get(10_005))?.['n']).toBe(1)
    expect((await a.get(10_005))?.['n']).toBe(2)
    const sql = await db.query('SELECT count(*)::INT AS n, sum(n)::INT AS s FROM b')
    expect(await sql.toArray()).toEqual([{ n: 10_006, s: (10_004 * 10_005) / 2 + 1 }])
  })

  test('deleting either leaves the other whole; the last one gives the memory back', async () => {
    await using db = await Stratalog.memoryOnly()
    await (await db.createLog('a', { schema: SCHEMA })).append(rows(0, 20_000))
    await db.fork('a', 'b')
    await db.fork('b', 'c', { atOffset: 1_000 })
    const { all } = used(db)
    await db.deleteLog('a')
    expect(used(db)).toEqual({ all, a: 0, b: all })
    expect(await numbers(db, 'b')).toEqual(firstNumbers(20_000))
    await db.deleteLog('b')
    expect(await numbers(db, 'c')).toEqual(firstNumbers(1_000))
    await db.deleteLog('c')
    expect(used(db).all).toBe(0)
  })

  test('at an offset and at a moment, inside a batch', async () => {
    const clock = new VirtualClock()
    await using db = await Stratalog.memoryOnly({}, { clock })
    const a = await db.createLog('a', { schema: SCHEMA, partitions: 2 })
    await a.append(rows(0, 10), { partition: 0 })
    clock.advance(MINUTE)
    await a.append(rows(10, 10), { partition: 0 })
    await a.append(rows(20, 10), { partition: 1 })
    const then = await db.fork('a', 'then', { at: clock.now() - 1 })
    expect(then.range()).toEqual({ start: 0, end: 10 })
    expect(then.range({ partition: 1 })).toEqual({ start: 0, end: 0 })
    expect(await numbers(db, 'then')).toEqual(firstNumbers(10))
    await expectError(db.fork('a', 'cut', { atOffset: 5 }), 'argument_invalid')
    await expectError(db.fork('a', 'then'), 'log_exists')
    await expectError(db.fork('none', 'x'), 'log_not_found')
    await expectError(db.fork('a', 'x', { snapshot: 's' }), 'snapshot_not_found')
  })

  test('what one evicts the other keeps, and a budget of its own holds for each', async () => {
    await using db = await Stratalog.memoryOnly()
    const a = await db.createLog('a', { schema: SCHEMA, storage: { maxMemoryBytes: '2MB' } })
    while (used(db).a < 1_000_000) await a.append(rows(a.range().end, 500))
    const { end } = a.range()
    await db.fork('a', 'b')
    while (a.range().start < end) await a.append(rows(a.range().end, 500))
    expect(used(db).a).toBeLessThanOrEqual(2 * 1024 * 1024)
    expect(await numbers(db, 'b')).toEqual(firstNumbers(end))
    expect(db.memoryMetrics().perLog['b']?.evictionCount ?? 0).toBe(0)
    // What it holds last it counts, and lets go of when its own budget is used up.
    const b = db.log('b')
    while (b.range().start === 0) await b.append(rows(b.range().end, 500))
    expect(used(db).b).toBeLessThanOrEqual(2 * 1024 * 1024)
  })

  test.each(['fifo', 'lru', 'ttl', 'priority'] as const)(
    'the engine keeps its budget where logs share memory: %s',
    async (evictionPolicy) => {
      await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '4MB' })
      const a = await db.createLog('a', { schema: SCHEMA, storage: { evictionPolicy } })
      while (used(db).all < 2_500_000) await a.append(rows(a.range().end, 500))
      for (const name of ['b', 'c']) await db.fork('a', name)
      for (let round = 0; round < 200; round++) {
        const log = db.log(['a', 'b', 'c'][round % 3] ?? '')
        const priority = round % 2
        await log.append(
          rows(log.range().end, 500),
          evictionPolicy === 'priority' ? { priority } : {},
        )
        expect(used(db).all).toBeLessThanOrEqual(4 * 1024 * 1024)
      }
      for (const name of ['a', 'b', 'c']) {
        const held = await db.log(name).read({ onGap: 'skip' }).toArray()
        for (const { n, _offset: offset, text } of held) {
          expect(n).toBe(offset)
          expect(text).toBe(`text number ${String(n)}`)
        }
        await db.deleteLog(name)
      }
      expect(used(db).all).toBe(0)
    },
  )

  test('records expire in each; what is gone from the source before is a gap of the fork', async () => {
    const clock = new VirtualClock()
    await using db = await Stratalog.memoryOnly({}, { clock })
    const a = await db.createLog('a', { schema: SCHEMA })
    await a.append(rows(0, 2))
    await a.append(rows(2, 2), { ttl: '1m' })
    await a.append(rows(4, 2), { ttl: '1h', priority: 3 })
    await a.append(rows(6, 2))
    const b = await db.fork('a', 'b', { atOffset: 7 })
    clock.advance(2 * MINUTE)
    const c = await db.fork('a', 'c')
    expect(await numbers(db, 'b')).toEqual([0, 1, 4, 5, 6])
    expect(await numbers(db, 'c')).toEqual([0, 1, 4, 5, 6, 7])
    const gaps: unknown[] = []
    await c.read({ onGap: ({ from, to, cause }) => gaps.push([from, to, cause]) }).toArray()
    expect(gaps).toEqual([[2, 4, 'expired']])
    clock.advance(60 * MINUTE)
    expect(await numbers(db, 'b')).toEqual([0, 1, 6])
    await db.deleteLog('a')
    expect(await numbers(db, 'c')).toEqual([0, 1, 6, 7])
    expect((await b.append(rows(7, 1))).offset).toBe(7)
    used(db)
  })

  test('a reader of one stays where it is when both let go', async () => {
    await using db = await Stratalog.memoryOnly()
    await (await db.createLog('a', { schema: SCHEMA })).append(rows(0, 1_000))
    await db.fork('a', 'b')
    const reading = db.log('b').read()[Symbol.asyncIterator]()
    const first = await reading.next()
    await db.deleteLog('a')
    await db.log('b').append(rows(1_000, 1))
    expect(first.done).toBe(false)
    const batch = first.value
    expect(batch?.toRows().at(-1)?.['n']).toBe(999)
    await reading.return?.()
  })

  test('producers are known to the fork as of where it begins', async () => {
    await using db = await Stratalog.memoryOnly()
    const a = await db.createLog('a', { schema: SCHEMA })
    const producer = (sequence: number) => ({ producer: { producerId: 'p', epoch: 1, sequence } })
    await a.append(rows(0, 2), producer(0))
    await a.append(rows(2, 2), producer(1))
    const b = await db.fork('a', 'b', { atOffset: 2 })
    expect(await b.append(rows(0, 2), producer(0))).toMatchObject({ offset: 0, isDuplicate: true })
    expect((await b.append(rows(2, 2), producer(1))).offset).toBe(2)
  })
})

describe('an engine that snapshots lie beside', () => {
  test('at a snapshotLocation: at a snapshot, and each comes back by itself', async () => {
    const options: StratalogOptions = {
      snapshotLocation: `${await temporaryDirectory()}/snapshots`,
    }
    const clock = new VirtualClock()
    {
      await using db = await Stratalog.open(options, { clock })
      const a = await db.createLog('a', { schema: SCHEMA })
      await a.append(rows(0, 10))
      await db.snapshot({ name: 's0' })
      await a.append(rows(10, 10))
      const b = await db.fork('a', 'b', { snapshot: 's0' })
      expect(await numbers(db, 'b')).toEqual(firstNumbers(10))
      await b.append(rows(10, 1))
      await db.deleteLog('a')
      await db.snapshot({ name: 's1' })
    }
    await using db = await Stratalog.open(options, { clock })
    expect(db.logs().map(({ name }) => name)).toEqual(['b'])
    expect(await numbers(db, 'b')).toEqual(firstNumbers(11))
    await expectError(db.fork('b', 'c', { snapshot: 's0' }), 'snapshot_not_found')
  })

  test('what was evicted since the snapshot cannot be shared, and says so', async () => {
    const options = { snapshotLocation: `${await temporaryDirectory()}/snapshots` }
    await using db = await Stratalog.open(options, { clock: new VirtualClock() })
    const a = await db.createLog('a', { schema: SCHEMA, storage: { maxMemoryBytes: '512KB' } })
    await a.append(rows(0, 10))
    await db.snapshot({ name: 's0' })
    while (a.range().start === 0) await a.append(rows(a.range().end, 500))
    const error = await expectError(db.fork('a', 'b', { snapshot: 's0' }), 'offset_gap')
    expect(error.details).toMatchObject({ from: 0, to: 10 })
    expect(error.message).toContain('Restore the log from the snapshot')
  })

  test('beside a directory: RAM, and what a snapshot brought to the archive', async () => {
    const root = await temporaryDirectory()
    const options = { dataDir: `${root}/data`, archive: `file://${root}/archive` }
    const clock = new VirtualClock()
    const storage = { mode: 'memory' } as const
    {
      await using db = await Stratalog.open(options, { clock })
      await (await db.createLog('a', { schema: SCHEMA, storage })).append(rows(0, 10))
      await db.snapshot({ name: 's0' })
    }
    {
      await using db = await Stratalog.open(options, { clock })
      const a = db.log('a')
      await a.append(rows(10, 10))
      const b = await db.fork('a', 'b', { atOffset: 15 })
      await db.fork('a', 'c', { atOffset: 5 })
      expect(await numbers(db, 'b')).toEqual(firstNumbers(15))
      expect(await numbers(db, 'c')).toEqual(firstNumbers(5))
      expect((await b.append(rows(15, 1))).offset).toBe(15)
      await db.deleteLog('a')
      await db.deleteSnapshot('s0')
      await db.snapshot({ name: 's1' })
      clock.advance(120 * MINUTE)
      await db.tier.collect()
      expect(await numbers(db, 'b')).toEqual(firstNumbers(16))
    }
    await using db = await Stratalog.open(options, { clock })
    expect(await numbers(db, 'b')).toEqual(firstNumbers(16))
    expect(await numbers(db, 'c')).toEqual(firstNumbers(5))
  })
})
