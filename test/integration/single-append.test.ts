/** One record by itself goes a shorter way than the same record in an array: both have to end alike. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type Appendable,
  type Log,
  Stratalog,
  VirtualClock,
  isStratalogError,
} from '../../src/index.ts'

const VALUES = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.constantFrom('view', 'pay', '\ud800', 'x'.repeat(300)),
  fc.boolean(),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(null, undefined, -0, new Date(0), new Uint8Array([1, 2])),
  fc.array(fc.integer(), { minLength: 1, maxLength: 2 }),
)
const NAMES = fc.constantFrom('a', 'b', 'c', 'fields', 'columns', 'length', 'schema', 'batches')
const RECORDS = fc.array(fc.dictionary(NAMES, VALUES, { noNullPrototype: false, maxKeys: 3 }), {
  minLength: 1,
  maxLength: 30,
})

async function recordsOf(log: Log): Promise<unknown[]> {
  return (await log.read().toArray()).map((row) => ({ ...row, _time: null }))
}

/** What came of an append: where it landed, or the code of its refusal. */
async function outcomeOf(append: Promise<unknown>): Promise<unknown> {
  try {
    return await append
  } catch (error) {
    return isStratalogError(error) ? error.code : error
  }
}

test('a record by itself ends as it does in an array of one, whatever its values', async () => {
  await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '64MB' })
  let logs = 0
  await fc.assert(
    fc.asyncProperty(RECORDS, async (records) => {
      const single = await db.createLog(`single-${logs}`)
      const listed = await db.createLog(`listed-${logs}`)
      const array = await db.createLog(`array-${logs++}`)
      for (const record of records) {
        const given: Appendable = record
        const repeated = record['a'] === undefined ? 1 : 3
        for (let time = 0; time < repeated; time++) {
          // With options it goes the long way.
          const expected = await outcomeOf(array.append([record], {}))
          expect(await outcomeOf(single.append(given))).toEqual(expected)
          expect(await outcomeOf(listed.append([record]))).toEqual(expected)
        }
      }
      for (const log of [single, listed]) {
        expect(log.describe().schema).toEqual(array.describe().schema)
        expect(await recordsOf(log)).toEqual(await recordsOf(array))
      }
    }),
    { numRuns: process.env['CI'] === 'true' ? 400 : 100 },
  )
})

test('records by themselves are found by their own time, and by the time of their append', async () => {
  const clock = new VirtualClock(1_000)
  await using db = await Stratalog.memoryOnly({}, { clock })
  const own = await db.createLog('own', { timeColumn: 'at', schema: { at: 'timestamp[ms]' } })
  const stamped = await db.createLog('stamped')
  for (let index = 0; index < 20; index++) {
    await own.append({ at: 500 + index })
    await stamped.append({ index })
    clock.advance(10)
  }
  const times = await own.read({ since: 505, until: 508 }).toArray()
  expect(times.map((row) => Number(row['at']))).toEqual([505, 506, 507])
  const indexes = await stamped.read({ since: 1_150, until: 1_170 }).toArray()
  expect(indexes.map((row) => row['index'])).toEqual([15, 16])
})

test('a getter of a record by itself that throws, or appends, leaves the log as it was', async () => {
  await using db = await Stratalog.memoryOnly()
  const log = await db.createLog('log')
  for (let a = 0; a < 3; a++) await log.append({ text: `text ${a}`, a, b: 'x' })
  const failure = new Error('no value')
  const throwing = {
    text: 'text 7',
    a: 7,
    get b(): string {
      throw failure
    },
  }
  expect(await outcomeOf(log.append(throwing))).toBe(failure)
  let inner: Promise<unknown> = Promise.resolve()
  const appending = {
    text: 'text 8',
    a: 8,
    get b(): string {
      inner = outcomeOf(log.append({ text: 'text 9', a: 9, b: 'z' }))
      return 'y'
    },
  }
  expect(await log.append(appending)).toEqual({ partition: 0, offset: 3, count: 1 })
  expect(await inner).toBe('record_invalid')
  const left = (await log.read().toArray()).map(({ text, a, b }) => ({ text, a, b }))
  const expected = [0, 1, 2].map((a) => ({ text: `text ${a}`, a, b: 'x' }))
  expect(left).toEqual([...expected, { text: 'text 8', a: 8, b: 'y' }])
})

test('records by themselves fill the budget and evict, to the byte, without a gap at the end', async () => {
  await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '2MB' })
  const log = await db.createLog('log')
  const text = 'x'.repeat(200)
  const count = 30_000
  for (let n = 0; n < count; n++) {
    expect((await log.append({ n, text })).offset).toBe(n)
    const { usedBytes, maxBytes } = db.memoryMetrics()
    if (usedBytes > maxBytes) expect.fail(`${usedBytes} of ${maxBytes} bytes are used`)
  }
  const left = (await log.read({ onGap: 'skip', columns: ['n'] }).toArray()).map((row) => row['n'])
  expect(left).toEqual(
    Array.from({ length: left.length }, (_, index) => count - left.length + index),
  )
  expect(db.memoryMetrics().evictionCount).toBe(count - left.length)
})
