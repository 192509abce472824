import { seededRandom } from '../src/base/random.ts'
import { secondsOf, type Benchmark, type Contender, type Scale } from './harness.ts'
import { fillReadPlaces, type ReadPlaces } from './read-places.ts'
import { Checksum, checksumOf, type BenchRecord } from './records.ts'

const COUNTS: Readonly<Record<Scale, number>> = { full: 500_000, quick: 100_000, tiny: 2_500 }
const GETS: Readonly<Record<Scale, number>> = { full: 1_000_000, quick: 200_000, tiny: 2_000 }
/** Records that the checksum takes of the gets; the rest is summed. */
const CHECKED_GETS = 1_000

export const pointMemory: Benchmark = {
  name: 'point-memory',
  question: 'How fast is one record, or one of its fields, got by its offset from a log in RAM?',
  async *cases(scale) {
    await using places = await fillReadPlaces(COUNTS[scale])
    const random = seededRandom(2)
    const count = places.records.length
    const offsets = Int32Array.from({ length: GETS[scale] }, () => random.uint32() % count)
    const gets: Gets = {
      places,
      offsets,
      prices: sumOver(offsets, (offset) => places.records[offset]?.price ?? 0),
    }
    const checked = [...offsets.subarray(0, CHECKED_GETS)]
    const common = {
      unit: 'gets/s',
      higherIsBetter: true,
      missing: [],
      checksum: checksumOf(checked.map((offset) => places.records[offset] as BenchRecord)),
    }
    yield {
      ...common,
      name: 'one field',
      targets: { 'lmdb get': { floor: 8, goal: 12 } },
      ours: oneField(gets),
      peers: [lmdbGet(gets)],
      limit: arrayElement(gets),
    }
    yield {
      ...common,
      name: 'whole row',
      targets: { 'lmdb get': { floor: 1.5, goal: 2 } },
      ours: wholeRow(gets),
      peers: [lmdbGet(gets)],
      limit: objectCopy(gets),
    }
    yield {
      ...common,
      name: 'whole row, awaited',
      targets: { 'lmdb get': { floor: 1.5, goal: 2 } },
      ours: awaitedRow(gets),
      peers: [lmdbGet(gets)],
      limit: objectCopy(gets),
    }
    yield {
      ...common,
      name: 'one field, 99th percentile',
      unit: 'ns',
      higherIsBetter: false,
      targets: { '2 µs': { floor: 1, goal: 1 } },
      ours: percentile(gets, 'ours', (offset) => places.log.getHot(offset, 'price')),
      peers: [percentile(gets, 'lmdb get', (offset) => places.lmdb.get(offset)?.price)],
      limit: { name: '2 µs', measure: async () => ({ value: 2_000, checksum: null }) },
    }
  },
}

interface Gets {
  readonly places: ReadPlaces
  readonly offsets: Int32Array
  /** What the prices at the offsets make in their order: the oracle's. */
  readonly prices: number
}

function sumOver(offsets: Int32Array, price: (offset: number) => number): number {
  let sum = 0
  for (const offset of offsets) sum += price(offset)
  return sum
}

function oneField(gets: Gets): Contender {
  const { log } = gets.places
  return {
    name: 'ours',
    measure: async () =>
      timed(
        gets,
        (offsets) => {
          let sum = 0
          for (let index = 0; index < offsets.length; index++)
            sum += log.getHot(offsets[index] ?? 0, 'price') as number
          return sum
        },
        (offset) => log.getHot(offset),
      ),
  }
}

function wholeRow(gets: Gets): Contender {
  const { log } = gets.places
  return {
    name: 'ours',
    measure: async () =>
      timed(
        gets,
        (offsets) => {
          let sum = 0
          for (let index = 0; index < offsets.length; index++)
            sum += log.getHot(offsets[index] ?? 0)?.['price'] as number
          return sum
        },
        (offset) => log.getHot(offset),
      ),
  }
}

function awaitedRow(gets: Gets): Contender {
  const { log } = gets.places
  return {
    name: 'ours',
    measure: async () =>
      timed(
        gets,
        async (offsets) => {
          let sum = 0
          for (let index = 0; index < offsets.length; index++)
            sum += (await log.get(offsets[index] ?? 0))?.['price'] as number
          return sum
        },
        (offset) => log.get(offset),
      ),
  }
}

function lmdbGet(gets: Gets): Contender {
  const { lmdb } = gets.places
  return {
    name: 'lmdb get',
    measure: async () =>
      timed(
        gets,
        (offsets) => {
          let sum = 0
          for (let index = 0; index < offsets.length; index++)
            sum += lmdb.get(offsets[index] ?? 0)?.price ?? 0
          return sum
        },
        (offset) => lmdb.get(offset),
      ),
  }
}

function arrayElement(gets: Gets): Contender {
  const prices = Float64Array.from(gets.places.records, ({ price }) => price)
  return {
    name: 'an element of an array',
    measure: async () =>
      unchecked(gets, (offsets) => {
        let sum = 0
        for (let index = 0; index < offsets.length; index++) sum += prices[offsets[index] ?? 0] ?? 0
        return sum
      }),
  }
}

function objectCopy(gets: Gets): Contender {
  const { records } = gets.places
  return {
    name: 'a copy of an object',
    measure: async () =>
      unchecked(gets, (offsets) => {
        let sum = 0
        for (let index = 0; index < offsets.length; index++)
          sum += { ...(records[offsets[index] ?? 0] as BenchRecord) }.price
        return sum
      }),
  }
}

async function unchecked(
  gets: Gets,
  run: (offsets: Int32Array) => number | Promise<number>,
): Promise<{ value: number; checksum: null }> {
  const { offsets, prices } = gets
  let sum = 0
  const seconds = await secondsOf(async () => {
    sum = await run(offsets)
  })
  if (sum !== prices) throw new Error(`The prices got make ${sum}, and are ${prices}.`)
  return { value: offsets.length / seconds, checksum: null }
}

async function timed(
  gets: Gets,
  run: (offsets: Int32Array) => number | Promise<number>,
  get: (offset: number) => unknown,
): Promise<{ value: number; checksum: string }> {
  const { value } = await unchecked(gets, run)
  const checksum = new Checksum()
  for (const offset of gets.offsets.subarray(0, CHECKED_GETS))
    checksum.add((await get(offset)) as BenchRecord)
  return { value, checksum: checksum.value() }
}

/** One clock reading a get, which costs as much as a get: what is under the percentile counts it in. */
function percentile(
  { places, offsets }: Gets,
  name: string,
  get: (offset: number) => unknown,
): Contender {
  return {
    name,
    async measure() {
      const times = new Float64Array(offsets.length)
      for (let index = 0; index < offsets.length; index++) {
        const start = process.hrtime.bigint()
        get(offsets[index] ?? 0)
        times[index] = Number(process.hrtime.bigint() - start)
      }
      const checksum = new Checksum()
      for (const offset of offsets.subarray(0, CHECKED_GETS)) {
        const record = places.records[offset] as BenchRecord
        checksum.add({ ...record, price: get(offset) as number })
      }
      return {
        value: times.sort()[Math.floor(times.length * 0.99)] ?? 0,
        checksum: checksum.value(),
      }
    },
  }
}
