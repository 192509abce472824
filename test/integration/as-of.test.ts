/** Reading and asking as of a snapshot or a time: the same answer wherever the records lie by then. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type ArchiveReader, Stratalog, VirtualClock } from '../../src/index.ts'
import { jsonLines, runCli, runJson } from '../support/cli.ts'
import { expectError } from '../support/expect-error.ts'

let root = ''
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'stratalog-test-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const T0 = Date.UTC(2026, 0, 1)

/** Ten records at T0, ten more a second later, and so on: 30 in all, in `orders`; `late` comes at the end. */
async function fill(db: Stratalog, clock: VirtualClock, snapshot: boolean): Promise<void> {
  const orders = await db.createLog('orders', { partitions: 2 })
  for (let round = 0; round < 3; round++) {
    for (const partition of [0, 1])
      await orders.append(
        Array.from({ length: 5 }, (_, n) => ({ n: round * 10 + partition * 5 + n })),
        { partition },
      )
    if (snapshot && round === 1) await db.snapshot({ name: 'second' })
    clock.advance(1_000)
  }
  await (await db.createLog('late')).append({ n: 1 })
}

async function numbersAsOf(
  db: Stratalog | ArchiveReader,
  asOf: string | number | Date,
): Promise<readonly unknown[]> {
  const rows = await db.log('orders').read({ asOf }).toArray()
  const result = await db.query('SELECT count(*), sum(n) FROM orders', [], { asOf })
  const numbers = rows.map(({ n }) => Number(n))
  const sum = numbers.length === 0 ? null : numbers.reduce((total, n) => total + n, 0)
  expect((await result.toJson()).rows).toEqual([[numbers.length, sum]])
  return numbers.toSorted((a, b) => a - b)
}

const firstNumbers = (count: number): readonly number[] => [...Array(count).keys()]

async function expectHistory(db: Stratalog | ArchiveReader): Promise<void> {
  expect(await numbersAsOf(db, T0 - 1)).toEqual([])
  expect(await numbersAsOf(db, T0)).toEqual(firstNumbers(10))
  expect(await numbersAsOf(db, new Date(T0 + 999))).toEqual(firstNumbers(10))
  expect(await numbersAsOf(db, new Date(T0 + 1_000).toISOString())).toEqual(firstNumbers(20))
  expect(await numbersAsOf(db, T0 + 60_000)).toEqual(firstNumbers(30))
}

describe('as of a moment', () => {
  test('an engine in RAM answers as it was', async () => {
    const clock = new VirtualClock(T0)
    await using db = await Stratalog.memoryOnly({}, { clock })
    await fill(db, clock, false)
    await expectHistory(db)
    expect(await db.log('late').read({ asOf: T0 }).toArray()).toEqual([])
    const orders = db.log('orders')
    const newest = orders.read({ asOf: T0 + 1_000, partition: 1, last: 2, columns: ['n'] })
    expect(await newest.toArray()).toEqual([{ n: 18 }, { n: 19 }])
    expect(() => orders.read({ asOf: T0, live: true, partition: 0 })).toThrow('leave one out')
    await expectError(orders.read({ asOf: 'nothing' }).toArray(), 'snapshot_not_found')
    await expectError(
      db.query('SELECT 1 FROM orders', [], { asOf: 'nothing' }),
      'snapshot_not_found',
    )
  })

  test('an engine with a directory and an archive does so in every tier, and the archive alone', async () => {
    const clock = new VirtualClock(T0)
    const archive = pathToFileURL(join(root, 'archive')).href
    const dataDir = join(root, 'data')
    {
      await using db = await Stratalog.open({ dataDir, archive }, { clock })
      await fill(db, clock, true)
      for (const tier of ['disk', 'object'] as const) {
        await expectHistory(db)
        expect(await numbersAsOf(db, 'second')).toEqual(firstNumbers(20))
        await db.tier.now({ to: tier })
      }
      await expectHistory(db)
      await expectError(db.log('late').read({ asOf: 'second' }).toArray(), 'log_not_found')
    }
    await using reader = await Stratalog.openArchive(archive)
    await expectHistory(reader)
    expect(await numbersAsOf(reader, 'second')).toEqual(firstNumbers(20))
    expect(await numbersAsOf(reader, reader.snapshot('second').id)).toEqual(firstNumbers(20))

    const where = ['--data-dir', dataDir, '--archive', archive]
    for (const asOf of ['second', String(T0 + 1_000), '2026-01-01T00:00:01Z']) {
      const read = await runCli(['read', ...where, '--log', 'orders', '--as-of', asOf, '--json'])
      expect(jsonLines(read.stdout)).toHaveLength(20)
      const sql = ['sql', ...where, '--as-of', asOf, 'SELECT count(*) FROM orders']
      expect(await runJson(sql)).toMatchObject({ rows: [[20]] })
    }
    const none = await runCli(['read', ...where, '--log', 'orders', '--as-of', 'none'])
    expect(none.status).toBe(3)
  })
})
