/**
 * The result of a query, read once: as batches, as rows, or collected. Rows arrive while the query runs; the worker
 * stays at most a window ahead of the reader.
 */
import type { Table } from 'apache-arrow'
import { StratalogError } from '../base/errors.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { ColumnType, Schema } from '../format/schema.ts'
import type { Tier } from '../format/manifest.ts'
import { type ResultChunk, type ResultColumn, chunkBytes } from './protocol.ts'
import { jsonReader, rowReader, uniqueNames } from './result-values.ts'

export type QueryRow = Record<string, unknown>

export interface SegmentCounts {
  readonly scanned: number
  /** Passed over, by what is known of them. */
  readonly pruned: number
}

/** What a query took of one tier. Memory has no segments and no files, and only what lies in the archive is cached. */
export interface TierStats {
  readonly records: number
  readonly bytes: number
  readonly segments: SegmentCounts
  /** Local files that were read, a pack of several segments once. */
  readonly files: number
  readonly cache: { readonly hits: number; readonly misses: number }
  readonly requests: number
}

/** What a query took. Known when the query has ended. */
export interface QueryStats {
  readonly elapsedMs: number
  /** Of the result. */
  readonly rows: number
  /** Records read of each tier; a record that the statement reads twice counts once. */
  readonly recordsByTier: Readonly<Record<Tier, number>>
  readonly bytesByTier: Readonly<Record<Tier, number>>
  readonly segments: SegmentCounts
  /** The same of the tiers that have segments; what was fetched from the archive and is cached is of `object`. */
  readonly segmentsByTier: Readonly<Record<'disk' | 'object', SegmentCounts>>
  readonly cache: { readonly hits: number; readonly misses: number }
  /** Requests to the object store. */
  readonly requests: number
  /** All of it by tier: that of the copies that were read. */
  readonly tiers: Readonly<Record<Tier, TierStats>>
}

/** A query's result as one JSON document: the `sql` command's. */
export interface QueryJson {
  readonly columns: readonly ResultColumn[]
  readonly rows: readonly (readonly unknown[])[]
  readonly stats: QueryStats
}

/** Where a result comes from. */
export interface ResultSource {
  /** The next rows; null after the last. Rejects with the query's error. */
  next(): Promise<ResultChunk | null>
  /** Ends the query early; resolves when it is over. */
  cancel(): Promise<void>
  readonly stats: Promise<QueryStats>
  /** Of what is collected; `COLLECTED_BYTES_MAX` unless it says so. */
  readonly collectedBytesMax?: number
}

/** Rows that `toArray`, `toArrow` and `toJson` collect at most: what is bigger is read as it comes. */
export const COLLECTED_ROWS_MAX = 10_000_000

/** And bytes of them in Arrow's layout; as objects, rows take several times that. */
export const COLLECTED_BYTES_MAX: number = 1024 ** 3

export class QueryResult implements AsyncIterable<QueryRow>, AsyncDisposable {
  readonly columns: readonly ResultColumn[]
  /** Names and types of the batches; of two columns with one name, the second is `name:1`. */
  readonly schema: Schema
  readonly #source: ResultSource
  #isRead = false

  constructor(
    columns: readonly ResultColumn[],
    types: readonly ColumnType[],
    source: ResultSource,
  ) {
    this.columns = columns
    const names = uniqueNames(columns.map((column) => column.name))
    this.schema = {
      id: 0,
      fields: types.map((type, index) => ({ name: names[index] ?? '', type, nullable: true })),
    }
    this.#source = source
  }

  /** What the query took. Resolves when it has ended; rejects with its error. */
  get stats(): Promise<QueryStats> {
    return this.#source.stats
  }

  /** The rows as Arrow-layout batches. Leaving the loop early cancels the query. */
  async *batches(): AsyncGenerator<RecordBatch, void, undefined> {
    const { schema } = this
    let baseOffset = 0
    for await (const { length, columns } of this.#chunks()) {
      yield { schema, baseOffset, length, columns, appendTimeMin: 0, appendTimeMax: 0 }
      baseOffset += length
    }
  }

  /** The rows as objects, by the schema's names. Leaving the loop early cancels the query. */
  async *[Symbol.asyncIterator](): AsyncGenerator<QueryRow, void, undefined> {
    const read = rowReader(this.columns)
    for await (const chunk of this.#chunks()) yield* read(chunk)
  }

  /**
   * Every row as an object.
   * @throws StratalogError `query_limit` beyond `COLLECTED_ROWS_MAX` rows or `COLLECTED_BYTES_MAX`.
   */
  async toArray(): Promise<QueryRow[]> {
    const read = rowReader(this.columns)
    const rows: QueryRow[] = []
    for (const chunk of await this.#collect()) for (const row of read(chunk)) rows.push(row)
    return rows
  }

  /** Every row as an Arrow table. @throws StratalogError as `toArray`. */
  async toArrow(): Promise<Table> {
    const { toArrowTable } = await import('../format/arrow-output.ts')
    return toArrowTable(this.schema.fields, await this.#collect())
  }

  /** Every row as a list of JSON values, with the columns and the stats. @throws StratalogError as `toArray`. */
  async toJson(): Promise<QueryJson> {
    const read = jsonReader(this.columns)
    const rows: unknown[][] = []
    for (const chunk of await this.#collect()) rows.push(...read(chunk))
    return { columns: this.columns, rows, stats: await this.stats }
  }

  /** Ends the query, read to its end or not. */
  async close(): Promise<void> {
    this.#isRead = true
    await this.#source.cancel()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *#chunks(): AsyncGenerator<ResultChunk, void, undefined> {
    if (this.#isRead) throw new StratalogError('argument_invalid', 'A query result is read once.')
    this.#isRead = true
    try {
      for (let chunk = await this.#source.next(); chunk !== null; chunk = await this.#source.next())
        yield chunk
    } finally {
      await this.#source.cancel()
    }
  }

  async #collect(): Promise<readonly ResultChunk[]> {
    const chunks: ResultChunk[] = []
    const bytesMax = this.#source.collectedBytesMax ?? COLLECTED_BYTES_MAX
    let [rowCount, byteCount] = [0, 0]
    for await (const chunk of this.#chunks()) {
      rowCount += chunk.length
      if (rowCount > COLLECTED_ROWS_MAX) throw tooManyToCollect()
      byteCount += chunkBytes(chunk)
      if (byteCount > bytesMax) throw tooMuchToCollect(bytesMax)
      chunks.push(chunk)
    }
    return chunks
  }
}

function tooManyToCollect(): StratalogError {
  return new StratalogError(
    'query_limit',
    `The query has more than ${COLLECTED_ROWS_MAX} rows; read them as they come instead of collecting them.`,
    { details: { maxRows: COLLECTED_ROWS_MAX } },
  )
}

function tooMuchToCollect(bytesMax: number): StratalogError {
  return new StratalogError(
    'query_limit',
    `The query has more than ${bytesMax} bytes of rows; read them as they come instead of collecting them, or give it a maxBytes.`,
    { details: { maxBytes: bytesMax } },
  )
}
