/** What the engine process of the demo does for each request. */
import { assert } from '../../base/assert.ts'
import { systemClock } from '../../base/clock.ts'
import { silentLogger } from '../../base/logger.ts'
import { MemoryMetrics } from '../../base/metrics.ts'
import { LogHasher } from '../../format/content-hash.ts'
import type { Tier } from '../../format/manifest.ts'
import type { Log } from '../../engine/log.ts'
import { restoreArchive } from '../../engine/archive-operations.ts'
import { Stratalog } from '../../engine/stratalog.ts'
import { FlightReader } from './flight-columns.ts'
import { FLIGHT_FIELDS, FLIGHT_TIME_COLUMN } from './flights.ts'
import type { CallName, Calls, QueryAnswer, TierFact } from './protocol.ts'
import { ShiftedClock } from './shifted-clock.ts'

export const DEMO_LOG = 'flights'

/** Appends under way at once. */
const IN_FLIGHT_MAX = 4
/** More rounds than any record has tiers to go through. */
const ROUNDS_MAX = 20

type Answers = {
  readonly [Name in CallName]: (request: Calls[Name]['request']) => Promise<Calls[Name]['answer']>
}

interface Running {
  readonly db: Stratalog
  readonly clock: ShiftedClock
}

export class EngineHost {
  readonly #acked: (records: number) => void
  readonly #metrics = new MemoryMetrics()
  #running: Running | null = null
  #reader: FlightReader | null = null

  readonly #answers: Answers = {
    open: (request) => this.#open(request),
    load: (request) => this.#load(request),
    age: ({ ms }) => this.#age(ms),
    tiers: () => this.#tiers(),
    query: ({ sql }) => this.#query(sql),
    snapshot: ({ name }) =>
      this.#db.snapshot({ name }).then((snapshot) => ({ name: snapshot.name })),
    hash: () => this.#hash(),
    archive: () => this.#archive(),
    restore: (request) => this.#restore(request),
    close: () => this.#close(),
  }

  constructor(acked: (records: number) => void) {
    this.#acked = acked
  }

  call<Name extends CallName>(
    name: Name,
    request: Calls[Name]['request'],
  ): Promise<Calls[Name]['answer']> {
    const answer: (request: Calls[Name]['request']) => Promise<Calls[Name]['answer']> =
      this.#answers[name]
    return answer(request)
  }

  get #db(): Stratalog {
    assert(this.#running !== null, 'the engine is open')
    return this.#running.db
  }

  get #requests(): number {
    return this.#metrics.total('stratalog_object_store_requests_total')
  }

  get #log(): Log {
    return this.#db.log(DEMO_LOG)
  }

  async #open(request: Calls['open']['request']): Promise<Calls['open']['answer']> {
    const clock = new ShiftedClock(request.shiftMs)
    const startedAt = clock.monotonic()
    const { dataDir, archive, s3 } = request
    const db = await Stratalog.open(
      { dataDir, archive, ...(s3 === null ? {} : { s3 }) },
      { clock, metrics: this.#metrics, logger: silentLogger },
    )
    this.#running = { db, clock }
    // Records move when the demo lets time pass, and at no other time.
    await db.tier.pause()
    if (request.create) {
      await db.createLog(DEMO_LOG, {
        schema: FLIGHT_FIELDS,
        timeColumn: FLIGHT_TIME_COLUMN,
        storage: {
          mode: 'hybrid',
          memoryTtl: '1h',
          diskAfter: '5m',
          archiveAfter: '6h',
          diskTtl: '1d',
        },
      })
    }
    const partition = db.status().logs[0]?.partitions[0]
    return {
      elapsedMs: Math.round(clock.monotonic() - startedAt),
      endOffset: partition?.endOffset ?? 0,
    }
  }

  async #load({
    source,
    total,
    to,
    batchRecords,
  }: Calls['load']['request']): Promise<Calls['load']['answer']> {
    const startedAt = systemClock.monotonic()
    const log = this.#log
    const end = this.#db.status().logs[0]?.partitions[0]?.endOffset ?? 0
    this.#reader ??= new FlightReader(source, total)
    await this.#reader.skipTo(end)
    const inFlight: Array<Promise<void>> = []
    while (this.#reader.position < to) {
      const records = await this.#reader.next(Math.min(batchRecords, to - this.#reader.position))
      if (records === null) break
      const appended = log.append(records).then(({ offset, count }) => this.#acked(offset + count))
      appended.catch(() => {})
      inFlight.push(appended)
      if (inFlight.length >= IN_FLIGHT_MAX) await inFlight.shift()
    }
    await Promise.all(inFlight)
    return { elapsedMs: Math.round(systemClock.monotonic() - startedAt) }
  }

  async #age(ms: number): Promise<Calls['age']['answer']> {
    this.#running?.clock.advance(ms)
    let moves = 0
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const moved = await this.#db.tier.run()
      moves += moved.length
      if (moved.length === 0) break
    }
    return { moves }
  }

  async #tiers(): Promise<Calls['tiers']['answer']> {
    const partitions = this.#db.status().logs.flatMap((log) => log.partitions)
    const sum = (tier: Tier): TierFact => ({
      records: partitions.reduce((total, { tiers }) => total + tiers[tier].records, 0),
      bytes: partitions.reduce((total, { tiers }) => total + tiers[tier].bytes, 0),
    })
    return {
      tiers: { memory: sum('memory'), disk: sum('disk'), object: sum('object') },
      requests: this.#requests,
    }
  }

  async #query(sql: string): Promise<QueryAnswer> {
    const result = await this.#db.query(sql)
    const { columns, rows, stats } = await result.toJson()
    return {
      elapsedMs: Math.round(stats.elapsedMs),
      recordsByTier: stats.recordsByTier,
      columns: columns.map((column) => column.name),
      rows,
    }
  }

  async #hash(): Promise<Calls['hash']['answer']> {
    const startedAt = systemClock.monotonic()
    const schema = { id: 0, fields: this.#log.describe().schema }
    const hasher = new LogHasher(schema)
    let records = 0
    const columns = schema.fields.map((field) => field.name)
    for await (const batch of this.#log.read({ columns })) {
      const { partition, baseOffset, length } = batch
      hasher.add(partition, {
        schema,
        baseOffset,
        length,
        columns: batch.columns,
        appendTimeMin: 0,
        appendTimeMax: 0,
      })
      records += batch.length
    }
    return {
      records,
      hash: hasher.digestHex(),
      elapsedMs: Math.round(systemClock.monotonic() - startedAt),
    }
  }

  async #archive(): Promise<Calls['archive']['answer']> {
    const startedAt = systemClock.monotonic()
    const { failed } = await this.#db.tier.now({ to: 'object' })
    return { elapsedMs: Math.round(systemClock.monotonic() - startedAt), failed: failed.length }
  }

  async #restore({
    dataDir,
    archive,
    s3,
  }: Calls['restore']['request']): Promise<Calls['restore']['answer']> {
    const report = await restoreArchive(
      { dataDir, archive, eager: true, ...(s3 === null ? {} : { s3 }) },
      { metrics: this.#metrics },
    )
    return { records: report.records, elapsedMs: report.elapsedMs }
  }

  async #close(): Promise<Calls['close']['answer']> {
    await this.#reader?.close()
    // Who keeps the directory finds it as any other.
    await this.#running?.db.tier.resume()
    await this.#running?.db.close()
    this.#running = null
    return { requests: this.#requests }
  }
}
