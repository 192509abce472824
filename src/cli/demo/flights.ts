/**
 * The records of the demo: three million flights of 2001, as the npm package vega-datasets ships them, or, without that
 * package or for more records than it has, a seeded set of the same columns.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { seededRandom } from '../../base/random.ts'
import type { Field } from '../../format/schema.ts'

export const FLIGHT_TIME_COLUMN = 'date'

export const FLIGHT_FIELDS: readonly Field[] = [
  { name: FLIGHT_TIME_COLUMN, type: 'timestamp[us]', nullable: false },
  { name: 'delay', type: 'int64', nullable: true },
  { name: 'distance', type: 'int64', nullable: true },
  { name: 'origin', type: 'utf8', nullable: true },
  { name: 'destination', type: 'utf8', nullable: true },
]

/** Records as plain columns, before any of our formats. `date` counts µs since 1970; nothing is null. */
export interface FlightRows {
  readonly length: number
  readonly date: BigInt64Array
  readonly delay: BigInt64Array
  readonly distance: BigInt64Array
  readonly origin: readonly string[]
  readonly destination: readonly string[]
}

/** Where the records come from; `path` names the file. */
export type FlightSource =
  | { readonly kind: 'vega-datasets'; readonly path: string }
  | { readonly kind: 'generated'; readonly seed: number }

/** Records in the file. */
export const FLIGHTS_FILE_RECORDS = 3_000_000

const SEED = 2001

/** The file when it is installed and has enough records, else the generated set. */
export function findFlights(records: number): FlightSource {
  const path = records <= FLIGHTS_FILE_RECORDS ? flightsPath() : null
  return path === null ? { kind: 'generated', seed: SEED } : { kind: 'vega-datasets', path }
}

function flightsPath(): string | null {
  const require = createRequire(import.meta.url)
  try {
    const path = join(dirname(require.resolve('vega-datasets')), '..', 'data', 'flights-3m.parquet')
    return existsSync(path) ? path : null
  } catch {
    return null
  }
}

const AIRPORTS = [
  'ATL',
  'ORD',
  'DFW',
  'LAX',
  'PHX',
  'DEN',
  'STL',
  'MSP',
  'DTW',
  'SFO',
  'IAH',
  'LAS',
  'PHL',
  'CLT',
  'SEA',
]
const CHUNK_ROWS = 50_000
const YEAR_START_US = 978_307_200_000_000n
const HALF_YEAR_US = 15_638_400_000_000

/** The same records for the same seed, in order of time, over half a year. */
export function* generateFlights(
  seed: number,
  records: number,
): Generator<FlightRows, void, undefined> {
  const random = seededRandom(seed)
  for (let start = 0; start < records; start += CHUNK_ROWS) {
    const length = Math.min(CHUNK_ROWS, records - start)
    const rows = {
      length,
      date: new BigInt64Array(length),
      delay: new BigInt64Array(length),
      distance: new BigInt64Array(length),
      origin: [] as string[],
      destination: [] as string[],
    }
    for (let row = 0; row < length; row++) {
      const minute = Math.floor(((start + row) / records) * (HALF_YEAR_US / 6e7))
      const dice = random.uint32()
      rows.date[row] = YEAR_START_US + BigInt(minute) * 60_000_000n
      rows.delay[row] = BigInt((dice % 64) - 16 + (dice % 97 === 0 ? 180 : 0))
      rows.distance[row] = BigInt(100 + (random.uint32() % 2_500))
      rows.origin.push(AIRPORTS[random.uint32() % AIRPORTS.length] ?? '')
      rows.destination.push(AIRPORTS[random.uint32() % AIRPORTS.length] ?? '')
    }
    yield rows
  }
}
