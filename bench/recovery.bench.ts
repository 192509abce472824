import { closeSync, cpSync, openSync, readSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { crc32c } from '@node-rs/crc32'
import { Stratalog } from '../src/index.ts'
import { type AppendLoad, inTurns, makeAppendLoad } from './append-load.ts'
import { secondsOf, type Benchmark, type Contender, type Scale } from './harness.ts'
import { readChecksum } from './read-checksum.ts'
import { makeTempDirectory } from './temp-directory.ts'

const COUNTS: Readonly<Record<Scale, number>> = { full: 1_000_000, quick: 200_000, tiny: 2_500 }
const BATCH_RECORDS = 1_000
const IN_FLIGHT = 8
const READ_BYTES = 2 ** 20

export const recovery: Benchmark = {
  name: 'recovery',
  question: 'How long does an engine that crashed take to open, with every record in its WAL?',
  async *cases(scale) {
    await using directory = await makeTempDirectory()
    const load = makeAppendLoad(COUNTS[scale], BATCH_RECORDS)
    const crashed = join(directory.path, 'crashed')
    await leaveCrashed(load, join(directory.path, 'data'), crashed)
    const limit = readLimit(join(crashed, 'wal'))
    yield {
      name: `${load.count.toLocaleString('en-US')} records`,
      unit: 'ms',
      higherIsBetter: false,
      targets: { [limit.name]: { floor: 1 / 3, goal: 1 / 1.5 } },
      checksum: load.checksum,
      ours: ours(crashed),
      peers: [],
      limit,
      missing: [],
    }
  },
}

/** The directory as a power cut leaves it right after the last acknowledgement: nothing was flushed, nothing closed. */
async function leaveCrashed(load: AppendLoad, dataDir: string, crashed: string): Promise<void> {
  await using db = await Stratalog.open({ dataDir })
  const log = await db.createLog('events', {
    timeColumn: 'ts',
    keyColumn: 'key',
    storage: { mode: 'persistent', ack: 'disk' },
  })
  await inTurns(load.batches, IN_FLIGHT, (batch) => log.append(batch))
  cpSync(dataDir, crashed, { recursive: true })
}

/** Opens a copy, as recovery changes what it opens. The copy lies in the page cache, for everyone alike. */
function ours(crashed: string): Contender {
  return {
    name: 'ours',
    async measure() {
      await using directory = await makeTempDirectory()
      const dataDir = join(directory.path, 'data')
      cpSync(crashed, dataDir, { recursive: true })
      let opened: Stratalog | null = null
      const seconds = await secondsOf(async () => {
        opened = await Stratalog.open({ dataDir })
      })
      await using db = opened as unknown as Stratalog
      return { value: seconds * 1_000, checksum: await readChecksum(db.log('events')) }
    },
  }
}

/** The files of the WAL, each read and checksummed once. */
function readLimit(walDirectory: string): Contender {
  return {
    name: 'reading and checksumming the same bytes',
    async measure() {
      const bytes = new Uint8Array(READ_BYTES)
      let checksum = 0
      const seconds = await secondsOf(() => {
        for (const name of readdirSync(walDirectory)) {
          const file = openSync(join(walDirectory, name), 'r')
          for (let count = readSync(file, bytes); count > 0; count = readSync(file, bytes))
            checksum = crc32c(bytes.subarray(0, count), checksum)
          closeSync(file)
        }
      })
      return { value: seconds * 1_000, checksum: null }
    },
  }
}
