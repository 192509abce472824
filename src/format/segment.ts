import type { ProducerState } from './producer.ts'
import type { TermsRun } from './segment-terms.ts'
import type { Schema } from './schema.ts'

export type SegmentFormat = 'arrow' | 'parquet'

/**
 * The least and greatest value of a column, as JSON; absent for types without an order we prune by,
 * and when all is null.
 */
export interface ColumnStatistics {
  readonly nullCount: number
  /**
   * Numbers as numbers; int64 and timestamps beyond 2^53 as decimal text; utf8 as text cut to 64
   * bytes (max rounded up, or absent).
   */
  readonly min?: number | string
  readonly max?: number | string
}

/** The checksum and layout of one column in a block; drawn in column-layout.ts, for Parquet in parquet-layout.ts. */
export type ColumnFacts = readonly number[]

/**
 * One record batch inside a segment file: where its bytes lie and what they hold. Positions count
 * from the segment's first byte.
 */
export interface BatchFacts {
  readonly baseOffset: number
  readonly length: number
  /** In a sparse segment: the offset after the last record. Left out where offsets are consecutive; see `blockEnd`. */
  readonly endOffset?: number
  /**
   * Where the IPC message begins, its metadata length and its body length, as in the Arrow footer's
   * Block. A row group of Parquet has no metadata there.
   */
  readonly position: number
  readonly metadataLength: number
  readonly bodyLength: number
  /** CRC-32C of the `metadataLength` stored bytes before the body. */
  readonly metadataChecksum: number
  /** By position in `schema.fields`, then the offset column of a sparse segment: its part of the body. */
  readonly columns: readonly ColumnFacts[]
  readonly timeMin: number
  readonly timeMax: number
  readonly appendTimeMin: number
  readonly appendTimeMax: number
}

/**
 * The dictionary of one column, in a message before the first batch. Covered by the preamble's
 * checksum.
 */
export interface DictionaryFacts {
  /** Position of its column in `schema.fields`. */
  readonly column: number
  /** How many values. */
  readonly length: number
  readonly position: number
  readonly metadataLength: number
  readonly bodyLength: number
}

/** Whose records a segment holds. */
export interface SegmentHeader {
  /** How it is written; `arrow` when absent. */
  readonly format?: SegmentFormat
  readonly engineId: string
  readonly logId: number
  readonly logName: string
  readonly partition: number
  /** The column that times are taken from; one of the schema. */
  readonly timeColumn: string
  readonly keyColumn: string | null
  /** As of the end of the segment; undefined unless it was written of a log without a WAL. */
  readonly producers?: readonly ProducerState[] | undefined
  /** Of all its records in order; none where nothing was asked for. */
  readonly terms?: readonly TermsRun[]
  /** The offsets that a sparse segment stands for; its batches have the offset column (sparse-rows.ts). */
  readonly sparse?: SparseRange
}

/** Of a segment that holds fewer records than offsets, because older versions of keys are gone from it. */
export interface SparseFacts {
  readonly records: number
  /** Records below this offset were looked through for newer versions. */
  readonly latestTo: number
}

export interface SparseRange {
  readonly baseOffset: number
  readonly endOffset: number
  readonly latestTo: number
}

export interface EncodedSegment {
  readonly facts: SegmentFacts
  /** Of all pieces together. */
  readonly length: number
  /** Of all pieces together, lowercase hex. */
  readonly sha256: string
}

/** What a segment says of itself, in the footer's key-value metadata under `stratalog` as JSON. */
export interface SegmentFacts {
  /** The bytes say it by themselves; not part of the JSON. */
  readonly format: SegmentFormat
  readonly formatVersion: number
  readonly engineId: string
  readonly logId: number
  readonly logName: string
  readonly partition: number
  readonly baseOffset: number
  /** Offset after the last one that it stands for. It holds `endOffset - baseOffset` records unless it is sparse. */
  readonly endOffset: number
  /** Left out where every offset has its record. */
  readonly sparse?: SparseFacts
  readonly schema: Schema
  readonly timeColumn: string
  readonly keyColumn: string | null
  readonly timeMin: number
  readonly timeMax: number
  readonly appendTimeMin: number
  readonly appendTimeMax: number
  /** Bytes of the columns before compression. */
  readonly rawBytes: number
  /** Of the dictionary-encoded columns, ascending by column. */
  readonly dictionaries: readonly DictionaryFacts[]
  readonly batches: readonly BatchFacts[]
  /** By position in `schema.fields`, over the whole segment. */
  readonly statistics: readonly ColumnStatistics[]
  /** CRC-32C of every stored byte before the first batch: the schema and dictionary messages. */
  readonly preambleChecksum: number
  readonly preambleLength: number
  /** Of the partition's producers, as of its end; in a log without a WAL, of which nothing else may tell. */
  readonly producers?: readonly ProducerState[]
  /** Of all records in order, in mode `memory`; left out where nothing was asked for. */
  readonly terms?: readonly TermsRun[]
}

/** The offset after the last record of a block. */
export function blockEnd({ baseOffset, length, endOffset }: BatchFacts): number {
  return endOffset ?? baseOffset + length
}
