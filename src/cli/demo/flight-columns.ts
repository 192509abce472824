/** The records as the engine gets them: the way an import goes, or columns made of the generated rows. */
import type { ColumnData } from '../../format/column.ts'
import type { ColumnType } from '../../format/schema.ts'
import { sliceColumn } from '../../format/column.ts'
import { scanFile } from '../../query/file-scan.ts'
import type { ColumnRecords } from '../append-target.ts'
import { FLIGHT_FIELDS, type FlightRows, type FlightSource, generateFlights } from './flights.ts'

/** Reads on from where it stands, in pieces of the size asked for. */
export class FlightReader {
  readonly #chunks: AsyncIterator<ColumnRecords>
  #chunk: ColumnRecords | null = null
  #taken = 0
  /** Records given out so far. */
  position = 0

  constructor(source: FlightSource, records: number) {
    const chunks =
      source.kind === 'generated'
        ? generatedColumns(source.seed, records)
        : scanFile(source.path, { format: 'parquet' })
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** The next records, at most `rowsMax` of them; null at the end. */
  async next(rowsMax: number): Promise<ColumnRecords | null> {
    if (this.#chunk === null || this.#taken === this.#chunk.length) {
      const next = await this.#chunks.next()
      if (next.done === true) return null
      this.#chunk = next.value
      this.#taken = 0
    }
    const start = this.#taken
    const end = Math.min(this.#chunk.length, start + rowsMax)
    this.#taken = end
    this.position += end - start
    return {
      fields: FLIGHT_FIELDS,
      columns: this.#chunk.columns.map((column) => sliceColumn(column, start, end)),
      length: end - start,
    }
  }

  async skipTo(position: number): Promise<void> {
    while (this.position < position && (await this.next(position - this.position)) !== null);
  }

  async close(): Promise<void> {
    await this.#chunks.return?.()
  }
}

async function* generatedColumns(
  seed: number,
  records: number,
): AsyncGenerator<ColumnRecords, void, undefined> {
  for (const rows of generateFlights(seed, records)) yield toColumns(rows)
}

function toColumns(rows: FlightRows): ColumnRecords {
  const columns = [
    integerColumn('timestamp[us]', rows.date),
    integerColumn('int64', rows.delay),
    integerColumn('int64', rows.distance),
    textColumn(rows.origin),
    textColumn(rows.destination),
  ]
  return { fields: FLIGHT_FIELDS, columns, length: rows.length }
}

function integerColumn(type: ColumnType, values: BigInt64Array): ColumnData {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  return {
    type,
    length: values.length,
    nullCount: 0,
    validity: null,
    offsets: null,
    values: bytes,
    dictionary: null,
  }
}

function textColumn(texts: readonly string[]): ColumnData {
  const offsets = new Int32Array(texts.length + 1)
  let end = 0
  for (const [row, text] of texts.entries()) {
    end += Buffer.byteLength(text)
    offsets[row + 1] = end
  }
  const values = new Uint8Array(Buffer.from(texts.join('')))
  return {
    type: 'utf8',
    length: texts.length,
    nullCount: 0,
    validity: null,
    offsets,
    values,
    dictionary: null,
  }
}
