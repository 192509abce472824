import type { AppendOptions, Appendable, Log } from '../src/index.ts'
import { makeAppendLoad, type AppendLoad } from './append-load.ts'
import {
  arrayPeer,
  duckdbPeer,
  lmdbPeer,
  referencesPeer,
  sqlitePeer,
  sqliteSinglePeer,
} from './append-peers.ts'
import {
  constant,
  percentile,
  secondsOf,
  type Benchmark,
  type BenchmarkCase,
  type Contender,
  type Scale,
} from './harness.ts'
import {
  STEADY_BUDGET_BYTES,
  arrowTable,
  loadBuffers,
  loadColumns,
  openFreshLog,
  openSteadyLog,
  retainedChecksum,
  type LoadColumns,
} from './memory-load.ts'
import { readChecksum } from './read-checksum.ts'
import type { BenchRecord } from './records.ts'
import { REDIS_STREAMS, redisPeers } from './redis-peer.ts'

const COUNTS: Readonly<Record<Scale, number>> = { full: 500_000, quick: 100_000, tiny: 2_500 }
const BATCH_RECORDS = 1_000
/** Ours goes so fast that once over the load would time the warming of the code. */
const PASSES: Readonly<Record<Scale, number>> = { full: 10, quick: 20, tiny: 1 }
/** An append that is awaited alone: 99 of 100 are done within this time. */
const SINGLE_P99_MICROS = 2

export const appendMemory: Benchmark = {
  name: 'append-memory',
  question: 'How many records a second does a log in RAM take: in batches of 1000, and one by one?',
  async *cases(scale) {
    const load = makeAppendLoad(COUNTS[scale], BATCH_RECORDS)
    const columns = load.batches.map(loadColumns)
    const passes = PASSES[scale]
    const limit = memcpyLimit(load, columns, passes)
    const common = {
      unit: 'records/s',
      higherIsBetter: true,
      checksum: load.checksum,
      limit,
      missing: [],
    }
    yield* rowCases(load, common, passes)
    yield* columnCases(load, columns, common, passes)
    yield* singleCases(load, common)
  },
}

type Common = Pick<BenchmarkCase, 'unit' | 'higherIsBetter' | 'checksum' | 'limit' | 'missing'>

function* rowCases(load: AppendLoad, common: Common, passes: number): Generator<BenchmarkCase> {
  const redis = redisPeers(load)
  const peers = [
    sqlitePeer(load, 'memory'),
    lmdbPeer(load, 'memory'),
    duckdbPeer(load, 'memory'),
    arrayPeer(load),
    referencesPeer(load),
    ...redis.peers,
  ]
  yield {
    ...common,
    name: 'rows',
    targets: {
      'node:sqlite in memory': { floor: 7, goal: 11 },
      'lmdb nosync': { floor: 10, goal: 15 },
      'DuckDB appender': { floor: 15, goal: 20 },
      'array of objects': { floor: 0.7, goal: 1.1 },
      [REDIS_STREAMS]: { floor: 60, goal: 100 },
    },
    ours: steady(load, load.batches, { passes }),
    peers,
    missing: redis.missing,
  }
  yield {
    ...common,
    name: 'rows into fresh memory',
    targets: {},
    ours: fresh(load, load.batches),
    peers: [arrayPeer(load)],
  }
}

function* columnCases(
  load: AppendLoad,
  columns: readonly LoadColumns[],
  common: Common,
  passes: number,
): Generator<BenchmarkCase> {
  const targets = { memcpy: { floor: 0.45, goal: 0.8 } }
  const peers = [duckdbPeer(load, 'memory')]
  yield { ...common, name: 'columns', targets, ours: steady(load, columns, { passes }), peers }
  const tables = columns.map(arrowTable)
  yield { ...common, name: 'arrow', targets, ours: steady(load, tables, { passes }), peers }
  yield {
    ...common,
    name: 'adopted',
    targets,
    ours: steady(load, tables, { passes, append: { adopt: true } }),
    peers,
  }
}

function* singleCases(load: AppendLoad, common: Common): Generator<BenchmarkCase> {
  const peer = sqliteSinglePeer((insert) => {
    const start = performance.now()
    for (const record of load.records) insert(record)
    return load.count / ((performance.now() - start) / 1_000)
  })
  yield {
    ...common,
    name: 'single append, awaited',
    targets: { [peer.name]: { floor: 2.5, goal: 4 } },
    ours: steady(load, load.records, { warming: load.batches }),
    peers: [peer],
  }
  const limit = constant('goal of 2 µs', SINGLE_P99_MICROS)
  yield {
    ...common,
    name: 'single append, awaited, p99',
    unit: 'µs',
    higherIsBetter: false,
    // A goal and no floor: what stands between is told, and breaks nothing.
    targets: { [limit.name]: { floor: 0, goal: 1 } },
    ours: singleLatency(load),
    peers: [sqliteSinglePeer((insert) => insertLatency(load, insert))],
    limit,
  }
}

/** Every append awaited, one after the other. */
async function appendEach(
  log: Log,
  inputs: readonly Appendable[],
  options: AppendOptions = {},
): Promise<void> {
  for (const input of inputs) await log.append(input, options)
}

interface SteadyOptions {
  /** What fills the budget before the part that counts. */
  readonly warming?: readonly Appendable[]
  /** How often the load is appended. */
  readonly passes?: number
  readonly append?: AppendOptions
}

/** Into recycled memory: a budget that was full, and evicted from, before the part that counts. */
function steady(
  load: AppendLoad,
  inputs: readonly Appendable[],
  { warming = inputs, passes = 1, append = {} }: SteadyOptions = {},
): Contender {
  return {
    name: 'ours',
    async measure() {
      await using held = await openSteadyLog(load, (log) => appendEach(log, warming, append))
      const seconds = await secondsOf(async () => {
        for (let pass = 0; pass < passes; pass++) await appendEach(held.log, inputs, append)
      })
      const checksum = await retainedChecksum(held, load, passes)
      return { value: (passes * load.count) / seconds, checksum }
    },
  }
}

/** Into memory that the process did not have before. */
function fresh(load: AppendLoad, inputs: readonly Appendable[]): Contender {
  return {
    name: 'ours',
    async measure() {
      const { db, log } = await openFreshLog()
      await using _ = db
      const seconds = await secondsOf(() => appendEach(log, inputs))
      return { value: load.count / seconds, checksum: await readChecksum(log) }
    },
  }
}

/** From the call of an append to the line after its `await`, of every record. */
function singleLatency(load: AppendLoad): Contender {
  return {
    name: 'ours',
    async measure() {
      await using held = await openSteadyLog(load, (log) => appendEach(log, load.batches))
      const { log } = held
      const micros = new Float64Array(load.count)
      for (let index = 0; index < load.count; index++) {
        const record = load.records[index] ?? {}
        const start = performance.now()
        await log.append(record)
        micros[index] = (performance.now() - start) * 1_000
      }
      return { value: percentile(micros, 0.99), checksum: await retainedChecksum(held, load) }
    },
  }
}

function insertLatency(load: AppendLoad, insert: (record: BenchRecord) => void): number {
  const micros = new Float64Array(load.count)
  for (const [index, record] of load.records.entries()) {
    const start = performance.now()
    insert(record)
    micros[index] = (performance.now() - start) * 1_000
  }
  return percentile(micros, 0.99)
}

/** The same bytes, buffer by buffer, into as much memory as ours has, all of it written to before. */
function memcpyLimit(load: AppendLoad, columns: readonly LoadColumns[], passes: number): Contender {
  return {
    name: 'memcpy',
    async measure() {
      const batches = columns.map(loadBuffers)
      const target = new Uint8Array(STEADY_BUDGET_BYTES).fill(1)
      const seconds = await secondsOf(() => {
        let position = 0
        for (let pass = 0; pass < passes; pass++) {
          for (const buffers of batches) {
            for (const buffer of buffers) {
              if (position + buffer.length > target.length) position = 0
              target.set(buffer, position)
              position += buffer.length
            }
          }
        }
      })
      return { value: (passes * load.count) / seconds, checksum: null }
    },
  }
}
