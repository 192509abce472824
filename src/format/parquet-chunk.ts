/**
 * The bytes of one stored column in one row group of a Parquet file: a dictionary page, where there is one, and one
 * data page, each compressed as a Zstandard frame.
 *
 * ```
 * page          header (Thrift) | frame of its content
 * dictionary    its values, PLAIN
 * data          [repetition levels: length u32 | runs] | [definition levels: length u32 | runs] | values
 * values        PLAIN, or with a dictionary: bit width u8 | codes as runs
 * ```
 *
 * Levels are there where the column can have others than 0.
 */
import type { Encoding } from 'hyparquet'
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js'
import { writePageHeader } from 'hyparquet-writer/src/datapage.js'
import { writeRleBitPackedHybrid } from 'hyparquet-writer/src/encoding.js'
import type { ColumnData } from './column.ts'
import { bitWidth, codeBits } from './parquet-runs.ts'
import type { ParquetLeaf } from './parquet-schema.ts'
import type { LeafEntries } from './parquet-shred.ts'
import { encodePlain } from './parquet-values.ts'
import { compressZstd } from './zstd.ts'

/** Codes of the values that are there, instead of the values. */
export interface CodedValues {
  readonly dictionary: ColumnData
  readonly codes: Uint8Array | Int32Array
}

export interface EncodedChunk {
  readonly bytes: Uint8Array
  readonly encodings: Encoding[]
  /** What the pages would take without compression, headers included. */
  readonly uncompressedBytes: number
  /** Where the data page begins. */
  readonly dataPosition: number
}

export function encodeChunk(
  leaf: ParquetLeaf,
  entries: LeafEntries,
  coded: CodedValues | null,
): EncodedChunk {
  const writer = new ByteWriter()
  let uncompressedBytes = 0
  if (coded !== null) {
    const content = encodePlain(coded.dictionary, null)
    const header = { num_values: coded.dictionary.length, encoding: 'PLAIN' } as const
    uncompressedBytes += writePage(writer, content, {
      type: 'DICTIONARY_PAGE',
      dictionary_page_header: header,
    })
  }
  const dataPosition = writer.offset
  const encoding = coded === null ? 'PLAIN' : 'RLE_DICTIONARY'
  uncompressedBytes += writePage(writer, dataContent(leaf, entries, coded), {
    type: 'DATA_PAGE',
    data_page_header: {
      num_values: entries.length,
      encoding,
      definition_level_encoding: 'RLE',
      repetition_level_encoding: 'RLE',
    },
  })
  const bytes = writer.getBytes()
  const encodings: Encoding[] =
    coded === null ? ['PLAIN', 'RLE'] : ['PLAIN', 'RLE', 'RLE_DICTIONARY']
  return { bytes, encodings, uncompressedBytes, dataPosition }
}

type PageKind = Omit<
  Parameters<typeof writePageHeader>[1],
  'uncompressed_page_size' | 'compressed_page_size'
>

/** Returns what it would take without compression. */
function writePage(writer: ByteWriter, content: Uint8Array, kind: PageKind): number {
  const start = writer.offset
  const frame = compressZstd(content)
  writePageHeader(writer, {
    ...kind,
    uncompressed_page_size: content.length,
    compressed_page_size: frame.length,
  })
  const headerBytes = writer.offset - start
  writer.appendBytes(frame)
  return headerBytes + content.length
}

function dataContent(
  { definitionMax, repetitionMax }: ParquetLeaf,
  { column, rows, definitions, repetitions }: LeafEntries,
  coded: CodedValues | null,
): Uint8Array {
  const writer = new ByteWriter()
  if (repetitions !== null) writeLevels(writer, repetitions, repetitionMax)
  if (definitions !== null) writeLevels(writer, definitions, definitionMax)
  if (coded === null) {
    writer.appendBytes(encodePlain(column, rows))
  } else {
    const width = codeBits(coded.dictionary.length)
    writer.appendUint8(width)
    writeRleBitPackedHybrid(writer, coded.codes, width)
  }
  return writer.getBytes()
}

function writeLevels(writer: ByteWriter, levels: Uint8Array, max: number): void {
  const runs = new ByteWriter()
  writeRleBitPackedHybrid(runs, levels, bitWidth(max))
  writer.appendUint32(runs.offset)
  writer.appendBytes(runs.getBytes())
}
