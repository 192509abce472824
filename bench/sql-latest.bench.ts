import { DuckDBInstance } from '@duckdb/node-api'
import { Stratalog } from '../src/index.ts'
import { secondsOf, type Benchmark, type Contender, type Scale } from './harness.ts'

const COUNTS: Readonly<Record<Scale, number>> = { full: 3_000_000, quick: 300_000, tiny: 3_000 }
const RECORDS_PER_KEY = 10
const APPEND_RECORDS = 10_000
/** Come between two questions. */
const MORE_RECORDS = 1_000

interface Update {
  readonly id: string
  readonly n: number
}

/** Every key is updated as often, the keys in an order of no kind; `from` counts updates. */
function updates(from: number, count: number, keys: number): readonly Update[] {
  return Array.from({ length: count }, (_, index) => {
    const n = from + index
    return { id: `customer-${(n * 7_919) % keys}`, n }
  })
}

const ANSWER = 'count(*) AS keys, sum(n) AS total'
const LATEST = `SELECT ${ANSWER} FROM "updates$latest"`
const ARG_MAX = `SELECT ${ANSWER} FROM (SELECT arg_max(n, n) AS n FROM updates GROUP BY id)`

export const sqlLatest: Benchmark = {
  name: 'sql-latest',
  question: 'What does the newest record of each key cost while the log grows?',
  async *cases(scale) {
    const count = COUNTS[scale]
    const keys = Math.max(MORE_RECORDS, Math.floor(count / RECORDS_PER_KEY))
    // What comes more is what is the newest already, so that every run has the same answer.
    const more = updates(count - MORE_RECORDS, MORE_RECORDS, keys)
    await using db = await Stratalog.memoryOnly({ maxMemoryBytes: '4GB' })
    const log = await db.createLog('updates', { keyColumn: 'id' })
    await using peer = await openPeer()
    for (let from = 0; from < count; from += APPEND_RECORDS) {
      const batch = updates(from, Math.min(APPEND_RECORDS, count - from), keys)
      await log.append(batch)
      await peer.append(batch)
    }
    await (await db.query(LATEST)).toArray()
    yield {
      name: `${MORE_RECORDS.toLocaleString('en')} more records`,
      unit: 'ms',
      higherIsBetter: false,
      targets: { 'arg_max in DuckDB': { floor: 1, goal: 5 } },
      checksum: await peer.answer(),
      missing: [],
      ours: {
        name: 'ours',
        async measure() {
          await log.append(more)
          let rows: readonly object[] = []
          const seconds = await secondsOf(async () => {
            rows = await (await db.query(LATEST)).toArray()
          })
          return { value: seconds * 1_000, checksum: textOf(rows) }
        },
      },
      peers: [peer.contender(more)],
      limit: onePass(count),
    }
  },
}

interface Peer extends AsyncDisposable {
  append(batch: readonly Update[]): Promise<void>
  answer(): Promise<string>
  contender(more: readonly Update[]): Contender
}

/** DuckDB's own table, asked for all of it each time. */
async function openPeer(): Promise<Peer> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run('CREATE TABLE updates (id VARCHAR, n BIGINT)')
  const append = async (batch: readonly Update[]): Promise<void> => {
    const appender = await connection.createAppender('updates')
    for (const { id, n } of batch) {
      appender.appendVarchar(id)
      appender.appendBigInt(BigInt(n))
      appender.endRow()
    }
    appender.closeSync()
  }
  const answer = async (): Promise<string> =>
    textOf((await connection.runAndReadAll(ARG_MAX)).getRowObjectsJS())
  return {
    append,
    answer,
    contender: (more) => ({
      name: 'arg_max in DuckDB',
      async measure() {
        await append(more)
        let checksum = ''
        const seconds = await secondsOf(async () => {
          checksum = await answer()
        })
        return { value: seconds * 1_000, checksum }
      },
    }),
    async [Symbol.asyncDispose]() {
      connection.closeSync()
      instance.closeSync()
    },
  }
}

/** A look at a bit for each record. */
function onePass(count: number): Contender {
  return {
    name: 'one pass over a bit per record',
    async measure() {
      const bits = Buffer.alloc(Math.ceil(count / 8), 1)
      let found = 0
      const seconds = await secondsOf(() => {
        found = bits.indexOf(2)
      })
      return { value: found < 0 ? seconds * 1_000 : 0, checksum: null }
    },
  }
}

function textOf(rows: readonly unknown[]): string {
  return JSON.stringify(rows, (_, value: unknown) =>
    typeof value === 'bigint' || typeof value === 'number' ? String(value) : value,
  )
}
