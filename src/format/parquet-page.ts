/**
 * Reads what parquet-chunk.ts writes. The bytes were verified by a checksum of ours, and still nothing that they
 * declare is believed: every length is held to what it can be before anything is allocated.
 */
import { deserializeTCompactProtocol } from 'hyparquet/src/thrift.js'
import type { ColumnData } from './column.ts'
import type { Fail } from './json-fields.ts'
import { BLOCK_RAW_BYTES_MAX, DICTIONARY_ENTRIES_MAX } from './limits.ts'
import { bitWidth, decodeRuns } from './parquet-runs.ts'
import type { ParquetLeaf } from './parquet-schema.ts'
import { decodePlain } from './parquet-values.ts'
import { decompressZstd } from './zstd.ts'

/** A stored column's entries, and its values still encoded. */
export interface DecodedChunk {
  readonly leaf: ParquetLeaf
  readonly length: number
  /** One an entry; null where every entry is a value by its type. */
  readonly definitions: Uint8Array | null
  /** One an entry; null outside of lists. */
  readonly repetitions: Uint8Array | null
  readonly values: Uint8Array
  /** When not null, `values` are codes into it. */
  readonly dictionary: ColumnData | null
}

/** A header of ours takes some 20 bytes. */
const HEADER_BYTES_MAX = 128

const DATA_PAGE = 0
const DICTIONARY_PAGE = 2
const PLAIN = 0
const RLE = 3
const RLE_DICTIONARY = 8

/** @param length how many entries it must have. @throws `fail`. */
export function decodeChunk(
  bytes: Uint8Array,
  leaf: ParquetLeaf,
  length: number,
  fail: Fail,
): DecodedChunk {
  const first = readPage(bytes, 0, fail)
  const isCoded = first.type === DICTIONARY_PAGE
  const dictionary = isCoded ? decodeDictionary(first, leaf, fail) : null
  const data = isCoded ? readPage(bytes, first.end, fail) : first
  if (data.end !== bytes.length) fail('behind its pages there are more bytes')
  const {
    field_1: count,
    field_2: encoding,
    field_3: definition,
    field_4: repetition,
  } = structOf(data.header['field_5'])
  if (data.type !== DATA_PAGE || definition !== RLE || repetition !== RLE)
    fail('a page is none that is written here')
  if (encoding !== (isCoded ? RLE_DICTIONARY : PLAIN)) fail('its values are encoded another way')
  if (count !== length) fail(`a page has ${String(count)} entries, not ${length}`)
  const content = contentOf(data, fail)
  const levels = new LevelReader(content, fail)
  const repetitions = leaf.repetitionMax === 0 ? null : levels.next(length, leaf.repetitionMax)
  const definitions = leaf.definitionMax === 0 ? null : levels.next(length, leaf.definitionMax)
  return { leaf, length, repetitions, definitions, values: levels.rest(), dictionary }
}

interface Page {
  readonly type: unknown
  readonly header: ThriftStruct
  readonly rawBytes: number
  readonly stored: Uint8Array
  /** Where the next one begins. */
  readonly end: number
}

type ThriftStruct = Readonly<Record<string, unknown>>

function readPage(bytes: Uint8Array, position: number, fail: Fail): Page {
  const view = new DataView(
    bytes.buffer,
    bytes.byteOffset + position,
    Math.min(HEADER_BYTES_MAX, bytes.length - position),
  )
  const reader = { view, offset: 0 }
  const header = thriftStruct(reader, fail)
  const { field_1: type, field_2: rawBytes, field_3: storedBytes } = header
  const start = position + reader.offset
  if (!isSize(rawBytes) || rawBytes > BLOCK_RAW_BYTES_MAX)
    return fail(`a page would take ${String(rawBytes)} bytes`)
  if (!isSize(storedBytes) || storedBytes > bytes.length - start)
    return fail(`a page has ${String(storedBytes)} bytes where fewer are left`)
  const end = start + storedBytes
  return { type, header, rawBytes, stored: bytes.subarray(start, end), end }
}

function thriftStruct(reader: { view: DataView; offset: number }, fail: Fail): ThriftStruct {
  try {
    return deserializeTCompactProtocol(reader)
  } catch (error) {
    return fail(`a page has no header: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function structOf(value: unknown): ThriftStruct {
  return typeof value === 'object' && value !== null ? (value as ThriftStruct) : {}
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value > 0
}

function contentOf({ stored, rawBytes }: Page, fail: Fail): Uint8Array {
  try {
    return decompressZstd(stored, rawBytes)
  } catch (error) {
    return fail(`a page is damaged: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function decodeDictionary(page: Page, { type }: ParquetLeaf, fail: Fail): ColumnData {
  const { field_1: length, field_2: encoding } = structOf(page.header['field_7'])
  if (type !== 'utf8' || encoding !== PLAIN)
    return fail('a dictionary is none that is written here')
  if (!isSize(length) || length > DICTIONARY_ENTRIES_MAX)
    return fail(`a dictionary has ${String(length)} values`)
  const shape = { length, nullCount: 0, validity: null }
  return {
    type,
    ...shape,
    ...decodePlain(contentOf(page, fail), type, shape, fail),
    dictionary: null,
  }
}

class LevelReader {
  readonly #bytes: Uint8Array
  readonly #fail: Fail
  #position = 0

  constructor(bytes: Uint8Array, fail: Fail) {
    this.#bytes = bytes
    this.#fail = fail
  }

  next(count: number, max: number): Uint8Array {
    const { byteOffset, byteLength, buffer } = this.#bytes
    const start = this.#position + 4
    if (start > byteLength) return this.#fail('its levels are cut short')
    const length = new DataView(buffer, byteOffset, byteLength).getUint32(this.#position, true)
    if (length > byteLength - start) return this.#fail('its levels are cut short')
    const levels = new Uint8Array(count)
    const runs = this.#bytes.subarray(start, start + length)
    decodeRuns(runs, bitWidth(max), levels, max, this.#fail)
    this.#position = start + length
    return levels
  }

  rest(): Uint8Array {
    return this.#bytes.subarray(this.#position)
  }
}
