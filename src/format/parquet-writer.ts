/**
 * Writes segments as Parquet files that any reader of Parquet opens; the layout is drawn in docs/formats.md:
 *
 * ```
 * preamble    "PAR1"
 * row groups  for each column its stored columns, see parquet-chunk.ts
 * tail        checksum and place of our facts | footer (Thrift) | footer length u32 | "PAR1", see parquet-tail.ts
 * ```
 *
 * The footer has the Arrow schema under `ARROW:schema`, as other writers do, and our facts as JSON under `stratalog`.
 * Equal input gives equal bytes by the same version of the compressor.
 *
 * Thrift, runs and the footer are written by the library; values are not, as it would make an object of each.
 */
import type { ColumnChunk, RowGroup } from 'hyparquet'
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js'
import { writeMetadata } from 'hyparquet-writer/src/metadata.js'
import { assert, present } from '../base/assert.ts'
import { encodeSchema } from './arrow-message.ts'
import { Sha256, crc32c } from './checksum.ts'
import { type ColumnData, sliceColumn } from './column.ts'
import { concatColumns, concatValidity, flattenColumn } from './column-concat.ts'
import { type ColumnRange, columnRange, mergeRanges, toStatistics } from './column-range.ts'
import { rawColumnBytes } from './column-size.ts'
import { type DictionaryPlan, dictionaryCodes, planDictionary } from './dictionary-plan.ts'
import { type CodedValues, encodeChunk } from './parquet-chunk.ts'
import { parquetLeaves, parquetSchema } from './parquet-schema.ts'
import { type LeafEntries, shredColumn } from './parquet-shred.ts'
import { parquetStatistics } from './parquet-statistics.ts'
import { PARQUET_MAGIC, encodeParquetTail } from './parquet-tail.ts'
import type { RecordBatch } from './record-batch.ts'
import { type Field, isNestedType } from './schema.ts'
import { type BlockPlan, blockOffsets, planBlocks } from './segment-blocks.ts'
import { FACTS_KEY, factsJson } from './segment-facts.ts'
import { blockTimes, summaryFacts } from './segment-summary.ts'
import type {
  BatchFacts,
  ColumnFacts,
  EncodedSegment,
  SegmentFacts,
  SegmentHeader,
} from './segment.ts'

/** As `encodeSegment`. A row group is a block: as small, so that a reader of few records fetches as little. */
export function* encodeParquet(
  header: SegmentHeader,
  batches: readonly RecordBatch[],
): Generator<Uint8Array, EncodedSegment, void> {
  const writer = new ParquetSegmentWriter(header, batches)
  yield writer.preamble()
  yield* writer.rowGroups()
  yield writer.tail()
  return writer.result()
}

interface ColumnTotal {
  nullCount: number
  range: ColumnRange | null
}

/** A column of a row group as it is stored. */
interface StoredColumn {
  readonly pieces: readonly Uint8Array[]
  readonly chunks: readonly ColumnChunk[]
  readonly facts: ColumnFacts
  readonly nullCount: number
  readonly range: ColumnRange | null
  readonly rawBytes: number
}

class ParquetSegmentWriter {
  readonly #header: SegmentHeader
  readonly #first: RecordBatch
  readonly #plans: readonly BlockPlan[]
  readonly #timePosition: number
  readonly #hash = new Sha256()
  readonly #totals: readonly ColumnTotal[]
  readonly #batchFacts: BatchFacts[] = []
  readonly #rowGroups: RowGroup[] = []
  #position = 0
  #rawBytes = 0
  #facts: SegmentFacts | null = null

  constructor(header: SegmentHeader, batches: readonly RecordBatch[]) {
    this.#header = header
    this.#first = present(batches[0], 'a batch to write')
    this.#plans = planBlocks(batches)
    const { fields } = this.#first.schema
    this.#timePosition = fields.findIndex((field) => field.name === header.timeColumn)
    assert(this.#timePosition !== -1, 'the time column is one of the schema')
    this.#totals = fields.map(() => ({ nullCount: 0, range: null }))
  }

  preamble(): Uint8Array {
    return this.#add(new Uint8Array(PARQUET_MAGIC))
  }

  *rowGroups(): Generator<Uint8Array, void, void> {
    for (const plan of this.#plans) yield this.#encodeRowGroup(plan)
  }

  tail(): Uint8Array {
    const { schema } = this.#first
    const facts = this.#summary()
    this.#facts = facts
    const json = factsJson(facts)
    const writer = new ByteWriter()
    writeMetadata(writer, {
      version: 2,
      created_by: 'stratalog',
      schema: parquetSchema(schema.fields),
      num_rows: BigInt(facts.batches.reduce((sum, block) => sum + block.length, 0)),
      row_groups: this.#rowGroups,
      key_value_metadata: [
        { key: 'ARROW:schema', value: Buffer.from(encodeSchema(schema.fields)).toString('base64') },
        { key: FACTS_KEY, value: json },
      ],
      metadata_length: 0,
    })
    // The library ends the footer with its length, which is not part of it here.
    const footer = writer.getBytes().subarray(0, writer.offset - 4)
    return this.#add(encodeParquetTail(footer, Buffer.from(json)))
  }

  result(): EncodedSegment {
    return {
      facts: present(this.#facts, 'the tail'),
      length: this.#position,
      sha256: this.#hash.digestHex(),
    }
  }

  #add(bytes: Uint8Array): Uint8Array {
    this.#hash.update(bytes)
    this.#position += bytes.length
    return bytes
  }

  #encodeRowGroup(plan: BlockPlan): Uint8Array {
    const { fields } = this.#first.schema
    const columns: StoredColumn[] = []
    let position = this.#position
    for (const [index, field] of fields.entries()) {
      const column = this.#encodeColumn(plan, index, field, position)
      position += bytesOf(column.pieces)
      const total = present(this.#totals[index], 'totals')
      total.nullCount += column.nullCount
      total.range = mergeRanges(total.range, column.range)
      this.#rawBytes += column.rawBytes
      columns.push(column)
    }
    const chunks = columns.flatMap((column) => column.chunks)
    const bodyLength = position - this.#position
    this.#rowGroups.push({
      columns: chunks,
      total_byte_size: chunks.reduce(
        (sum, { meta_data }) => sum + (meta_data?.total_uncompressed_size ?? 0n),
        0n,
      ),
      num_rows: BigInt(plan.length),
      total_compressed_size: BigInt(bodyLength),
      file_offset: BigInt(this.#position),
    })
    const { type } = present(fields[this.#timePosition], 'the time column')
    this.#batchFacts.push({
      ...blockOffsets(plan),
      position: this.#position,
      metadataLength: 0,
      bodyLength,
      metadataChecksum: 0,
      columns: columns.map(({ facts }) => facts),
      ...blockTimes(plan, type, columns[this.#timePosition]?.range ?? null),
    })
    return this.#add(Buffer.concat(columns.flatMap(({ pieces }) => pieces)))
  }

  #encodeColumn(plan: BlockPlan, index: number, field: Field, position: number): StoredColumn {
    const parts = plan.parts.map(({ batch, start, end }) =>
      sliceColumn(present(batch.columns[index], `column ${index}`), start, end),
    )
    const dictionary = field.type === 'utf8' ? planDictionary(parts) : null
    const { entries, coded, column } =
      dictionary === null ? plainEntries(parts, field) : codedEntries(parts, field, dictionary)
    const range = columnRange(coded === null ? column : coded.dictionary)
    const pieces: Uint8Array[] = []
    const chunks: ColumnChunk[] = []
    const numbers: number[] = []
    let start = position
    let checksum = 0
    for (const [leafIndex, leaf] of parquetLeaves(field).entries()) {
      const own = present(entries[leafIndex], 'a stored column')
      const chunk = encodeChunk(leaf, own, coded)
      const { bytes } = chunk
      pieces.push(bytes)
      numbers.push(own.length, bytes.length)
      checksum = crc32c(bytes, checksum)
      const statistics = isNestedType(field.type)
        ? {}
        : { statistics: parquetStatistics(field.type, column.nullCount, range) }
      chunks.push({
        file_offset: 0n,
        meta_data: {
          type: present(leaf.element.type, 'a physical type'),
          encodings: chunk.encodings,
          path_in_schema: [...leaf.path],
          codec: 'ZSTD',
          num_values: BigInt(own.length),
          total_uncompressed_size: BigInt(chunk.uncompressedBytes),
          total_compressed_size: BigInt(bytes.length),
          data_page_offset: BigInt(start + chunk.dataPosition),
          ...(coded === null ? {} : { dictionary_page_offset: BigInt(start) }),
          ...statistics,
        },
      })
      start += bytes.length
    }
    const { nullCount } = column
    const rawBytes =
      rawColumnBytes(column) + (coded === null ? 0 : rawColumnBytes(coded.dictionary))
    return { pieces, chunks, facts: [checksum, ...numbers], nullCount, range, rawBytes }
  }

  #summary(): SegmentFacts {
    return summaryFacts(this.#header, this.#first, this.#batchFacts, {
      format: 'parquet',
      rawBytes: this.#rawBytes,
      dictionaries: [],
      statistics: this.#totals.map(({ nullCount, range }) => toStatistics(nullCount, range)),
      preambleChecksum: crc32c(PARQUET_MAGIC),
      preambleLength: PARQUET_MAGIC.length,
    })
  }
}

interface ColumnEntries {
  readonly column: ColumnData
  readonly entries: readonly LeafEntries[]
  readonly coded: CodedValues | null
}

function plainEntries(parts: readonly ColumnData[], field: Field): ColumnEntries {
  const [only] = parts
  const column = flattenColumn(
    only !== undefined && parts.length === 1 ? only : concatColumns(parts),
  )
  return { column, entries: shredColumn(column, field.nullable), coded: null }
}

function codedEntries(
  parts: readonly ColumnData[],
  field: Field,
  plan: DictionaryPlan,
): ColumnEntries {
  const validity = concatValidity(parts)
  const bytes = dictionaryCodes(plan, validity, 0)
  const { codeWidth, dictionary } = plan
  const all = codeWidth === 1 ? bytes : Int32Array.from(new Uint16Array(bytes.buffer))
  const column: ColumnData = { type: 'utf8', ...validity, offsets: null, values: bytes, dictionary }
  const entries = shredColumn(column, field.nullable)
  const rows = entries[0]?.rows ?? null
  const codes = rows === null ? all : Int32Array.from(rows, (row) => all[row] ?? 0)
  return { column, entries, coded: { dictionary, codes } }
}

function bytesOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0)
}
