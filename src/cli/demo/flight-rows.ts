/** The records as the oracle sees them: read by a library that shares nothing with the engine's readers and writers. */
import { type FlightRows, type FlightSource, FLIGHTS_FILE_RECORDS, generateFlights } from './flights.ts'

const SLICE_ROWS = 250_000

export async function* readFlightRows(source: FlightSource, records: number): AsyncGenerator<FlightRows, void, undefined> {
  if (source.kind === 'generated') yield* generateFlights(source.seed, records)
  else yield* readFile(source.path, Math.min(records, FLIGHTS_FILE_RECORDS))
}

async function* readFile(path: string, records: number): AsyncGenerator<FlightRows, void, undefined> {
  const { default: polars } = await import('nodejs-polars')
  const file = polars.scanParquet(path)
  for (let start = 0; start < records; start += SLICE_ROWS) {
    const length = Math.min(SLICE_ROWS, records - start)
    const slice = await file.slice(start, length).collect()
    const integers = (name: string): BigInt64Array => slice.getColumn(name).cast(polars.Int64).toTypedArray() as BigInt64Array
    const texts = (name: string): string[] => slice.getColumn(name).toArray() as string[]
    yield {
      length,
      date: integers('date'),
      delay: integers('delay'),
      distance: integers('distance'),
      origin: texts('origin'),
      destination: texts('destination'),
    }
  }
}
