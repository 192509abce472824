/** The arithmetic of sizing that the docs show is what the engine does. */
import { describe, expect, test } from 'vitest'
import { inBatches, makeRecords } from '../../bench/records.ts'
import { Stratalog, type Log } from '../../src/index.ts'
import { readText } from '../support/repository.ts'

const page = readText('docs/operations.md')
const sizing = page.slice(page.indexOf('## Sizing'), page.indexOf('## A data directory'))
const COUNT = 100_000
/** What the page says of the batch that takes appends: room for about a batch. */
const OPEN_BATCH_BYTES_MAX = 1.2 * 1024 * 1024

/** The rows of the worked example: column, and the last number of its sum. */
function documentedColumns(): Map<string, number> {
  const example = sizing.slice(sizing.indexOf('For a record with'))
  const rows = example.matchAll(/^ {2}\| `(\w+)`, [^|]* \| ([^|]*) \|$/gm)
  return new Map([...rows].map(([, name = '', sum = '']) => [name, Number(sum.split('=').at(-1))]))
}

function number(text: string): number {
  return Number(text.replaceAll(',', ''))
}

async function fill(db: Stratalog): Promise<Log> {
  const log = await db.createLog('events', { timeColumn: 'ts', keyColumn: 'key' })
  for (const batch of inBatches(makeRecords(COUNT), 1_000)) await log.append(batch)
  return log
}

test('a log of one record takes 64 bytes a column, as docs/memory.md says', async () => {
  expect(readText('docs/memory.md')).toContain('64 bytes a buffer: one a column')
  await using db = await Stratalog.memoryOnly()
  const log = await db.createLog('log')
  expect(db.memoryMetrics().usedBytes).toBe(0)
  await log.append({ n: 1, text: 'x', real: 0.5, flag: true })
  // The fifth is the time that the engine stamps.
  expect(db.memoryMetrics().usedBytes).toBe(5 * 64)
})

describe('the worked example of docs/operations.md', () => {
  const columns = documentedColumns()
  const together = Number(/\| together \| (\d+) \|/.exec(sizing)?.[1])

  test('adds up', () => {
    expect([...columns.keys()]).toEqual(['ts', 'key', 'amount', 'price', 'event', 'text'])
    expect([...columns.values()].reduce((sum, bytes) => sum + bytes, 0)).toBe(together)
    const divisions = [...sizing.matchAll(/([\d,]+) \/ (\d+)\s+= ([\d,]+)/g)]
    expect(divisions).toHaveLength(2)
    for (const [, bytes = '', each = '', records = ''] of divisions) {
      expect(Number(each)).toBe(together)
      expect(Math.floor(number(bytes) / together)).toBe(number(records))
    }
    const product = /10,000 × 3,600 × (\d+) = ([\d,]+)/.exec(sizing)
    expect(Number(product?.[1])).toBe(together)
    expect(number(product?.[2] ?? '')).toBe(10_000 * 3_600 * together)
  })

  test('is what each column of a full batch takes in the engine', async () => {
    await using db = await Stratalog.memoryOnly()
    const log = await fill(db)
    for await (const batch of log.read({ columns: [...columns.keys()] })) {
      // Texts of one length have no offsets of their own, and the eight words of a dictionary are next to nothing.
      const bytes = batch.columns.map(({ values }) => values.byteLength / batch.length)
      expect(bytes).toEqual([...columns.values()])
      break
    }
  })

  test('is what records take of the budget, to a byte each and the batch that is open', async () => {
    await using db = await Stratalog.memoryOnly()
    await fill(db)
    const { usedBytes, recordCount } = db.memoryMetrics()
    expect(recordCount).toBe(COUNT)
    expect(usedBytes).toBeGreaterThanOrEqual(COUNT * together)
    expect(usedBytes).toBeLessThanOrEqual(COUNT * (together + 1) + OPEN_BATCH_BYTES_MAX)
  })

  test('holds as many records as it says in a budget that is full', async () => {
    const maxMemoryBytes = 10 * 1024 * 1024
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes })
    await fill(db)
    const { recordCount, evictionCount } = db.memoryMetrics()
    expect(recordCount + evictionCount).toBe(COUNT)
    const batch = 1024 * 1024
    expect(recordCount * together).toBeGreaterThan(0.8 * maxMemoryBytes - batch)
    expect(recordCount * together).toBeLessThan(0.9 * maxMemoryBytes + batch)
  })

  test('of docs/configuration.md follows from it', () => {
    const text = readText('docs/configuration.md')
    const [, total, , budget] = /([\d,]+) (\/) 0\.9 = ([\d,]+)/.exec(text) ?? []
    expect(number(total ?? '')).toBe(10_000_000 * together)
    expect(number(budget ?? '')).toBe(Math.ceil((10_000_000 * together) / 0.9))
  })
})
