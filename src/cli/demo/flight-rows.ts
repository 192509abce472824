/** The records as the oracle sees them: read by a library that shares nothing with the engine's readers and writers. */
import { zstdDecompressSync } from 'node:zlib'
import { type ColumnData, asyncBufferFromFile, parquetMetadataAsync, parquetRead } from 'hyparquet'
import { present } from '../../base/assert.ts'
import {
  type FlightRows,
  type FlightSource,
  FLIGHTS_FILE_RECORDS,
  generateFlights,
} from './flights.ts'

export async function* readFlightRows(
  source: FlightSource,
  records: number,
): AsyncGenerator<FlightRows, void, undefined> {
  if (source.kind === 'generated') yield* generateFlights(source.seed, records)
  else yield* readFile(source.path, Math.min(records, FLIGHTS_FILE_RECORDS))
}

/** A row group of the file at a time. */
async function* readFile(
  path: string,
  records: number,
): AsyncGenerator<FlightRows, void, undefined> {
  const file = await asyncBufferFromFile(path)
  const metadata = await parquetMetadataAsync(file)
  let start = 0
  for (const group of metadata.row_groups) {
    if (start >= records) return
    const rowEnd = Math.min(records, start + Number(group.num_rows))
    const columns = new Map<string, readonly unknown[]>()
    await parquetRead({
      file,
      metadata,
      rowStart: start,
      rowEnd,
      compressors: { ZSTD: (compressed) => zstdDecompressSync(compressed) },
      // The count of µs as it is, not a Date that would cut it.
      parsers: { timestampFromMicroseconds: (count: bigint) => count },
      onChunk: (chunk) => columns.set(chunk.columnName, wanted(chunk, start, rowEnd)),
    })
    yield toRows(columns, rowEnd - start)
    start = rowEnd
  }
}

/** Chunks are whole pages, which may begin before and end after what was asked for. */
function wanted(chunk: ColumnData, start: number, end: number): readonly unknown[] {
  return Array.from(chunk.columnData).slice(start - chunk.rowStart, end - chunk.rowStart)
}

function toRows(columns: ReadonlyMap<string, readonly unknown[]>, length: number): FlightRows {
  const values = (name: string): readonly unknown[] =>
    present(columns.get(name), `the column ${name} of the flights`)
  const integers = (name: string): BigInt64Array =>
    BigInt64Array.from(values(name) as readonly bigint[])
  const texts = (name: string): readonly string[] => values(name) as readonly string[]
  return {
    length,
    date: integers('date'),
    delay: integers('delay'),
    distance: integers('distance'),
    origin: texts('origin'),
    destination: texts('destination'),
  }
}
