import { closeSync, fdatasyncSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { present } from '../src/base/assert.ts'
import { Stratalog, type Appendable, type Log } from '../src/index.ts'
import { type AppendLoad, byWaiters, inTurns, makeAppendLoad } from './append-load.ts'
import { duckdbPeer, lmdbPeer, sqlitePeer } from './append-peers.ts'
import {
  percentile,
  secondsOf,
  type Benchmark,
  type BenchmarkCase,
  type Contender,
  type Sample,
  type Scale,
} from './harness.ts'
import { STEADY_BUDGET_BYTES, loadColumns } from './memory-load.ts'
import { opaquePeers } from './opaque-peers.ts'
import { checksumInTurn } from './read-checksum.ts'
import { RECORD_BYTES } from './records.ts'
import {
  REDIS_ALWAYS,
  redisDurablePeers,
  redisOpaquePeers,
  redisWaitersPeers,
} from './redis-peer.ts'
import { type TempDirectory, makeTempDirectory } from './temp-directory.ts'

const COUNTS: Readonly<Record<Scale, number>> = { full: 200_000, quick: 50_000, tiny: 2_500 }
const SINGLES: Readonly<Record<Scale, number>> = { full: 3_000, quick: 1_000, tiny: 100 }
const WAITED: Readonly<Record<Scale, number>> = { full: 200_000, quick: 50_000, tiny: 2_000 }
const BATCH_RECORDS = 1_000
const WAITERS = 1_000
const LOGS: Readonly<Record<Scale, number>> = { full: 1_000, quick: 1_000, tiny: 10 }
const LOG_WAITERS = 64
/** What one record takes in the WAL: a frame of its own. */
const FRAME_BYTES = 320
const MIB = 2 ** 20
/** Files of the WAL double up to their full size. */
const WARMING_BYTES: Readonly<Record<Scale, number>> = {
  full: 300 * MIB,
  quick: 300 * MIB,
  tiny: MIB,
}
const WARMING_PASSES = 100

const LOG_OPTIONS = {
  timeColumn: 'ts',
  keyColumn: 'key',
  storage: { mode: 'persistent', ack: 'disk' },
} as const

export const appendDurable: Benchmark = {
  name: 'append-durable',
  question:
    'How many records a second survive a crash, each synced before its acknowledgement, in batches and one by one?',
  async *cases(scale) {
    const load = makeAppendLoad(COUNTS[scale], BATCH_RECORDS)
    await using engine = await WarmEngine.open(scale)
    yield batchCase(engine, load, 1)
    yield batchCase(engine, load, 8)
    yield columnCase(engine, load)
    const few = makeAppendLoad(SINGLES[scale], BATCH_RECORDS)
    yield latencyCase(engine, few, 'p50', 0.5, { floor: 1 / 1.8, goal: 1 / 1.3 })
    yield latencyCase(engine, few, 'p99', 0.99, { floor: 1 / 2.5, goal: 1 / 1.6 })
    const waited = makeAppendLoad(WAITED[scale], BATCH_RECORDS)
    yield waitersCase(engine, waited)
    yield logsCase(engine, waited, LOGS[scale])
  },
}

const PER_SECOND = { unit: 'records/s', higherIsBetter: true } as const

/** Rows against stores of rows, and against the best of what keeps each batch as one value. */
function batchCase(engine: WarmEngine, load: AppendLoad, inFlight: number): BenchmarkCase {
  const rows = { floor: inFlight === 1 ? 4 : 6, goal: 8 }
  const redis = redisDurablePeers(load, inFlight)
  const redisOpaque = redisOpaquePeers(load, inFlight)
  const peers = [
    sqlitePeer(load, 'durable'),
    lmdbPeer(load, 'durable'),
    duckdbPeer(load, 'durable'),
    ...redis.peers,
  ]
  const opaque = [...opaquePeers(load, inFlight), ...redisOpaque.peers]
  return {
    ...PER_SECOND,
    name: `rows, ${inFlight} in flight`,
    targets: Object.fromEntries([
      ...peers.map(({ name }) => [name, rows]),
      ...opaque.map(({ name }) => [name, { floor: 1.3, goal: 2 }]),
    ]),
    checksum: load.checksum,
    ours: batches(engine, load, load.batches, inFlight),
    peers: [...peers, ...opaque],
    limit: syncLimit(load, inFlight),
    missing: [...redis.missing, ...redisOpaque.missing],
  }
}

function columnCase(engine: WarmEngine, load: AppendLoad): BenchmarkCase {
  const limit = syncLimit(load, 8)
  return {
    ...PER_SECOND,
    name: 'columns, 8 in flight',
    targets: { [limit.name]: { floor: 0.6, goal: 0.8 } },
    checksum: load.checksum,
    ours: batches(engine, load, load.batches.map(loadColumns), 8),
    peers: [],
    limit,
    missing: [],
  }
}

/** One waiter; the time from the call to the line after its `await` that `part` of the appends stay within. */
function latencyCase(
  engine: WarmEngine,
  load: AppendLoad,
  name: string,
  part: number,
  target: { readonly floor: number; readonly goal: number },
): BenchmarkCase {
  const limit = syncLatency(load, part)
  return {
    name: `single append, one waiter, ${name}`,
    unit: 'µs',
    higherIsBetter: false,
    targets: { [limit.name]: target },
    checksum: load.checksum,
    ours: singles(engine, load, part),
    peers: [],
    limit,
    missing: [],
  }
}

function waitersCase(engine: WarmEngine, load: AppendLoad): BenchmarkCase {
  const redis = redisWaitersPeers(load, WAITERS)
  return {
    ...PER_SECOND,
    name: 'single appends, 1000 waiters',
    targets: { [REDIS_ALWAYS]: { floor: 8, goal: 13 } },
    checksum: load.checksum,
    ours: intoLogs(engine, 'ours', load, 1, WAITERS),
    peers: redis.peers,
    limit: syncLimit(load, 1),
    missing: redis.missing,
  }
}

function logsCase(engine: WarmEngine, load: AppendLoad, logs: number): BenchmarkCase {
  const limit = intoLogs(engine, 'one log', load, 1, LOG_WAITERS)
  return {
    ...PER_SECOND,
    name: `single appends, ${LOG_WAITERS} waiters, 1000 logs in turn`,
    targets: { [limit.name]: { floor: 0.7, goal: 0.85 } },
    checksum: load.checksum,
    ours: intoLogs(engine, 'ours', load, logs, LOG_WAITERS),
    peers: [],
    limit,
    missing: [],
  }
}

/**
 * One engine for every measurement of ours, in its steady state: its memory was used before, and its WAL has files of
 * full size to write again.
 */
class WarmEngine implements AsyncDisposable {
  readonly #directory: TempDirectory
  readonly #db: Stratalog
  #made = 0

  private constructor(directory: TempDirectory, db: Stratalog) {
    this.#directory = directory
    this.#db = db
  }

  static async open(scale: Scale): Promise<WarmEngine> {
    const directory = await makeTempDirectory()
    const engine = new WarmEngine(
      directory,
      await Stratalog.open({
        dataDir: join(directory.path, 'data'),
        maxMemoryBytes: STEADY_BUDGET_BYTES,
      }),
    )
    const load = makeAppendLoad(BATCH_RECORDS, BATCH_RECORDS)
    const columns = load.batches.map(loadColumns)
    for (let bytes = 0; bytes < WARMING_BYTES[scale];) {
      const [log] = await engine.makeLogs(1)
      for (let pass = 0; pass < WARMING_PASSES; pass++)
        await inTurns(columns, 8, (batch) => present(log, 'a log').append(batch))
      bytes += WARMING_PASSES * load.count * RECORD_BYTES
    }
    return engine
  }

  /** Everything before is in segments, its WAL released. */
  async makeLogs(count: number): Promise<readonly Log[]> {
    await this.#db.tier.now({ to: 'disk' })
    const run = ++this.#made
    const logs: Log[] = []
    await byWaiters(Array.from({ length: count }), LOG_WAITERS, async (_, index) => {
      logs[index] = await this.#db.createLog(`events-${run}-${index}`, LOG_OPTIONS)
    })
    return logs
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#db.close()
    await this.#directory[Symbol.asyncDispose]()
  }
}

/** `use` appends the load to `count` logs, once so that its code is warm, and once for the figure. */
async function measured(
  engine: WarmEngine,
  count: number,
  use: (logs: readonly Log[]) => Promise<number>,
): Promise<Sample> {
  await use(await engine.makeLogs(count))
  const logs = await engine.makeLogs(count)
  const value = await use(logs)
  return { value, checksum: await checksumInTurn(logs) }
}

function batches(
  engine: WarmEngine,
  load: AppendLoad,
  inputs: readonly Appendable[],
  inFlight: number,
): Contender {
  return {
    name: 'ours',
    measure: () =>
      measured(engine, 1, async ([log]) => {
        const seconds = await secondsOf(() =>
          inTurns(inputs, inFlight, (batch) => present(log, 'a log').append(batch)),
        )
        return load.count / seconds
      }),
  }
}

function singles(engine: WarmEngine, load: AppendLoad, part: number): Contender {
  return {
    name: 'ours',
    measure: () =>
      measured(engine, 1, async ([log]) => {
        const micros = new Float64Array(load.count)
        for (const [index, record] of load.records.entries()) {
          const start = performance.now()
          await present(log, 'a log').append(record)
          micros[index] = (performance.now() - start) * 1_000
        }
        return percentile(micros, part)
      }),
  }
}

/** Records go to the logs in turn. */
function intoLogs(
  engine: WarmEngine,
  name: string,
  load: AppendLoad,
  count: number,
  waiters: number,
): Contender {
  return {
    name,
    measure: () =>
      measured(engine, count, async (logs) => {
        const seconds = await secondsOf(() =>
          byWaiters(load.records, waiters, (record, index) =>
            present(logs[index % count], 'a log').append(record),
          ),
        )
        return load.count / seconds
      }),
  }
}

/** The bytes of the records' values, written into a preallocated file, with one sync for what may wait together. */
function syncLimit(load: AppendLoad, inFlight: number): Contender {
  const steps = Math.ceil(load.batches.length / inFlight)
  return {
    name: 'preallocated write + fdatasync',
    async measure() {
      let seconds = 0
      await rawSyncs(steps, BATCH_RECORDS * RECORD_BYTES * inFlight, async (step) => {
        seconds = await secondsOf(() => {
          for (let index = 0; index < steps; index++) step(index)
        })
      })
      return { value: load.count / seconds, checksum: null }
    },
  }
}

/** As the appends of one waiter, without an engine; it blocks the thread that ours leaves to others. */
function syncLatency(load: AppendLoad, part: number): Contender {
  return {
    name: 'preallocated write + fdatasync',
    async measure() {
      const micros = new Float64Array(load.count)
      await rawSyncs(load.count, FRAME_BYTES, async (step) => {
        for (let index = 0; index < load.count; index++) {
          const start = performance.now()
          step(index)
          micros[index] = (performance.now() - start) * 1_000
        }
      })
      return { value: percentile(micros, part), checksum: null }
    },
  }
}

/** Gives `use` a step that writes the n-th piece of a preallocated file and syncs it. */
async function rawSyncs(
  pieces: number,
  bytes: number,
  use: (step: (index: number) => void) => Promise<void>,
): Promise<void> {
  await using directory = await makeTempDirectory()
  const file = openSync(join(directory.path, 'raw'), 'w')
  const piece = new Uint8Array(bytes)
  for (let index = 0; index < pieces; index++) writeSync(file, piece)
  fsyncSync(file)
  piece.fill(7)
  await use((index) => {
    writeSync(file, piece, 0, bytes, index * bytes)
    fdatasyncSync(file)
  })
  closeSync(file)
}
