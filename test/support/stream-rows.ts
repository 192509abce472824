/** Clicks for continuous queries, and how their rows are compared. */
import { expect } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import { Stratalog, type StreamSqlOptions } from '../../src/index.ts'

export type StreamRow = Readonly<Record<string, unknown>>

export const START: number = Date.UTC(2026, 0, 1)
const ENDPOINTS = ['/cart', '/home', '/pay']

export const COUNTS = 'SELECT count(*) AS n FROM clicks GROUP BY TUMBLE(_time, INTERVAL 1 SECOND)'

export interface Click {
  readonly user_id: number
  readonly latency: number
  readonly tags: { readonly endpoint: string }
  readonly timestamp: Date
}

/** A click every 100 ms, each later than its turn by up to `disorderMs`. */
export function clicks(count: number, disorderMs: number, seed = 1): Click[] {
  const random = seededRandom(seed)
  return Array.from({ length: count }, (_, index) => ({
    user_id: index % 7,
    latency: (random.uint32() % 1000) / 4,
    tags: { endpoint: ENDPOINTS[random.uint32() % 3] ?? '' },
    timestamp: new Date(START + index * 100 + (random.uint32() % (disorderMs + 1))),
  }))
}

/** A record for each time, in ms after the start. */
export function at(...times: number[]): StreamRow[] {
  return times.map((time) => ({ timestamp: new Date(START + time), user_id: time }))
}

export async function clickLog(partitions = 1): Promise<Stratalog> {
  const db = await Stratalog.memoryOnly()
  await db.createLog('clicks', { timeColumn: 'timestamp', partitions })
  return db
}

/** The rows of a query that ends with what there is. */
export async function rowsOf(
  db: Stratalog,
  sql: string,
  options: StreamSqlOptions = {},
): Promise<StreamRow[]> {
  return allOf(db.streamSql(sql, { live: false, ...options }))
}

export async function allOf(rows: AsyncIterable<StreamRow>): Promise<StreamRow[]> {
  const all: StreamRow[] = []
  for await (const row of rows) all.push(row)
  return all
}

/** Starts of windows, after the start, with what they count. */
export function short(rows: readonly StreamRow[]): unknown[] {
  return rows.map((row) => [Number(row['window_start']) - START, row['n']])
}

/** Waits until what is read passes the assertion. */
export function eventually<T>(read: () => T): ReturnType<typeof expect.poll<T>> {
  return expect.poll(read, { timeout: 30_000 })
}
