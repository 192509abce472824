import { closeSync, fdatasyncSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { Stratalog } from '../src/index.ts'
import { makeAppendLoad, type AppendLoad } from './append-load.ts'
import { duckdbPeer, lmdbPeer, redisMissing, sqlitePeer } from './append-peers.ts'
import { secondsOf, type Benchmark, type Contender, type Scale } from './harness.ts'
import { readChecksum } from './read-checksum.ts'
import { RECORD_BYTES } from './records.ts'
import { makeTempDirectory } from './temp-directory.ts'

const COUNTS: Readonly<Record<Scale, number>> = { full: 200_000, quick: 50_000, tiny: 2_500 }
const BATCH_RECORDS = 1_000

export const appendDurable: Benchmark = {
  name: 'append-durable',
  question:
    'How many records a second survive a crash, in batches of 1000, each synced before its acknowledgement?',
  async *cases(scale) {
    const load = makeAppendLoad(COUNTS[scale], BATCH_RECORDS)
    for (const inFlight of [1, 8]) {
      const floor = inFlight === 1 ? 4 : 6
      const target = { floor, goal: 8 }
      yield {
        name: `${inFlight} in flight`,
        unit: 'records/s',
        higherIsBetter: true,
        targets: { 'node:sqlite WAL FULL': target, 'lmdb sync': target, 'DuckDB file': target },
        checksum: load.checksum,
        ours: ours(load, inFlight),
        peers: [
          sqlitePeer(load, 'durable'),
          lmdbPeer(load, 'durable'),
          duckdbPeer(load, 'durable'),
        ],
        limit: syncLimit(load, inFlight),
        missing: redisMissing(),
      }
    }
  },
}

function ours(load: AppendLoad, inFlight: number): Contender {
  return {
    name: 'ours',
    async measure() {
      await using directory = await makeTempDirectory()
      await using db = await Stratalog.open({ dataDir: join(directory.path, 'data') })
      const log = await db.createLog('events', {
        timeColumn: 'ts',
        keyColumn: 'key',
        storage: { mode: 'persistent', ack: 'disk' },
      })
      const seconds = await secondsOf(async () => {
        const pending: Promise<unknown>[] = []
        for (const batch of load.batches) {
          pending.push(log.append(batch))
          if (pending.length >= inFlight) await pending.shift()
        }
        await Promise.all(pending)
      })
      return { value: load.count / seconds, checksum: await readChecksum(log) }
    },
  }
}

/** The bytes of the records' values, written into a preallocated file, with one sync for what may wait together. */
function syncLimit(load: AppendLoad, inFlight: number): Contender {
  return {
    name: 'preallocated write + fdatasync',
    async measure() {
      await using directory = await makeTempDirectory()
      const file = openSync(join(directory.path, 'raw'), 'w')
      const batchBytes = BATCH_RECORDS * RECORD_BYTES
      const step = new Uint8Array(batchBytes * inFlight)
      const steps = Math.ceil(load.batches.length / inFlight)
      for (let index = 0; index < steps; index++) writeSync(file, step)
      fsyncSync(file)
      step.fill(7)
      const seconds = await secondsOf(() => {
        for (let index = 0; index < steps; index++) {
          writeSync(file, step, 0, step.length, index * step.length)
          fdatasyncSync(file)
        }
      })
      closeSync(file)
      return { value: load.count / seconds, checksum: null }
    },
  }
}
