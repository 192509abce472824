/**
 * A process that appends flights to a log with an archive on S3, from where the log ends, and moves records to the
 * archive meanwhile, over and over. It prints `acked END` once records are acknowledged at `disk`, `moving` and
 * `moved END` around each move to the archive, and ends in order when all are there.
 *
 * Argument: JSON, as `FlightsChildOptions`. Credentials come from the environment.
 */
import process from 'node:process'
import { systemClock } from '../../src/base/clock.ts'
import { FlightReader } from '../../src/cli/demo/flight-columns.ts'
import { FLIGHT_FIELDS, FLIGHT_TIME_COLUMN, findFlights } from '../../src/cli/demo/flights.ts'
import { Stratalog } from '../../src/index.ts'

export interface FlightsChildOptions {
  readonly dataDir: string
  readonly archive: string
  readonly endpoint: string
  readonly records: number
}

const BATCH_RECORDS = 10_000
const IN_FLIGHT = 4

const { dataDir, archive, endpoint, records } = JSON.parse(
  process.argv[2] ?? '{}',
) as FlightsChildOptions
const say = (line: string): unknown => process.stdout.write(`${line}\n`)

const s3 = { endpoint, region: 'us-east-1' }
const db = await Stratalog.open({ dataDir, archive, s3, logLevel: 'silent' })
const log = db.logs().some(({ name }) => name === 'flights')
  ? db.log('flights')
  : await db.createLog('flights', { schema: FLIGHT_FIELDS, timeColumn: FLIGHT_TIME_COLUMN })

const archivedEnd = (): number => db.status().logs[0]?.partitions[0]?.archivedOffset ?? 0

async function append(): Promise<void> {
  const reader = new FlightReader(findFlights(records), records)
  await reader.skipTo(db.status().logs[0]?.partitions[0]?.endOffset ?? 0)
  const inFlight: Promise<unknown>[] = []
  for (let next = await reader.next(BATCH_RECORDS); next !== null;) {
    const acked = log.append(next, { ack: 'disk' })
    inFlight.push(acked.then(({ offset, count }) => say(`acked ${offset + count}`)))
    if (inFlight.length >= IN_FLIGHT) await inFlight.shift()
    next = await reader.next(BATCH_RECORDS)
  }
  await Promise.all(inFlight)
  await reader.close()
}

async function move(): Promise<void> {
  say('moving')
  await db.tier.now({ to: 'object' })
  say(`moved ${archivedEnd()}`)
  // A move of nothing ends at once, and nothing else would get its turn.
  await systemClock.sleep(20)
}

let isDone = false
const appending = append().finally(() => {
  isDone = true
})
while (!isDone) await move()
await appending
while (archivedEnd() < records) await move()
await db.close()
