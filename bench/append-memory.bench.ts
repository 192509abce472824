import { tableFromArrays, type Table } from 'apache-arrow'
import { Stratalog } from '../src/index.ts'
import { makeAppendLoad, type AppendLoad } from './append-load.ts'
import { arrayPeer, duckdbPeer, lmdbPeer, redisMissing, sqlitePeer } from './append-peers.ts'
import { secondsOf, type Benchmark, type Contender, type Scale } from './harness.ts'
import { RECORD_BYTES, type BenchRecord } from './records.ts'
import { readChecksum } from './read-checksum.ts'

const COUNTS: Readonly<Record<Scale, number>> = { full: 500_000, quick: 100_000, tiny: 2_500 }
const BATCH_RECORDS = 1_000

export const appendMemory: Benchmark = {
  name: 'append-memory',
  question: 'How many records a second does a log in RAM take, in batches of 1000?',
  async *cases(scale) {
    const load = makeAppendLoad(COUNTS[scale], BATCH_RECORDS)
    const limit = memcpyLimit(load)
    const common = { unit: 'records/s', higherIsBetter: true, checksum: load.checksum, limit }
    const peers = [
      sqlitePeer(load, 'memory'),
      lmdbPeer(load, 'memory'),
      duckdbPeer(load, 'memory'),
      arrayPeer(load),
    ]
    yield {
      ...common,
      name: 'rows',
      targets: {
        'node:sqlite in memory': { floor: 7, goal: 11 },
        'lmdb nosync': { floor: 10, goal: 15 },
        'DuckDB appender': { floor: 15, goal: 20 },
        'array of objects': { floor: 0.7, goal: 1.1 },
      },
      ours: ours('ours', load, load.batches),
      peers,
      missing: redisMissing(),
    }
    yield {
      ...common,
      name: 'arrow',
      targets: { memcpy: { floor: 0.45, goal: 0.8 } },
      ours: ours('ours', load, load.batches.map(arrowTable)),
      peers: [duckdbPeer(load, 'memory')],
      missing: [],
    }
  },
}

function ours(
  name: string,
  load: AppendLoad,
  batches: readonly (readonly BenchRecord[] | Table)[],
): Contender {
  return {
    name,
    async measure() {
      await using db = await Stratalog.memoryOnly()
      const log = await db.createLog('events', { timeColumn: 'ts', keyColumn: 'key' })
      const seconds = await secondsOf(async () => {
        for (const batch of batches) await log.append(batch)
      })
      return { value: load.count / seconds, checksum: await readChecksum(log) }
    },
  }
}

function arrowTable(batch: readonly BenchRecord[]): Table {
  return tableFromArrays({
    ts: BigInt64Array.from(batch, ({ ts }) => BigInt(ts)),
    key: batch.map(({ key }) => key),
    amount: Int32Array.from(batch, ({ amount }) => amount),
    price: Float64Array.from(batch, ({ price }) => price),
    event: batch.map(({ event }) => event),
    text: batch.map(({ text }) => text),
  })
}

/** The bytes of the records' values, copied once into memory that is already there. */
function memcpyLimit(load: AppendLoad): Contender {
  return {
    name: 'memcpy',
    async measure() {
      const source = new Uint8Array(BATCH_RECORDS * RECORD_BYTES).fill(7)
      const target = new Uint8Array(load.count * RECORD_BYTES + source.length).fill(1)
      const seconds = await secondsOf(() => {
        for (let position = 0; position < load.count * RECORD_BYTES; position += source.length) {
          target.set(source, position)
        }
      })
      return { value: load.count / seconds, checksum: null }
    },
  }
}
