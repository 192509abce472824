/**
 * The engine as its users have it: modes, appends, reads, keys, time, and what it refuses. Real files, real threads.
 */
import { Table, tableFromArrays, tableToIPC, vectorFromArray } from 'apache-arrow'
import { describe, expect, test } from 'vitest'
import { VirtualClock, type StratalogOptions, Stratalog } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const AT_ONCE = { memoryTtl: 0, diskAfter: 0, archiveAfter: 0, diskTtl: 0 }

async function directories(): Promise<
  Required<Pick<StratalogOptions, 'dataDir' | 'archive' | 'logLevel'>>
> {
  const root = await temporaryDirectory()
  return { dataDir: `${root}/data`, archive: `file://${root}/archive`, logLevel: 'silent' }
}

function rows(count: number, from = 0): { n: number }[] {
  return Array.from({ length: count }, (_, index) => ({ n: from + index }))
}

async function numbers(
  stream: AsyncIterable<unknown> & { toArray(): Promise<Record<string, unknown>[]> },
): Promise<unknown[]> {
  return (await stream.toArray()).map((row) => row['n'])
}

describe('a log in each mode', () => {
  test('in RAM only needs nothing and keeps nothing', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('clicks')
    expect(log.describe()).toMatchObject({
      schema: [],
      partitions: 1,
      policy: { mode: 'memory', ack: 'memory', wal: false },
    })
    expect(await log.append({ n: 1 })).toEqual({ partition: 0, offset: 0, count: 1 })
    expect(await log.append(rows(3, 2))).toEqual({ partition: 0, offset: 1, count: 3 })
    expect(await numbers(log.read())).toEqual([1, 2, 3, 4])
    await expectError(db.tier.now(), 'argument_invalid')
  })

  test('persistent and hybrid are there again after closing, with and without a WAL', async () => {
    const options = await directories()
    const storages = {
      persistent: { mode: 'persistent' },
      hybrid: {},
      bare: { wal: false, ack: 'memory' },
      direct: { localDisk: false },
      'direct-bare': { localDisk: false, wal: false, ack: 'memory' },
      ram: { mode: 'memory' },
    } as const
    const db = await Stratalog.open(options)
    for (const [name, storage] of Object.entries(storages)) {
      const log = await db.createLog(name, { storage })
      await log.append(rows(100))
      await log.append(rows(5, 100))
    }
    await db.close()
    await using again = await Stratalog.open(options)
    for (const name of Object.keys(storages)) {
      const expected = name === 'ram' ? [] : rows(105).map(({ n }) => n)
      expect(await numbers(again.log(name).read()), name).toEqual(expected)
    }
    const places = again
      .status()
      .logs.map(({ name, partitions }) => [
        name,
        partitions[0]?.tiers.disk.records,
        partitions[0]?.tiers.object.records,
      ])
    expect(places).toEqual([
      ['persistent', 0, 0],
      ['hybrid', 0, 0],
      ['bare', 105, 0],
      ['direct', 0, 0],
      ['direct-bare', 0, 105],
      ['ram', 0, 0],
    ])
  })

  test('without a local disk puts segments straight into the archive', async () => {
    const options = await directories()
    await using db = await Stratalog.open(options)
    const log = await db.createLog('direct', { storage: { ...AT_ONCE, localDisk: false } })
    await log.append(rows(10))
    expect(await db.tier.now()).toMatchObject({
      moved: [{ fromTier: 'memory', toTier: 'object' }],
      pending: 0,
    })
    await db.tier.run()
    expect(db.status().logs[0]?.partitions[0]?.tiers).toMatchObject({
      memory: { records: 0 },
      disk: { records: 0, segments: 0 },
      object: { records: 10, segments: 1 },
    })
    expect(await numbers(log.read())).toEqual(rows(10).map(({ n }) => n))
  })
})

describe('an append', () => {
  test('takes records, Arrow tables and batches, IPC of them, and columns', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('mixed')
    const table = tableFromArrays({ n: Int32Array.of(1, 2) }).assign(
      new Table({ word: vectorFromArray(['a', null]) }),
    )
    await log.append({ n: 0, word: 'zero' })
    await log.append(table)
    const [batch] = table.batches
    if (batch !== undefined) await log.append(batch)
    expect(tableToIPC(table).length).toBeGreaterThan(0)
    const values = new Uint8Array(Int32Array.of(7, 8).buffer)
    const column = {
      type: 'int32',
      length: 2,
      nullCount: 0,
      validity: null,
      offsets: null,
      values,
      dictionary: null,
    } as const
    await log.append({
      fields: [{ name: 'n', type: 'int32', nullable: true }],
      columns: [column],
      length: 2,
    })
    expect(await log.read({ columns: ['n', 'word'] }).toArray()).toEqual([
      { n: 0, word: 'zero' },
      { n: 1, word: 'a' },
      { n: 2, word: null },
      { n: 1, word: 'a' },
      { n: 2, word: null },
      { n: 7, word: null },
      { n: 8, word: null },
    ])
  })

  test('refuses columns that say more than they have, before anything is read of them', async () => {
    const { dataDir } = await directories()
    await using db = await Stratalog.open({ dataDir })
    const log = await db.createLog('columns')
    const field = { name: 'n', type: 'int32', nullable: true } as const
    const column = {
      type: 'int32',
      length: 1,
      nullCount: 0,
      validity: null,
      offsets: null,
      values: new Uint8Array(4),
      dictionary: null,
    } as const
    await expectError(
      log.append({ fields: [field], columns: [column], length: 5 }),
      'input_invalid',
    )
    await expectError(
      log.append({ fields: [field], columns: [{ ...column, length: 5 }], length: 5 }),
      'input_invalid',
    )
    await expectError(
      log.append({ fields: [field, field], columns: [column], length: 1 }),
      'input_invalid',
    )
    await expectError(
      log.append({ fields: [{ ...field, name: '_offset' }], columns: [column], length: 1 }),
      'schema_invalid',
    )
    await log.append({ fields: [field], columns: [column], length: 1 })
    expect(await numbers(log.read())).toEqual([0])
  })

  test('refuses what is no record, and options that mean nothing', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('strict', { partitions: 2, keyColumn: 'k' })
    for (const given of [null, undefined, 5, 'text', [null], ['text'], [[1]]]) {
      await expectError(log.append(given as never), 'record_invalid')
    }
    await expectError(log.append([]), 'argument_invalid')
    await expectError(log.append({ k: 1 }, { partition: 2 }), 'partition_not_found')
    await expectError(log.append({ k: 1 }, { ack: 'twice' as never }), 'argument_invalid')
    await expectError(log.append({ k: 1 }, { ack: 'disk' }), 'argument_invalid')
    await expectError(log.append({ k: 1 }, { ack: 'object' }), 'argument_invalid')
    expect(await log.read({ partition: 0 }).toArray()).toEqual([])
  })

  test('applies nothing when a getter throws in the middle, and goes on after', async () => {
    const { dataDir } = await directories()
    await using db = await Stratalog.open({ dataDir })
    const log = await db.createLog('orders')
    await log.append({ n: 1 })
    const bad = {
      get n(): number {
        throw new Error('from the getter')
      },
    }
    await expect(log.append([{ n: 2 }, { n: 3, more: 'x' }, bad])).rejects.toThrow(
      'from the getter',
    )
    await log.append({ n: 4 })
    expect(await numbers(log.read())).toEqual([1, 4])
    expect(log.describe().schema.map(({ name }) => name)).toEqual(['n'])
  })

  test('that waits for the archive is there when it resolves, and shares the upload', async () => {
    await using db = await Stratalog.open(await directories())
    const log = await db.createLog('safe', { storage: { ack: 'object' } })
    const results = await Promise.all([
      log.append({ n: 1 }),
      log.append({ n: 2 }),
      log.append({ n: 3 }),
    ])
    expect(results.map(({ offset }) => offset)).toEqual([0, 1, 2])
    expect(db.status().logs[0]?.partitions[0]).toMatchObject({
      endOffset: 3,
      archivedOffset: 3,
      tiers: { object: { segments: 1 } },
    })
    const other = await db.createLog('mostly')
    await other.append({ n: 1 })
    await other.append({ n: 2 }, { ack: 'object' })
    expect(db.status().logs[1]?.partitions[0]?.archivedOffset).toBe(2)
  })
})

describe('keys and partitions', () => {
  test('a key always goes to one partition, whatever its type', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('keyed', { partitions: 4, keyColumn: 'k' })
    const partitions = new Map<string, Set<number>>()
    for (let round = 0; round < 3; round++) {
      for (const k of ['a', 'b', 'c', 'd', 'e', 'f']) {
        const { partition } = await log.append({ k, round })
        partitions.set(k, (partitions.get(k) ?? new Set()).add(partition))
      }
    }
    expect([...partitions.values()].every((found) => found.size === 1)).toBe(true)
    expect(new Set([...partitions.values()].flatMap((found) => [...found])).size).toBeGreaterThan(1)
    await expectError(log.append([...partitions.keys()].map((k) => ({ k }))), 'argument_invalid')
    const seen = await log.read({ columns: ['_key', '_partition'] }).toArray()
    expect(
      seen.every((row) => partitions.get(String(row['_key']))?.has(Number(row['_partition']))),
    ).toBe(true)
  })

  test('without a key, appends take the partitions in turn, and each is numbered by itself', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('spread', { partitions: 3 })
    const placed = []
    for (const row of rows(7)) placed.push(await log.append(row))
    expect(placed.map(({ partition, offset }) => [partition, offset])).toEqual([
      [0, 0],
      [1, 0],
      [2, 0],
      [0, 1],
      [1, 1],
      [2, 1],
      [0, 2],
    ])
    expect(await log.get(1, { partition: 2 })).toMatchObject({ n: 5, _offset: 1, _partition: 2 })
    expect(() => log.read({ from: 1 })).toThrow(
      expect.objectContaining({ code: 'argument_invalid' }),
    )
    expect(() => log.read({ partition: 3 })).toThrow(
      expect.objectContaining({ code: 'partition_not_found' }),
    )
  })
})

describe('reading', () => {
  test('takes offsets, times, the newest, limits and columns, over every tier alike', async () => {
    const clock = new VirtualClock(Date.parse('2026-01-01T00:00:00Z'))
    await using db = await Stratalog.open(await directories(), { clock })
    const log = await db.createLog('tiers', { storage: AT_ONCE })
    for (const [from, target] of [
      [0, 'object'],
      [10, 'disk'],
      [20, null],
    ] as const) {
      for (const row of rows(10, from)) {
        await log.append(row)
        clock.advance(1_000)
      }
      if (target !== null) await db.tier.now({ to: target })
      if (target === 'object') await db.tier.run()
    }
    const read = (options: Parameters<typeof log.read>[0]): Promise<unknown[]> =>
      numbers(log.read(options))
    const range = (from: number, to: number): unknown[] => rows(to - from, from).map(({ n }) => n)
    expect(await read({})).toEqual(range(0, 30))
    expect(
      new Set((await log.read().toArray()).map((row) => String(row['_offset']))),
    ).toHaveProperty('size', 30)
    expect(await read({ from: 5, to: 25 })).toEqual(range(5, 25))
    expect(await read({ from: 8, to: 8 })).toEqual([])
    expect(await read({ from: 28, to: 99 })).toEqual([28, 29])
    expect(await read({ from: 99 })).toEqual([])
    expect(await read({ last: 12 })).toEqual(range(18, 30))
    expect([await read({ last: 0 }), await read({ last: 99 })]).toEqual([[], range(0, 30)])
    expect(await read({ limit: 13 })).toEqual(range(0, 13))
    expect(await read({ limit: 0 })).toEqual([])
    expect(await read({ from: 5, limit: 20 })).toEqual(range(5, 25))
    expect(
      await read({ since: '2026-01-01T00:00:07Z', until: new Date('2026-01-01T00:00:22Z') }),
    ).toEqual(range(7, 22))
    expect(await read({ since: Date.parse('2026-01-01T00:00:29Z') })).toEqual([29])
    const batches = []
    for await (const batch of log.read({ columns: ['_tier', 'n', '_offset'], limit: 25 }))
      batches.push(...batch.toRows())
    expect(new Set(batches.map((row) => row['_tier']))).toEqual(
      new Set(['object', 'disk', 'memory']),
    )
    expect(Object.keys(batches[0] ?? {})).toEqual(['_tier', 'n', '_offset'])
    await expectError(log.read({ columns: ['nothing'] }).toArray(), 'argument_invalid')
    for (const bad of [{ from: -1 }, { limit: 1.5 }, { from: 5, to: 4 }, { last: NaN }]) {
      expect(() => log.read(bad)).toThrow(expect.objectContaining({ code: 'argument_invalid' }))
    }
    await expectError(log.read({ since: 'yesterday' }).toArray(), 'argument_invalid')
    expect([await log.get(0), await log.get(29)]).toMatchObject([{ n: 0 }, { n: 29 }])
    expect([await log.get(30), await log.get(-1)]).toEqual([null, null])
  })

  test('gives rows of one huge append in one array', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('huge')
    await log.append(rows(300_000))
    expect(await log.read().toArray()).toHaveLength(300_000)
  })

  test('gives the schema of the moment, across tiers and a restart, with nulls for what came later', async () => {
    const options = await directories()
    const db = await Stratalog.open(options)
    const log = await db.createLog('growing', { storage: AT_ONCE })
    await log.append({ a: 1 })
    await db.tier.now()
    await db.tier.run()
    await log.append({ a: 2 ** 40, b: 'x' })
    await db.tier.now({ to: 'disk' })
    await log.append({ a: 3, c: true })
    const expected = [
      { a: 1, b: null, c: null },
      { a: 2 ** 40, b: 'x', c: null },
      { a: 3, b: null, c: true },
    ]
    const columns = ['a', 'b', 'c']
    expect(await log.read({ columns }).toArray()).toEqual(expected)
    await db.close()
    await using again = await Stratalog.open(options)
    expect(await again.log('growing').read({ columns }).toArray()).toEqual(expected)
    await again.log('growing').append({ a: 4, d: [1, { e: 2 }] })
    expect((await again.log('growing').read({ last: 1 }).toArray())[0]).toMatchObject({
      a: 4,
      d: [1, { e: 2 }],
    })
  })

  test('goes on with what comes, and ends by its signal wherever that finds it', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await db.createLog('live')
    await log.append(rows(2))
    const inside = new AbortController()
    const seen: unknown[] = []
    const appending = (async () => {
      for (const row of rows(8, 2)) {
        await log.append(row)
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    for await (const row of log.read({ live: true, signal: inside.signal }).rows()) {
      seen.push(row['n'])
      if (row['n'] === 9) inside.abort()
    }
    expect(seen).toEqual(rows(10).map(({ n }) => n))
    await appending
    const waiting = new AbortController()
    const tail = log.read({ live: true, from: 10, signal: waiting.signal }).toArray()
    await new Promise((resolve) => setImmediate(resolve))
    waiting.abort()
    expect(await tail).toEqual([])
    expect(await numbers(log.read({ live: true, from: 3, to: 5 }))).toEqual([3, 4])
    const aborted = AbortSignal.abort()
    await expectError(log.read({ signal: aborted }).toArray(), 'aborted')
  })

  test('that is left early gives back what it leased', async () => {
    const db = await Stratalog.memoryOnly()
    const log = await db.createLog('left')
    for (let count = 0; count < 5; count++) await log.append(rows(70_000))
    for await (const batch of log.read()) {
      expect(batch.length).toBeGreaterThan(0)
      break
    }
    for await (const row of log.read({ live: true }).rows()) {
      expect(row['n']).toBe(0)
      break
    }
    const { memory } = db.status()
    expect(memory.usedBytes).toBeGreaterThan(0)
    await db.close()
  })

  test('a live tail that evicted records passed says so instead of going on behind them', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '2MB' })
    const log = await db.createLog('fast')
    const text = 'x'.repeat(20_000)
    await log.append({ n: 0, text })
    const slow = log.read({ live: true })[Symbol.asyncIterator]()
    expect((await slow.next()).value?.length).toBe(1)
    for (const row of rows(400, 1)) await log.append({ ...row, text })
    expect(db.status().logs[0]?.partitions[0]?.startOffset).toBeGreaterThan(10)
    await expectError(slow.next(), 'offset_gap')
    const skipping = log.read({ live: true, onGap: 'skip' })[Symbol.asyncIterator]()
    expect((await skipping.next()).value?.baseOffset).toBe(
      db.status().logs[0]?.partitions[0]?.startOffset,
    )
    await skipping.return?.()
  })
})

describe('memory', () => {
  test('beyond its budget costs the oldest records of a log in RAM, and they are counted as a gap', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '4MB' })
    const log = await db.createLog('bounded')
    for (const row of rows(600)) await log.append({ ...row, text: 'x'.repeat(20_000) })
    const status = db.status()
    const partition = status.logs[0]?.partitions[0]
    expect(status.memory.usedBytes).toBeLessThan(6 * 1024 * 1024)
    expect(partition?.gaps).toEqual([{ from: 0, to: partition?.startOffset, reason: 'evicted' }])
    expect((await numbers(log.read())).at(-1)).toBe(599)
    expect(await log.get(0)).toBeNull()
  })

  test('under reject is refused at once, and nothing is lost', async () => {
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '2MB' })
    const log = await db.createLog('refusing', { storage: { evictionPolicy: 'reject' } })
    let taken = 0
    const fill = async (): Promise<void> => {
      for (;;) {
        await log.append({ n: taken, text: 'x'.repeat(20_000) })
        taken++
      }
    }
    const error = await expectError(fill(), 'memory_full')
    expect(error.details).toMatchObject({ log: 'refusing', maxBytes: 2 * 1024 * 1024 })
    expect(await numbers(log.read())).toEqual(rows(taken).map(({ n }) => n))
  })

  test('flushes early what has a disk, and loses nothing', async () => {
    const { dataDir } = await directories()
    await using db = await Stratalog.open({ dataDir, maxMemoryBytes: '4MB' })
    const log = await db.createLog('flowing')
    await Promise.all(rows(600).map((row) => log.append({ ...row, text: 'x'.repeat(20_000) })))
    expect(await numbers(log.read())).toEqual(rows(600).map(({ n }) => n))
    expect(db.status().logs[0]?.partitions[0]?.tiers.disk.records).toBeGreaterThan(0)
  })
})

test('a log is created once, also when two create it at once', async () => {
  const { dataDir } = await directories()
  for (const options of [{}, { dataDir }]) {
    await using db = await Stratalog.open(options)
    const outcomes = await Promise.allSettled(Array.from({ length: 3 }, () => db.createLog('one')))
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
    await expectError(db.createLog('ONE'), 'log_exists')
    expect(db.logs().map(({ name }) => name)).toEqual(['one'])
    await expectError(db.createLog('a/b'), 'log_name_invalid')
    await expectError(
      db.createLog('keyed', { keyColumn: 'k', schema: { a: 'int32' } }),
      'schema_invalid',
    )
    await db.createLog('keyed', { keyColumn: 'k', schema: { k: 'int32' } })
    expect(() => db.log('onee')).toThrow("Did you mean 'one'?")
  }
})
