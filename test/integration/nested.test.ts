/** Lists and structs on the whole way of a record: RAM, WAL, disk, archive, restore, replay, and SQL over all of it. */
import { rm } from 'node:fs/promises'
import {
  Bool,
  Field,
  Float64,
  Int32,
  List,
  RecordBatch,
  Struct,
  Table,
  TimestampMillisecond,
  Utf8,
  tableFromIPC,
  tableToIPC,
  vectorFromArray,
} from 'apache-arrow'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import {
  type ColumnType,
  type RecordRow,
  Stratalog,
  type StratalogError,
  drillArchive,
  restoreArchive,
} from '../../src/index.ts'
import type { ColumnData } from '../../src/format/column.ts'
import { arbitraryNestedType, arbitraryValue } from '../support/arbitrary-columns.ts'
import { sampleColumn } from '../support/sample-batches.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const COUNT = 3_000
const ITEM = new Struct([
  new Field('sku', new Utf8(), true),
  new Field('quantity', new Int32(), true),
  new Field('prices', new List(new Field('item', new Float64(), true)), true),
])
const CUSTOMER = new Struct([
  new Field('name', new Utf8(), true),
  new Field('is new', new Bool(), true),
  new Field('since', new TimestampMillisecond(), true),
])

const every = (id: number, part: number, value: unknown): unknown =>
  id % part === 0 ? null : value

/** Enough items that one vector of DuckDB does not hold them, texts too long to lie in it, and nulls at every level. */
function order(id: number): RecordRow {
  return {
    id,
    items: every(
      id,
      11,
      Array.from({ length: id % 7 }, (_, n) =>
        every(id + n, 5, {
          sku: every(n, 3, `a text that is longer than twelve bytes ${id}-${n}`),
          quantity: id + n,
          prices: every(id + n, 4, [n / 2, null, id]),
        }),
      ),
    ),
    customer: every(id, 13, {
      name: `é${id}`,
      'is new': every(id, 3, id % 2 === 0),
      since: new Date(id * 1_000),
    }),
  }
}

const ORDERS = Array.from({ length: COUNT }, (_, id) => order(id))
let table: Table

beforeAll(() => {
  table = new Table({
    id: vectorFromArray(
      ORDERS.map((row) => row['id']),
      new Int32(),
    ),
    items: vectorFromArray(
      ORDERS.map((row) => row['items']),
      new List(new Field('item', ITEM, true)),
    ),
    customer: vectorFromArray(
      ORDERS.map((row) => row['customer']),
      CUSTOMER,
    ),
  })
})

const TYPES = {
  id: 'int32',
  items: 'list<struct<sku:utf8,quantity:int32,prices:list<float64>>>',
  customer: 'struct<name:utf8,"is new":bool,since:timestamp[ms]>',
}

async function expectOrders(db: Pick<Stratalog, 'log' | 'query'>): Promise<void> {
  const log = db.log('orders')
  expect(Object.fromEntries(log.describe().schema.map(({ name, type }) => [name, type]))).toEqual(
    TYPES,
  )
  const columns = ['id', 'items', 'customer']
  expect(await log.read({ columns }).toArray()).toEqual(ORDERS)
  for await (const batch of log.read({ from: 700, to: 703, columns })) {
    const again = tableFromIPC(tableToIPC(await batch.toArrow()))
    expect(again.getChild('customer')?.get(0)?.toJSON()).toMatchObject({ name: 'é700' })
    expect(batch.toRows()).toEqual(ORDERS.slice(700, 703))
  }
  await expectSql(db)
}

type Item = { sku: string | null; quantity: number; prices: (number | null)[] | null } | null
type Customer = { name: string; since: Date } | null

async function expectSql(db: Pick<Stratalog, 'query'>): Promise<void> {
  const all = ORDERS.flatMap(({ items }) => (items as Item[] | null) ?? [])
  const result = await db.query(`
    SELECT count(*) AS n, sum(len(items)) AS items, count(customer.name) AS named,
      count(items) AS lists, max(customer.since) AS last
    FROM orders`)
  const customers = ORDERS.map(({ customer }) => customer as Customer)
  expect(await result.toArray()).toEqual([
    {
      n: COUNT,
      items: all.length,
      named: customers.filter((customer) => customer !== null).length,
      lists: ORDERS.filter(({ items }) => items !== null).length,
      last: new Date(Math.max(...customers.map((customer) => customer?.since.getTime() ?? 0))),
    },
  ])
  const unnested = await db.query(`
    SELECT count(item) AS items, sum(item.quantity) AS quantity, count(item.sku) AS skus,
      sum(length(item.sku)) AS letters, sum(list_sum(item.prices)) AS price
    FROM (SELECT unnest(items) AS item FROM orders)`)
  const present = all.filter((item) => item !== null)
  const sum = (values: readonly number[]): number => values.reduce((total, n) => total + n, 0)
  expect(await unnested.toArray()).toEqual([
    {
      items: present.length,
      quantity: sum(present.map((item) => item.quantity)),
      skus: present.filter((item) => item.sku !== null).length,
      letters: sum(present.map((item) => item.sku?.length ?? 0)),
      price: sum(present.flatMap((item) => item.prices ?? []).map((price) => price ?? 0)),
    },
  ])
  const rows = await db.query(
    'SELECT items, customer FROM orders WHERE id IN (700, 701) ORDER BY id',
  )
  expect(JSON.parse(JSON.stringify(await rows.toArray()))).toEqual(
    [700, 701].map((id) => {
      const { items, customer } = order(id)
      const since = (customer as Customer)?.since.toISOString().replace('T', ' ').slice(0, 19)
      return {
        items,
        customer: customer === null ? null : { ...(customer as object), since },
      }
    }),
  )
}

test('a nested Arrow table is the same from RAM, the WAL, disk, the archive, a restore and a replay', async () => {
  const root = await temporaryDirectory()
  const archive = `file://${root}/archive`
  const dataDir = `${root}/data`
  {
    await using db = await Stratalog.open({ dataDir, archive })
    const log = await db.createLog('orders')
    const [first, ...rest] = table.batches
    expect(rest).toEqual([])
    if (!(first instanceof RecordBatch)) throw new Error('a batch')
    await log.append(table.slice(0, 1_001))
    await log.append(first.slice(1_001, 2_000))
    await log.append(tableFromIPC(tableToIPC(table.slice(2_000), 'stream')))
    await expectOrders(db)
  }
  {
    await using db = await Stratalog.open({ dataDir, archive })
    await expectOrders(db)
    await db.tier.now()
    await expectOrders(db)
  }
  await using reader = await Stratalog.openArchive(archive)
  await expectSql(reader)
  await rm(dataDir, { recursive: true })

  const drill = await drillArchive({ archive })
  expect(drill).toMatchObject({ verdict: 'PASS', records: COUNT })
  await restoreArchive({ archive, dataDir: `${root}/new` })
  await using restored = await Stratalog.open({ dataDir: `${root}/new`, archive })
  await expectOrders(restored)

  await using scratch = await Stratalog.memoryOnly()
  const replayed = await scratch.replayFromArchive(archive)
  expect(replayed.logs[0]?.hash).toBe(drill.logs[0]?.hash)
  await expectOrders(scratch)
})

test('rows go into nested columns by value, or are refused with both types', async () => {
  const root = await temporaryDirectory()
  const rows = [
    { tags: ['a', null], point: { x: 1, y: 2.5 } },
    { tags: [], point: { y: null } },
    { tags: null, point: null },
    { point: { x: 3 } },
  ]
  const read = [
    { tags: ['a', null], point: { x: 1, y: 2.5 } },
    { tags: [], point: { x: null, y: null } },
    { tags: null, point: null },
    { tags: null, point: { x: 3, y: null } },
  ]
  {
    await using db = await Stratalog.open({ dataDir: root })
    const log = await db.createLog('shapes', {
      schema: { tags: 'list<utf8>', point: 'struct<x:int32,y:float64>' },
    })
    await log.append(rows)
    for (const row of rows) await log.append(row)
    const refused = async (row: object): Promise<unknown> =>
      await log.append(row).then(
        () => null,
        (error: unknown) => {
          const { code, details } = error as StratalogError
          return [code, details['expected'], details['given']]
        },
      )
    const tags = ['schema_mismatch', 'list<utf8>']
    expect(await refused({ tags: ['a', 1] })).toEqual([...tags, 'list<utf8|int32>'])
    expect(await refused({ tags: 'a' })).toEqual([...tags, 'utf8'])
    expect(await refused({ tags: { a: 1 } })).toEqual([...tags, 'struct<a:int32>'])
    const point = ['schema_mismatch', 'struct<x:int32,y:float64>']
    expect(await refused({ point: { x: 1, z: 1 } })).toEqual([...point, 'struct<x:int32,z:int32>'])
    expect(await refused({ point: [1] })).toEqual([...point, 'list<int32>'])
    expect(await refused({ point: { x: 0.5 } })).toEqual([...point, 'struct<x:float64>'])
    const other = sampleColumn('list<int32>', [[1]])
    const field = { name: 'tags', type: other.type, nullable: true }
    const columns = { fields: [field], columns: [other], length: 1 }
    expect(await refused(columns)).toEqual([...tags, 'list<int32>'])
  }
  await using db = await Stratalog.open({ dataDir: root })
  expect(
    await db
      .log('shapes')
      .read({ columns: ['tags', 'point'] })
      .toArray(),
  ).toEqual([...read, ...read])
})

test('SQL gives nested values of any shape as they are', async () => {
  await using db = await Stratalog.memoryOnly()
  const plain = fc.constantFrom<ColumnType>('bool', 'int32', 'uint8', 'float64', 'utf8')
  const given = fc.sample(
    arbitraryNestedType(4, plain).chain((type) =>
      fc.record({
        type: fc.constant(type),
        values: fc.array(arbitraryValue(type), { minLength: 1, maxLength: 60 }),
      }),
    ),
    { numRuns: 60, seed: 11 },
  )
  for (const [number, { type, values }] of given.entries()) {
    const name = `log${number}`
    const log = await db.createLog(name, { schema: { c: type, d: `list<${type}>` } })
    const rows = values.map((value, index) => ({
      c: value,
      // Beyond what one vector of DuckDB holds.
      d: index === 0 ? Array.from({ length: 3_000 }, (_, n) => values[n % values.length]) : null,
    }))
    await log.append(rows)
    const result = await db.query(`SELECT c, d FROM ${name} ORDER BY _offset`)
    expect(await result.toArray()).toEqual(rows.map((row) => asJson(row)))
    const flat = await db.query(`SELECT count(*) AS n FROM (SELECT unnest(d) FROM ${name})`)
    expect(await flat.toArray()).toEqual([{ n: 3_000 }])
  }
})

/** As results have it: numbers that JSON does not know are text, and names differ in more than case. */
function asJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asJson)
  if (typeof value === 'number') return Number.isFinite(value) ? value + 0 : String(value)
  if (typeof value !== 'object' || value === null) return value
  const names = new Set<string>()
  const entries = Object.entries(value).map(([name, inside]) => {
    const own = names.has(name.toLowerCase()) ? `${name}_1` : name
    names.add(name.toLowerCase())
    return [own, asJson(inside)] as const
  })
  return Object.fromEntries(entries)
}

test('SQL sees nothing of what lies under a null list or a null struct', async () => {
  await using db = await Stratalog.memoryOnly()
  const log = await db.createLog('hidden')
  const hide = (column: ColumnData): ColumnData => ({
    ...column,
    validity: Uint8Array.of(0b101),
    nullCount: 1,
  })
  const columns = [
    hide(sampleColumn('struct<x:int32,s:struct<t:utf8>,l:list<int32>>', POINTS)),
    hide(sampleColumn('list<int32>', [[1], [2, 3], [4]])),
  ]
  const fields = ['p', 'l'].map((name, index) => ({
    name,
    type: columns[index]?.type ?? 'bool',
    nullable: true,
  }))
  await log.append({ fields, columns, length: 3 })
  const result = await db.query(`
    SELECT count(p.x) AS x, count(p.s.t) AS t, count(p.l) AS l, sum(list_sum(p.l)) AS sum,
      (SELECT sum(n) FROM (SELECT unnest(l) AS n FROM hidden)) AS items
    FROM hidden`)
  expect(await result.toArray()).toEqual([{ x: 2, t: 2, l: 2, sum: 4, items: 5 }])
})

const POINTS = [1, 2, 3].map((x) => ({
  x,
  s: { t: `text ${x} of more than twelve bytes` },
  l: [x],
}))

test('a key is no list and no struct, and columns inside of others count', async () => {
  await using db = await Stratalog.memoryOnly()
  await expect(
    db.createLog('a', { schema: { key: 'list<utf8>' }, keyColumn: 'key' }),
  ).rejects.toMatchObject({ code: 'schema_invalid' })
  const log = await db.createLog('b', { keyColumn: 'id' })
  const keys = new Table({ id: vectorFromArray([['a']], new List(new Field('item', new Utf8()))) })
  await expect(log.append(keys)).rejects.toMatchObject({ code: 'schema_invalid' })
  const wide = `struct<${Array.from({ length: 1_023 }, (_, n) => `f${n}:bool`).join(',')}>` as const
  await expect(db.createLog('c', { schema: { wide, one: 'bool' } })).rejects.toMatchObject({
    code: 'schema_invalid',
  })
})
