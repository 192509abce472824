/** One program for an engine in this process and for a client of a server: what both have in common, they do alike. */
import { tableFromArrays } from 'apache-arrow'
import { describe, expect, test } from 'vitest'
import type { RecordStore } from '../../src/client/index.ts'
import type { ErrorCode } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'

export interface OpenStore {
  readonly db: RecordStore
  /** Whether logs may be snapshotted and forked: there is a directory and an archive. */
  readonly isDurable: boolean
}

const AT = new Date('2026-01-31T12:00:00.123Z')

/** A value of each type that a log infers, and some that are hard to carry. */
const RECORDS = [
  {
    n: 1,
    big: 9_007_199_254_740_993n,
    at: AT,
    raw: new Uint8Array([0, 255, 7]),
    half: 0.5,
    text: 'é\n"',
    yes: true,
    inside: { '': 1, a: [1, null, { b: 'x' }] },
  },
  {
    n: -0x80000000,
    big: -1n,
    at: new Date(-1),
    raw: new Uint8Array(0),
    half: -0,
    text: '',
    yes: false,
    inside: [],
  },
  { n: null, big: 5n, at: new Date(0), half: Number.NaN, text: null, inside: { __proto__x: 1 } },
  { n: 7, big: 6n, at: AT, half: Number.NEGATIVE_INFINITY, text: undefined },
]

/** Whether it is thrown at once or rejected. */
async function expectCode(code: ErrorCode, run: () => unknown): Promise<void> {
  await expectError((async () => run())(), code)
}

export function recordStoreContract(of: string, open: () => Promise<OpenStore>): void {
  let names = 0
  const fresh = (): string => `contract-${process.pid}-${names++}`

  describe(of, () => {
    test('gives values back as they were appended, of every type', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh())
      expect(await log.append(RECORDS)).toEqual({ partition: 0, offset: 0, count: 4 })
      const rows = await log.read().toArray()
      expect(rows.map(({ _time, ...row }) => row)).toEqual([
        { ...RECORDS[0], _offset: 0, _partition: 0 },
        { ...RECORDS[1], _offset: 1, _partition: 0, big: -1 },
        { ...RECORDS[2], _offset: 2, _partition: 0, big: 5, raw: null, yes: null },
        {
          ...RECORDS[3],
          _offset: 3,
          _partition: 0,
          big: 6,
          raw: null,
          yes: null,
          text: null,
          inside: null,
        },
      ])
      expect(Object.is(rows[1]?.['half'], -0)).toBe(true)
      expect(rows[0]?.['_time']).toBeInstanceOf(Date)
      expect((await log.describe()).schema.map(({ name, type }) => `${name}:${type}`)).toEqual([
        'n:int32',
        'big:int64',
        'at:timestamp[ms]',
        'raw:binary',
        'half:float64',
        'text:utf8',
        'yes:bool',
        'inside:json',
      ])
    })

    test('takes whole floats beyond 2^53 beside values that JSON has no word for', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh(), { schema: { at: 'timestamp[ms]', x: 'float64' } })
      await log.append([
        { at: AT, x: 1e20 },
        { at: AT, x: -(2 ** 53) },
      ])
      expect((await log.read().toArray()).map(({ x }) => x)).toEqual([1e20, -(2 ** 53)])
    })

    test('gives decimals, dates, lists, structs and fine times as their types say', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh(), {
        schema: {
          price: 'decimal(20,2)',
          day: 'date',
          fine: 'timestamp[ns]',
          ids: 'list<int64>',
          place: 'struct<x:float32,at:timestamp[ms]>',
          wide: 'uint64',
        },
      })
      const record = {
        price: '123456789012345678.90',
        day: new Date('2026-01-31'),
        fine: 1_769_860_800_000_000_001n,
        ids: [1, 9_007_199_254_740_993n, null],
        place: { x: 0.5, at: AT },
        wide: 2n ** 64n - 1n,
      }
      await log.append(record)
      const { _offset, _partition, _time, ...row } = (await log.get(0)) ?? {}
      expect(row).toEqual(record)
      expect([_offset, _partition]).toEqual([0, 0])
    })

    test('takes tables and record batches of Arrow', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh())
      const columns = { n: Int32Array.from([1, 2]), big: BigInt64Array.from([3n, 2n ** 60n]) }
      const table = tableFromArrays({ ...columns, text: ['a', null] })
      expect(await log.append(table)).toMatchObject({ offset: 0, count: 2 })
      expect(await log.append(table.batches[0] ?? table)).toMatchObject({ offset: 2, count: 2 })
      const rows = await log.read({ columns: ['n', 'big', 'text'] }).toArray()
      const both = [
        { n: 1, big: 3, text: 'a' },
        { n: 2, big: 2n ** 60n, text: null },
      ]
      expect(rows).toEqual([...both, ...both])
    })

    test('reads by offset, by time, the newest, some columns, in batches', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh(), { timeColumn: 'at' })
      const at = (n: number): Date => new Date(AT.getTime() + n * 1_000)
      await log.append(Array.from({ length: 100 }, (_, n) => ({ n, at: at(n) })))
      const numbers = async (options: Parameters<typeof log.read>[0]): Promise<unknown[]> =>
        (await log.read(options).toArray()).map(({ n }) => n)
      expect(await numbers({ from: 97 })).toEqual([97, 98, 99])
      expect(await numbers({ from: 3, to: 5 })).toEqual([3, 4])
      expect(await numbers({ since: at(98) })).toEqual([98, 99])
      expect(await numbers({ until: at(2).toISOString(), limit: 1 })).toEqual([0])
      expect(await numbers({ last: 2 })).toEqual([98, 99])
      expect(await numbers({ limit: 0 })).toEqual([])
      expect(await log.range()).toEqual({ start: 0, end: 100 })
      let next = 0
      for await (const batch of log.read({ columns: ['_offset', 'n'] })) {
        expect(batch).toMatchObject({ partition: 0, baseOffset: next, tier: 'memory' })
        expect(batch.fields.map(({ name }) => name)).toEqual(['_offset', 'n'])
        expect(batch.column('n')).toMatchObject({
          type: 'int32',
          length: batch.length,
          nullCount: 0,
        })
        expect(batch.column('n').get(0)).toBe(next)
        expect([...batch.rows()]).toEqual(batch.toRows())
        next += batch.length
      }
      expect(next).toBe(100)
      expect(await log.get(42, { columns: ['n'] })).toEqual({ n: 42 })
      expect(await log.get(100)).toBeNull()
      expect(await db.consume(log.name, 98, 10)).toEqual([
        { n: 98, at: at(98), _offset: 98, _partition: 0, _time: at(98) },
        { n: 99, at: at(99), _offset: 99, _partition: 0, _time: at(99) },
      ])
    })

    test('follows a log until its reader leaves, or its signal fires', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh())
      await log.append({ n: 0 })
      const seen: unknown[] = []
      for await (const { n, m } of log.read({ live: true }).rows()) {
        seen.push(n)
        // Another column on the way.
        if (n === 0) await log.append({ n: 1, m: 'new' })
        if (n === 1) expect(m).toBe('new')
        if (n === 1) break
      }
      expect(seen).toEqual([0, 1])
      const controller = new AbortController()
      const reading = log.read({ live: true, from: 2, signal: controller.signal }).toArray()
      controller.abort()
      await reading.then(
        (rows) => expect(rows).toEqual([]),
        (error: unknown) => expect(error).toMatchObject({ kind: 'aborted' }),
      )
    })

    test('keeps the order of appends that are made without waiting, and each whole', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh())
      const appends = Array.from({ length: 200 }, (_, n) => log.append([{ n }, { n }]))
      const results = await Promise.all(appends)
      expect(results).toEqual(results.map((_, n) => ({ partition: 0, offset: n * 2, count: 2 })))
      const rows = await log.read({ columns: ['n'] }).toArray()
      expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: 400 }, (_, row) => row >> 1))
    })

    test('refuses one append among many, and not the others', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh(), { schema: { n: 'int32' } })
      const results = await Promise.allSettled([0, 'one', 2].map((n) => log.append({ n })))
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
      expect(results[1]).toMatchObject({ reason: { kind: 'invalid', code: 'schema_mismatch' } })
      expect((await log.read({ columns: ['n'] }).toArray()).map(({ n }) => n)).toEqual([0, 2])
    })

    test('sends records of a key to its partition, and answers with the newest of each', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh(), { partitions: 3, keyColumn: 'id' })
      const places = new Map<number, number>()
      for (const version of [1, 2]) {
        for (const id of [1, 2, 3, 4, 5]) {
          const { partition } = await log.append({ id, version })
          expect(partition).toBe(places.get(id) ?? partition)
          places.set(id, partition)
        }
      }
      await log.append({ id: 3, _deleted: true })
      expect(new Set(places.values()).size).toBeGreaterThan(1)
      const latest = await log.latest({ columns: ['id', 'version'] }).toArray()
      expect(latest.toSorted((a, b) => Number(a['id']) - Number(b['id']))).toEqual(
        [1, 2, 4, 5].map((id) => ({ id, version: 2 })),
      )
      expect(await log.getLatest(4, { columns: ['version'] })).toEqual({ version: 2 })
      expect(await log.getLatest(3)).toBeNull()
      await expectCode('argument_invalid', () =>
        log.append([{ id: 1 }, { id: 2 }, { id: 3 }, { id: 4 }]),
      )
      const all = await log.read({ columns: ['id'] }).toArray()
      expect(all).toHaveLength(11)
      await expectCode('argument_invalid', () => log.read({ from: 1 }).toArray())
    })

    test('spreads appends without a key over the partitions', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh(), { partitions: 2 })
      const results = await Promise.all([0, 1, 2, 3].map((n) => log.append({ n })))
      expect(results.filter(({ partition }) => partition === 1)).toHaveLength(2)
      expect(await log.append({ n: 4 }, { partition: 1 })).toMatchObject({ partition: 1 })
    })

    test('applies a producer once, fences it, and takes an append where it is expected', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh())
      const producer = { producerId: 'p', epoch: 3, sequence: 0 }
      expect(await log.append({ n: 0 }, { producer })).toEqual({
        partition: 0,
        offset: 0,
        count: 1,
      })
      expect(await log.append({ n: 0 }, { producer })).toEqual({
        partition: 0,
        offset: 0,
        count: 1,
        isDuplicate: true,
      })
      await expectCode('producer_fenced', () =>
        log.append({ n: 0 }, { producer: { ...producer, epoch: 2 } }),
      )
      await expectCode('producer_sequence_gap', () =>
        log.append({ n: 0 }, { producer: { ...producer, sequence: 5 } }),
      )
      expect(await log.append({ n: 1 }, { expectedOffset: 1 })).toMatchObject({ offset: 1 })
      await expectCode('offset_unexpected', () => log.append({ n: 2 }, { expectedOffset: 1 }))
      expect((await log.read().toArray()).map(({ n }) => n)).toEqual([0, 1])
    })

    test('answers SQL in types of JavaScript, with parameters', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh())
      await log.append([1, 2, 3].map((n) => ({ n, moment: AT, raw: new Uint8Array([n]) })))
      const result = await db.query(
        `SELECT sum(n) AS total, max(moment) AS moment, max(raw) AS raw, 1.50::DECIMAL(10,2) AS price,
           9007199254740993::BIGINT AS big, count(*) AS n, 1 AS n, NULL AS none, [1, 2] AS list,
           $b::HUGEINT AS huge, $given::TIMESTAMP AS given
         FROM "${log.name}" WHERE n >= $from`,
        { from: 2, b: 2n ** 70n, given: AT },
      )
      expect(result.columns.slice(0, 3).map(({ type }) => type)).toEqual([
        'HUGEINT',
        'TIMESTAMP_MS',
        'BLOB',
      ])
      expect(await result.toArray()).toEqual([
        {
          total: 5,
          moment: AT,
          raw: new Uint8Array([3]),
          price: '1.50',
          big: 9_007_199_254_740_993n,
          n: 2,
          'n:1': 1,
          none: null,
          list: [1, 2],
          huge: 2n ** 70n,
          given: AT,
        },
      ])
      expect((await result.stats).recordsByTier.memory).toBe(3)
      await expectCode('argument_invalid', () => result.toArray())
    })

    test('gives rows of SQL as they come, and ends where the reader leaves', async () => {
      const { db } = await open()
      await using result = await db.query('SELECT range AS n FROM range(1000000)')
      let rows = 0
      for await (const { n } of result) {
        expect(n).toBe(rows)
        if (++rows === 5_000) break
      }
      expect(rows).toBe(5_000)
      const all = await (await db.query('SELECT range AS n FROM range(20000)')).toArray()
      expect(all.at(-1)).toEqual({ n: 19_999 })
      expect(await (await db.query('SELECT 1 AS n WHERE false')).toArray()).toEqual([])
    })

    test('prepares a statement, and runs it at once as often as it is asked to', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh())
      await log.append([{ n: 1 }, { n: 2 }, { n: 3 }])
      const above = await db.prepare(`SELECT count(*) AS c FROM "${log.name}" WHERE n > $least`)
      expect(above).toMatchObject({ parameters: ['least'], columns: null })
      const answers = [0, 1, 2, 3].map(async (least) => {
        const result = await above.query({ least }, { timeout: '1m' })
        return (await result.toArray())[0]?.['c']
      })
      expect(await Promise.all(answers)).toEqual([3, 2, 1, 0])
      const plain = await db.prepare(`SELECT n FROM "${log.name}" ORDER BY n LIMIT 1`)
      expect(plain.columns).toEqual([{ name: 'n', type: 'INTEGER' }])
      expect(await (await plain.query()).toArray()).toEqual([{ n: 1 }])
      await expectCode('query_invalid', () => db.prepare('SELECT nothing'))
      await expectCode('query_forbidden', () => db.prepare('DROP TABLE t'))
      await expectCode('log_not_found', () => db.prepare(`SELECT * FROM "${fresh()}"`))
      await expectCode('argument_invalid', () => db.prepare(5 as never))
      await expectCode('argument_invalid', () => db.prepare('SELECT 1', { maxRows: 1 } as object))
      await expectCode('aborted', () => db.prepare('SELECT 1', { signal: AbortSignal.abort() }))
    })

    test('makes a log on its first use, and one for what expires', async () => {
      const { db } = await open()
      const [first, second] = [fresh(), fresh()]
      await Promise.all([0, 1, 2].map((n) => db.produce(first, { n })))
      expect(new Set((await db.consume(first, 0, 10)).map(({ n }) => n))).toEqual(
        new Set([0, 1, 2]),
      )
      await db.produceWithTtl(second, { n: 1 }, '1h')
      expect((await db.log(second).describe()).policy.mode).toBe('memory')
      expect((await db.logs()).map(({ name }) => name)).toEqual(
        expect.arrayContaining([first, second]),
      )
    })

    test('alters a log, deletes it, and says what is there', async () => {
      const { db } = await open()
      const name = fresh()
      const log = await db.createLog(name, { storage: { mode: 'memory' } })
      await log.append({ n: 1 })
      await db.alterLog(name, { storage: { evictionPolicy: 'lru' } })
      expect((await db.log(name).describe()).policy.evictionPolicy).toBe('lru')
      const status = await db.status()
      expect(status.logs.find((one) => one.name === name)?.partitions[0]).toMatchObject({
        startOffset: 0,
        endOffset: 1,
      })
      expect((await db.memoryMetrics()).recordCount).toBeGreaterThan(0)
      await db.deleteLog(name)
      await db.createLog(name)
      // Another log of the name, which knows of no earlier append.
      expect(await db.log(name).append({ n: 'text' })).toMatchObject({ offset: 0 })
      expect(await db.log(name).get(0)).toMatchObject({ n: 'text' })
    })

    test('names what is wrong by the same kind and code', async () => {
      const { db } = await open()
      const log = await db.createLog(fresh(), { schema: { n: 'int32' } })
      const missing = fresh()
      await expectCode('log_exists', () => db.createLog(log.name))
      await expectCode('log_name_invalid', () => db.createLog('../x'))
      await expectCode('config_invalid', () =>
        db.createLog(fresh(), { storage: { mode: 'none' as 'memory' } }),
      )
      await expectCode('log_not_found', async () => db.log(missing).append({ n: 1 }))
      await expectCode('log_not_found', async () => db.log(missing).read().toArray())
      await expectCode('log_not_found', () => db.deleteLog(missing))
      await expectCode('schema_mismatch', () => log.append({ n: 'x' }))
      await expectCode('schema_mismatch', () => log.append({ n: () => 1 }))
      await expectCode('record_invalid', () => log.append(new Map()))
      await expectCode('record_invalid', () => log.append([1] as never))
      await expectCode('argument_invalid', () => log.append({ n: 1 }, { ack: 'none' as 'disk' }))
      await expectCode('argument_invalid', async () => log.read({ limit: -1 }).toArray())
      await expectCode('argument_invalid', async () =>
        log.read({ nothing: 1 } as { limit?: number }).toArray(),
      )
      await expectCode('partition_not_found', () => log.append({ n: 1 }, { partition: 7 }))
      await expectCode('query_invalid', () => db.query('SELECT nothing'))
      await expectCode('query_invalid', () => db.query('SELECT $1', [(() => 1) as never]))
      await expectCode('query_invalid', () => db.query('SELECT 1\0'))
      await expectCode('query_invalid', () => db.query(';'))
      await expectCode('argument_invalid', () => db.query(5 as never))
      await expectCode('argument_invalid', () => db.query('SELECT $1', null as never))
      await expectCode('argument_invalid', () => db.query('SELECT 1', [], null as never))
      await expectCode('argument_invalid', () => db.query('SELECT 1', [], { signal: 5 as never }))
      await expectCode('query_forbidden', () => db.query("SELECT * FROM read_csv('x')"))
      await expectCode('query_limit', async () =>
        (await db.query('SELECT * FROM range(1000)', [], { maxRows: 10 })).toArray(),
      )
      await expectCode('query_limit', async () =>
        (await db.query('SELECT * FROM range(1000)', [], { maxBytes: 100 })).toArray(),
      )
      const fired = { signal: AbortSignal.abort() }
      await expectCode('aborted', () => log.append({ n: 1 }, fired))
      await expectCode('aborted', async () => log.read(fired).toArray())
      await expectCode('aborted', () => db.query('SELECT 1', [], fired))
    })

    test('pins a moment by name, reads as of it, and forgets it', async () => {
      const { db, isDurable } = await open()
      if (!isDurable) return
      const log = await db.createLog(fresh())
      const name = fresh()
      await log.append({ n: 1 })
      const made = await db.snapshot({ name, logs: [log.name] })
      expect(made).toMatchObject({ name, logs: [{ name: log.name }] })
      await log.append({ n: 2 })
      expect((await log.read({ asOf: name }).toArray()).map(({ n }) => n)).toEqual([1])
      const counted = await db.query(`SELECT count(*) AS n FROM "${log.name}"`, [], { asOf: name })
      expect(await counted.toArray()).toEqual([{ n: 1 }])
      const fork = await db.fork(log.name, fresh(), { snapshot: name })
      expect((await fork.read().toArray()).map(({ n }) => n)).toEqual([1])
      expect((await db.snapshots()).map((snapshot) => snapshot.name)).toContain(name)
      await expectCode('snapshot_exists', () => db.snapshot({ name }))
      await db.deleteSnapshot(name)
      await expectCode('snapshot_not_found', () => db.deleteSnapshot(name))
    })
  })
}
