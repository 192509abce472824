/**
 * A process that writes a directory with an archive on S3: appends, and moves records between tiers in a random
 * order, until it is killed. It tells a journal what it is about to append (`try from count`), what was acknowledged
 * (`ack from count`), and what ends it (`end code`). Deadlines are short, so that what drips or says nothing costs
 * little time.
 *
 * Argument: JSON, as `ArchiveChildOptions`. Credentials come from the environment.
 */
import { openSync, writeSync } from 'node:fs'
import process from 'node:process'
import { systemClock } from '../../src/base/clock.ts'
import { type Random, seededRandom } from '../../src/base/random.ts'
import { storageOf } from '../../src/engine/system-storage.ts'
import { type Log, Stratalog, StratalogError } from '../../src/index.ts'
import { openObjectStore } from '../../src/storage/open-object-store.ts'

export interface ArchiveChildOptions {
  readonly dataDir: string
  readonly archive: string
  readonly endpoint: string
  readonly journal: string
  readonly seed: number
  /** The first number that it appends. */
  readonly from: number
}

const S3_LIMITS = { connectMs: 1_000, responseMs: 1_000, bodyWindowMs: 300 }
const RETRY_POLICY = { triesMax: 4, delayMinMs: 5, delayMaxMs: 50 }
const CIRCUIT_POLICY = { failuresMax: 10, pauseMinMs: 20, pauseMaxMs: 200 }

/** What the store does to a call; the record or the move is tried again, or not acknowledged. */
const STORE_KINDS = new Set(['unavailable', 'not_found', 'conflict', 'corrupt', 'overloaded'])

const options = JSON.parse(process.argv[2] ?? '{}') as ArchiveChildOptions
const told = openSync(options.journal, 'a')
const tell = (line: string): unknown => writeSync(told, `${line}\n`)

function end(error: unknown): never {
  const code = error instanceof StratalogError ? error.code : `crash ${String(error)}`
  tell(`end ${code}`)
  process.exit(8)
}

async function open(): Promise<Stratalog> {
  const { dataDir, archive, endpoint } = options
  const storage = storageOf({ storage: null })
  const { fileSystem } = storage
  return Stratalog.open(
    { dataDir, archive, s3: { endpoint, region: 'us-east-1' }, logLevel: 'silent' },
    {
      storage: {
        ...storage,
        openObjectStore: (url, given) =>
          openObjectStore(url, {
            ...given,
            fileSystem,
            environment: process.env,
            retryPolicy: RETRY_POLICY,
            circuitPolicy: CIRCUIT_POLICY,
            s3Limits: S3_LIMITS,
          }),
      },
    },
  )
}

async function append(log: Log, from: number, random: Random): Promise<number> {
  const count = 1 + (random.uint32() % 20)
  const rows = Array.from({ length: count }, (_, index) => ({ n: from + index }))
  tell(`try ${from} ${count}`)
  await log.append(rows, { ack: random.uint32() % 8 === 0 ? 'object' : 'disk' })
  tell(`ack ${from} ${count}`)
  return from + count
}

/** One step: an append, a move, or a read. @returns the next number to append. */
async function step(db: Stratalog, log: Log, next: number, random: Random): Promise<number> {
  switch (random.uint32() % 12) {
    case 0:
      await db.tier.now({ to: 'disk' })
      return next
    case 1:
    case 2:
      await db.tier.now()
      return next
    case 3:
      await db.tier.compact()
      return next
    case 4:
      await db.tier.collect({ grace: 0 })
      return next
    case 5:
      await read(log, random)
      return next
    default:
      return append(log, next, random)
  }
}

async function read(log: Log, random: Random): Promise<void> {
  const from = random.uint32() % 400
  let offset = from
  for (const row of await log.read({ from, to: from + 50 }).toArray()) {
    const read = Number(row['_offset'])
    if (read !== offset) throw new Error(`read ${read}, not ${offset}`)
    offset++
  }
}

async function main(): Promise<void> {
  const random = seededRandom(options.seed)
  const db = await open()
  const storage = {
    diskAfter: 300,
    archiveAfter: 600,
    memoryTtl: 400,
    diskTtl: 900,
    mode: 'hybrid',
  } as const
  const log = db.logs().some(({ name }) => name === 'orders')
    ? db.log('orders')
    : await db.createLog('orders', { storage })
  tell('open')
  for (let next = options.from; ;) {
    try {
      next = await step(db, log, next, random)
    } catch (error) {
      // The numbers of an append that failed are not used again: it may have been applied.
      next += 20
      if (!(error instanceof StratalogError) || !STORE_KINDS.has(error.kind)) throw error
      if (error.code === 'archive_diverged') throw error
      await systemClock.sleep(10)
    }
  }
}

await main().catch(end)
