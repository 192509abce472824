import { secondsOf, type Benchmark, type Contender, type Scale } from './harness.ts'
import { readChecksum } from './read-checksum.ts'
import { fillReadPlaces, type ReadPlaces } from './read-places.ts'
import { Checksum, type BenchRecord } from './records.ts'

const COUNTS: Readonly<Record<Scale, number>> = { full: 500_000, quick: 100_000, tiny: 2_500 }
/** Values that one measurement of a scan goes over, again and again: one pass is over in a fraction of a ms. */
const SCANNED_VALUES: Readonly<Record<Scale, number>> = {
  full: 50_000_000,
  quick: 20_000_000,
  tiny: 5_000,
}
const AMOUNT_MIN = 500_000

export const readMemory: Benchmark = {
  name: 'read-memory',
  question: 'How many records a second does a log in RAM give: a column, objects, lazy rows?',
  async *cases(scale) {
    await using places = await fillReadPlaces(COUNTS[scale])
    const passes = Math.ceil(SCANNED_VALUES[scale] / places.records.length)
    const common = { unit: 'records/s', higherIsBetter: true, missing: [] }
    yield {
      ...common,
      name: 'scan one column',
      targets: { 'bare loop': { floor: 0.7, goal: 0.8 } },
      checksum: moneyText(places.records.reduce((sum, { price }) => sum + price, 0)),
      ours: scan(places, passes),
      peers: [duckdbSum(places, passes, 'SELECT sum(price) FROM events')],
      limit: bareScan(places, passes),
    }
    yield {
      ...common,
      name: 'filter and sum',
      targets: { 'DuckDB table': { floor: 1.5, goal: 2 } },
      checksum: moneyText(
        places.records.reduce(
          (sum, { amount, price }) => sum + (amount >= AMOUNT_MIN ? price : 0),
          0,
        ),
      ),
      ours: filterSum(places, passes),
      peers: [
        duckdbSum(places, passes, `SELECT sum(price) FROM events WHERE amount >= ${AMOUNT_MIN}`),
      ],
      limit: bareFilterSum(places, passes),
    }
    const rows = { ...common, checksum: places.checksum }
    yield {
      ...rows,
      name: 'objects',
      targets: { 'lmdb getRange': { floor: 6, goal: 8 } },
      ours: objects(places),
      peers: [lmdbRange(places)],
      limit: copies(places),
    }
    yield {
      ...rows,
      name: 'lazy rows, one column',
      targets: { 'lmdb getRange': { floor: 20, goal: 30 } },
      ours: lazyRows(places),
      peers: [lmdbRange(places)],
      limit: propertyReads(places),
    }
  },
}

/** Sums of prices, which have two places: exact in text whatever the order of the sum. */
function moneyText(sum: number): string {
  return sum.toFixed(2)
}

/** `pass` gives what it read; the time is that of all passes but a first one. */
async function passesPerSecond(
  { records }: ReadPlaces,
  passes: number,
  pass: () => Promise<number> | number,
): Promise<{ value: number; checksum: string }> {
  let sum = await pass()
  const seconds = await secondsOf(async () => {
    for (let done = 0; done < passes; done++) sum = await pass()
  })
  return { value: (records.length * passes) / seconds, checksum: moneyText(sum) }
}

/** Each contender has a loop of its own, so that none is compiled for the arrays of another. */
function scan(places: ReadPlaces, passes: number): Contender {
  return {
    name: 'ours',
    measure: () =>
      passesPerSecond(places, passes, async () => {
        let sum = 0
        for await (const batch of places.log.read({ columns: ['price'] })) {
          const prices = batch.column('price').values as Float64Array
          for (let row = 0; row < prices.length; row++) sum += prices[row] ?? 0
        }
        return sum
      }),
  }
}

function bareScan(places: ReadPlaces, passes: number): Contender {
  const prices = Float64Array.from(places.records, ({ price }) => price)
  return {
    name: 'bare loop',
    async measure() {
      const { value } = await passesPerSecond(places, passes, () => {
        let sum = 0
        for (let row = 0; row < prices.length; row++) sum += prices[row] ?? 0
        return sum
      })
      return { value, checksum: null }
    },
  }
}

function filterSum(places: ReadPlaces, passes: number): Contender {
  return {
    name: 'ours',
    measure: () =>
      passesPerSecond(places, passes, async () => {
        let sum = 0
        for await (const batch of places.log.read({ columns: ['amount', 'price'] })) {
          const amounts = batch.column('amount').values as Int32Array
          const prices = batch.column('price').values as Float64Array
          for (let row = 0; row < prices.length; row++) {
            sum += isAtLeast(amounts[row] ?? 0) * (prices[row] ?? 0)
          }
        }
        return sum
      }),
  }
}

/** 1 for an amount that passes the filter, else 0: a branch that nobody can predict costs ten times as much. */
function isAtLeast(amount: number): number {
  return 1 + ((amount - AMOUNT_MIN) >> 31)
}

function bareFilterSum(places: ReadPlaces, passes: number): Contender {
  const amounts = Int32Array.from(places.records, ({ amount }) => amount)
  const prices = Float64Array.from(places.records, ({ price }) => price)
  return {
    name: 'bare loop',
    async measure() {
      const { value } = await passesPerSecond(places, passes, () => {
        let sum = 0
        for (let row = 0; row < prices.length; row++) {
          sum += isAtLeast(amounts[row] ?? 0) * (prices[row] ?? 0)
        }
        return sum
      })
      return { value, checksum: null }
    },
  }
}

function duckdbSum(places: ReadPlaces, passes: number, sql: string): Contender {
  return {
    name: 'DuckDB table',
    async measure() {
      const prepared = await places.duckdb.prepare(sql)
      return passesPerSecond(places, passes, async () => {
        const [row] = await (await prepared.run()).getRows()
        return Number(row?.[0])
      })
    },
  }
}

/** The record's own columns, as the peer has them. */
const RECORD_COLUMNS = ['ts', 'key', 'amount', 'price', 'event', 'text'] as const

function objects(places: ReadPlaces): Contender {
  return {
    name: 'ours',
    async measure() {
      let sum = 0
      const seconds = await secondsOfSecond(async () => {
        sum = 0
        for await (const batch of places.log.read({ columns: RECORD_COLUMNS })) {
          for (const row of batch.rows()) sum += (row as unknown as BenchRecord).amount
        }
      })
      return recordsPerSecond(places, seconds, sum, await readChecksum(places.log))
    },
  }
}

function lmdbRange(places: ReadPlaces): Contender {
  return {
    name: 'lmdb getRange',
    async measure() {
      let sum = 0
      const seconds = await secondsOfSecond(() => {
        sum = 0
        for (const { value } of places.lmdb.getRange({ start: 0 })) sum += value.amount
      })
      const checksum = new Checksum()
      for (const { value } of places.lmdb.getRange({ start: 0 })) checksum.add(value)
      return recordsPerSecond(places, seconds, sum, checksum.value())
    },
  }
}

function lazyRows(places: ReadPlaces): Contender {
  return {
    name: 'ours',
    async measure() {
      let sum = 0
      const seconds = await secondsOfSecond(async () => {
        sum = 0
        for await (const batch of places.log.read({ columns: RECORD_COLUMNS })) {
          for (const row of batch.lazyRows()) sum += row['amount'] as number
        }
      })
      const checksum = new Checksum()
      for await (const row of places.log.read().lazyRows())
        checksum.add(row as unknown as BenchRecord)
      return recordsPerSecond(places, seconds, sum, checksum.value())
    },
  }
}

/** Objects made of objects: what any store pays that gives objects. */
function copies(places: ReadPlaces): Contender {
  return {
    name: 'copies of objects',
    async measure() {
      let sum = 0
      const seconds = await secondsOfSecond(() => {
        sum = 0
        for (const { ts, key, amount, price, event, text } of places.records) {
          const row = { ts, key, amount, price, event, text }
          sum += row.amount
        }
      })
      return recordsPerSecond(places, seconds, sum, null)
    },
  }
}

function propertyReads(places: ReadPlaces): Contender {
  return {
    name: 'a property of objects',
    async measure() {
      let sum = 0
      const seconds = await secondsOfSecond(() => {
        sum = 0
        for (const { amount } of places.records) sum += amount
      })
      return recordsPerSecond(places, seconds, sum, null)
    },
  }
}

/** Seconds of a second go over the records; the first one is for the compiler. `sum` is of the last. */
async function secondsOfSecond(pass: () => Promise<void> | void): Promise<number> {
  await pass()
  return secondsOf(pass)
}

function recordsPerSecond<Sum extends string | null>(
  { records }: ReadPlaces,
  seconds: number,
  sum: number,
  checksum: Sum,
): { value: number; checksum: Sum } {
  const expected = records.reduce((total, { amount }) => total + amount, 0)
  if (sum !== expected) throw new Error(`The amounts read make ${sum}, and are ${expected}.`)
  return { value: records.length / seconds, checksum }
}
