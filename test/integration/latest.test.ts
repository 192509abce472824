/** The latest view of keyed logs: in SQL and by the API, over all tiers, live, as of a moment and after a replay. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { randomFraction, seededRandom } from '../../src/base/random.ts'
import { Stratalog, VirtualClock } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const rowsOf = async (db: Stratalog, sql: string, parameters: readonly (string | number)[] = []) =>
  (await (await db.query(sql, parameters)).toJson()).rows

describe('log$latest in SQL', () => {
  test('holds the newest record of each key by offset, without what was deleted and what has no key', async () => {
    await using db = await Stratalog.memoryOnly()
    const users = await db.createLog('users', { keyColumn: 'id', timeColumn: 'at' })
    const at = (second: number): Date => new Date(Date.UTC(2026, 0, 1, 0, 0, second))
    await users.append([
      { id: 'a', name: 'Ann', at: at(9), _deleted: false },
      { id: 'b', name: 'Bob', at: at(1), _deleted: null },
      { id: 'c', name: 'Cat', at: at(1), _deleted: false },
      { id: null, name: 'nobody', at: at(1), _deleted: false },
      { id: 'a', name: 'Anna', at: at(3), _deleted: false },
      { id: 'b', name: null, at: at(4), _deleted: true },
    ])
    const all = 'SELECT id, name, _offset FROM "users$latest" ORDER BY id'
    expect(await rowsOf(db, all)).toEqual([
      ['a', 'Anna', 4],
      ['c', 'Cat', 2],
    ])
    await users.append({ id: 'b', name: 'Bea', at: at(0), _deleted: false })
    expect(await rowsOf(db, all)).toEqual([
      ['a', 'Anna', 4],
      ['b', 'Bea', 6],
      ['c', 'Cat', 2],
    ])
    const joined = `SELECT l.name, count(*) FROM "users$latest" l JOIN users u USING (id)
      WHERE l.id <> ? GROUP BY ALL ORDER BY 1`
    expect(await rowsOf(db, joined, ['c'])).toEqual([
      ['Anna', 2],
      ['Bea', 3],
    ])
    expect(await rowsOf(db, 'SELECT * FROM users$latest WHERE _offset < 3')).toHaveLength(1)
    expect(await rowsOf(db, 'EXPLAIN SELECT * FROM users$latest')).toHaveLength(1)
    await expectError(db.query('SELECT * FROM "user$latest"'), 'log_not_found')
  })

  test('of a log without a key column is refused, and only where it is asked for', async () => {
    await using db = await Stratalog.memoryOnly()
    const plain = await db.createLog('plain')
    await plain.append({ n: 1 })
    await expectError(db.query('SELECT * FROM "plain$latest"'), 'query_invalid')
    expect(await rowsOf(db, `SELECT 'plain$latest', n FROM plain`)).toEqual([['plain$latest', 1]])
  })
})

describe('log.latest', () => {
  test('reads columns, a partition, so many records, one key, and hashes', async () => {
    await using db = await Stratalog.memoryOnly()
    const users = await db.createLog('users', { keyColumn: 'id', partitions: 2 })
    const offsets = new Map<unknown, number>()
    for (const id of [7, 8, 9, 7, null, 10]) {
      const partition = users.partitionOf(id)
      const name = `user ${id}`
      const { offset } = await users.append({ id, name, _deleted: id === 9 }, { partition })
      offsets.set(id, offset)
    }
    const rows = await users.latest({ columns: ['id', '_key', '_tier'] }).toArray()
    expect(rows.toSorted((a, b) => Number(a['id']) - Number(b['id']))).toEqual(
      [7, 8, 10].map((id) => ({ id, _key: String(id), _tier: 'memory' })),
    )
    const parts = [0, 1].map((partition) => users.latest({ partition }).toArray())
    expect((await Promise.all(parts)).flat()).toEqual(await users.latest().toArray())
    expect(await users.latest({ limit: 2 }).toArray()).toHaveLength(2)
    expect(await users.latest({ limit: 0 }).toArray()).toEqual([])
    for await (const batch of users.latest()) {
      const lazy: unknown[] = []
      for (const row of batch.lazyRows()) lazy.push(row.toObject())
      expect(lazy).toEqual(batch.toRows())
      const table = await batch.toArrow()
      const read = [...(table.getChild('_offset') ?? [])].map(Number)
      expect(read).toEqual(batch.toRows().map(({ _offset }) => _offset))
      if (batch.offsets !== null) expect([...batch.offsets]).toEqual(read)
    }
    expect(await users.getLatest(7)).toMatchObject({ id: 7, _offset: offsets.get(7) })
    expect(await users.getLatest(8, { columns: ['name'] })).toEqual({ name: 'user 8' })
    for (const none of [9, 11, null]) expect(await users.getLatest(none)).toBeNull()
    await expectError(users.getLatest('seven'), 'argument_invalid')
    await expectError(users.latest({ partition: 2 }).toArray(), 'partition_not_found')
    await expectError(users.latest({ columns: ['none'] }).toArray(), 'argument_invalid')
    expect(() => users.latest({ last: 1 } as object)).toThrow('There is no option "last"')
    expect(() => users.latest({ limit: -1 })).toThrow('limit')
    const aborted = AbortSignal.abort()
    await users.append(
      { id: 12, name: 'late', _deleted: false },
      { partition: users.partitionOf(12) },
    )
    await expectError(users.latest({ signal: aborted }).toArray(), 'aborted')
    const plain = await db.createLog('plain')
    expect(() => plain.latest()).toThrow('has no key column')
    await expectError(plain.getLatest(1), 'argument_invalid')
    await expectError(plain.latestHash(), 'argument_invalid')
    const empty = await db.createLog('empty', { keyColumn: 'id' })
    expect(await empty.latest().toArray()).toEqual([])
    expect(await empty.getLatest(1)).toBeNull()
    expect(await rowsOf(db, 'SELECT * FROM "empty$latest"')).toEqual([])
  })

  test('holds what it reads until it is left, and no longer', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '1MB' })
    const users = await db.createLog('users', { keyColumn: 'id' })
    const rows = (first: number) => Array.from({ length: 500 }, (_, n) => ({ id: first + n }))
    for (let first = 0; first < 2_000; first += 500) await users.append(rows(first))
    for await (const row of users.latest().rows()) {
      expect(row['id']).toBe(0)
      break
    }
    // Nothing of it is leased: all of it can go for what comes.
    for (let first = 0; first < 100_000; first += 500) await users.append(rows(first))
    const { usedBytes, maxBytes } = db.memoryMetrics()
    expect(usedBytes).toBeLessThanOrEqual(maxBytes)
    const view = await users.latest({ limit: 1 }).toArray()
    expect(view).toHaveLength(1)
    const iterator = users.latest()[Symbol.asyncIterator]()
    await iterator.next()
    await db.close()
    await iterator.return?.()
  })
})

/** Key, number, partition and offset of a record, and when it was appended. */
interface Known {
  readonly id: string | null
  readonly n: number
  readonly partition: number
  readonly offset: number
  readonly isDeleted: boolean
  readonly time: number
}

type Shown = readonly [string | null, number, number, number]

/** What a Map makes of the records that were there at a time. */
function modelAt(records: readonly Known[], time: number): readonly Shown[] {
  const model = new Map<string, Shown>()
  for (const { id, n, partition, offset, isDeleted, time: appended } of records) {
    if (id === null || appended > time) continue
    if (isDeleted) model.delete(id)
    else model.set(id, [id, n, partition, offset])
  }
  return [...model.values()].toSorted(([a], [b]) => ((a ?? '') < (b ?? '') ? -1 : 1))
}

const SHOWN = 'SELECT id, n, _partition, _offset FROM "users$latest" ORDER BY id'

type Readable = Pick<Stratalog, 'query'> & {
  log(name: string): Pick<ReturnType<Stratalog['log']>, 'latest' | 'latestHash'>
}

/** That SQL and the API give these records. */
async function expectLatest(
  db: Readable,
  expected: readonly Shown[],
  asOf: { readonly asOf?: number } = {},
): Promise<void> {
  const result = await (await db.query(SHOWN, [], asOf)).toJson()
  expect(result.rows).toEqual(expected)
  const columns = ['id', 'n', '_partition', '_offset']
  const read: Shown[] = []
  for await (const row of db
    .log('users')
    .latest({ columns, ...asOf })
    .rows())
    read.push([
      row['id'] as string,
      Number(row['n']),
      Number(row['_partition']),
      Number(row['_offset']),
    ])
  expect(read.toSorted(([a], [b]) => ((a ?? '') < (b ?? '') ? -1 : 1))).toEqual(expected)
}

describe.each(['arrow', 'parquet'] as const)('over all tiers, in %s segments', (segmentFormat) => {
  test('the latest view is what a Map makes of the log, now and as of every moment', async () => {
    const random = seededRandom(segmentFormat === 'arrow' ? 11 : 12)
    const below = (limit: number): number => Math.floor(randomFraction(random) * limit)
    const clock = new VirtualClock(Date.UTC(2026, 0, 1))
    const archive = pathToFileURL(join(root, 'archive')).href
    await using db = await Stratalog.open({ dataDir: join(root, 'data'), archive }, { clock })
    const users = await db.createLog('users', {
      keyColumn: 'id',
      partitions: 2,
      storage: {
        segmentFormat,
        memoryTtl: '3s',
        diskAfter: '1s',
        archiveAfter: '5s',
        diskTtl: '6s',
      },
    })
    const records: Known[] = []
    const moments: number[] = []

    const append = async (round: number): Promise<void> => {
      const count = 1 + below(round % 7 === 0 ? 400 : 40)
      const rows = Array.from({ length: count }, (_, index) => {
        const id = below(20) === 0 ? null : `user ${below(200)} with a long name`
        return { id, n: round * 1_000 + index, isDeleted: below(5) === 0 }
      })
      for (const partition of [0, 1]) {
        const own = rows.filter(({ id }) => users.partitionOf(id) === partition)
        if (own.length === 0) continue
        const { offset } = await users.append(
          own.map(({ id, n, isDeleted }) => ({
            id,
            n,
            _deleted: isDeleted ? true : [false, null][n % 2],
            ...(round > 12 ? { added: `of round ${round}` } : {}),
          })),
          { partition },
        )
        const time = clock.now()
        for (const [index, row] of own.entries())
          records.push({ ...row, partition, offset: offset + index, time })
      }
      moments.push(clock.now())
      clock.advance(1_000)
    }

    const hashes: string[] = []
    const tiers = new Set<unknown>()
    for (let round = 0; round < 24; round++) {
      await append(round)
      hashes.push(await users.latestHash())
      const moved = round % 2 === 1 ? db.tier.run() : null
      await expectLatest(db, modelAt(records, Infinity))
      await moved
      for (const row of await rowsOf(db, 'SELECT DISTINCT _tier FROM "users$latest"'))
        tiers.add(row[0])
      const moment = below(moments.length)
      const asOf = moments[moment] ?? 0
      await expectLatest(db, modelAt(records, asOf), { asOf })
      expect(await users.latestHash({ asOf })).toBe(hashes[moment])
    }
    expect(tiers).toEqual(new Set(['disk', 'memory', 'object']))
    await db.tier.now({ to: 'object' })
    await expectLatest(db, modelAt(records, Infinity))

    await using reader = await Stratalog.openArchive(archive)
    await expectLatest(reader, modelAt(records, Infinity))
    await using replayed = await Stratalog.memoryOnly()
    const middle = 17
    const until = (moments[middle] ?? 0) + 1
    const report = await replayed.replayFromArchive(archive, { until })
    await expectLatest(replayed, modelAt(records, until))
    expect(report.logs.map(({ latestHash }) => latestHash)).toEqual([hashes[middle]])
    const passing = { into: () => {} }
    const passed = await replayed.replayFromArchive(archive, passing)
    expect(passed.logs.map(({ latestHash }) => latestHash)).toEqual([null])
    expect(await replayed.log('users').latestHash()).toBe(hashes[middle])
    expect(await reader.log('users').latestHash({ asOf: until })).toBe(hashes[middle])
  })
})

test('the record before is the newest again when the last one of its key is over', async () => {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1))
  await using db = await Stratalog.memoryOnly({}, { clock })
  const users = await db.createLog('users', { keyColumn: 'id' })
  await users.append({ id: 'a', n: 1 }, { ttl: '1h' })
  await users.append({ id: 'a', n: 2 }, { ttl: '1s' })
  expect(await users.getLatest('a')).toMatchObject({ n: 2 })
  clock.advance(2_000)
  expect(await users.getLatest('a')).toMatchObject({ n: 1 })
  expect(await rowsOf(db, 'SELECT id, n FROM "users$latest"')).toEqual([['a', 1]])
})
