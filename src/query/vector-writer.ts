/**
 * Writes rows of our columns into DuckDB's vectors, at most 2,048 at a time: one copy a column where the layouts agree,
 * a short loop where they do not.
 */
import duckdb from '@duckdb/node-bindings'
import {
  type ColumnData,
  bitmapBytes,
  int32View,
  isValidAt,
  sliceBitmap,
} from '../format/column.ts'
import { columnReader } from '../format/column-values.ts'
import { columnLayout, decimalParameters, timestampUnit } from '../format/schema.ts'
import { vectorByteWidth } from './duckdb-types.ts'
import { listWriter, structWriter } from './nested-vector-writer.ts'
import type { TextCodes } from './text-codes.ts'
import type { TextReferences } from './text-references.ts'
import { type PieceWriter, VECTOR_ROWS, type VectorWriter, inPieces } from './vector-rows.ts'

/** DuckDB takes no SharedArrayBuffer, so what lies in one goes through here. */
const scratch = new Uint8Array(new ArrayBuffer(VECTOR_ROWS * 16))
const scratchWords = new Int32Array(scratch.buffer)
const scratchValidity = new Uint8Array(new ArrayBuffer(VECTOR_ROWS / 8))

/** Rows of a column as they are. */
export function columnWriter(column: ColumnData, references: TextReferences): VectorWriter {
  const make = (inside: ColumnData): VectorWriter => columnWriter(inside, references)
  const { kind } = columnLayout(column.type)
  const write =
    kind === 'list'
      ? listWriter(column, make)
      : kind === 'struct'
        ? structWriter(column, make)
        : inPieces(valueWriter(column, references))
  return withValidity(column, write)
}

function withValidity({ validity }: ColumnData, write: VectorWriter): VectorWriter {
  if (validity === null) return write
  const writeNulls = inPieces((vector, start, count, at) =>
    writeValidity(vector, validity, start, count, at),
  )
  return (vector, start, count, arenas) => {
    writeNulls(vector, start, count, arenas)
    write(vector, start, count, arenas)
  }
}

function valueWriter(column: ColumnData, references: TextReferences): PieceWriter {
  if (column.offsets !== null || column.dictionary !== null) {
    return (vector, start, count, at, arenas) => {
      const arena = references.write(column, start, count, scratchWords)
      if (arena !== null) arenas.push(arena)
      duckdb.copy_data_to_vector(vector, at * 16, scratch.buffer, 0, count * 16)
    }
  }
  if (column.type === 'bool') return bitsWriter(column.values)
  const width = vectorByteWidth(column.type)
  return decimalParameters(column.type) === null || width === 16
    ? fixedWriter(column.values, width)
    : decimalWriter(column.values, width)
}

function fixedWriter(values: Uint8Array, width: number): PieceWriter {
  const { buffer, byteOffset } = values
  if (buffer instanceof ArrayBuffer) {
    return (vector, start, count, at) => {
      duckdb.copy_data_to_vector(
        vector,
        at * width,
        buffer,
        byteOffset + start * width,
        count * width,
      )
    }
  }
  return (vector, start, count, at) => {
    scratch.set(values.subarray(start * width, (start + count) * width))
    duckdb.copy_data_to_vector(vector, at * width, scratch.buffer, 0, count * width)
  }
}

/** A bitmap becomes a byte a row. */
export function bitsWriter(bits: Uint8Array): PieceWriter {
  return (vector, start, count, at) => {
    for (let row = 0; row < count; row++) {
      const position = start + row
      scratch[row] = ((bits[position >> 3] ?? 0) >> (position & 7)) & 1
    }
    duckdb.copy_data_to_vector(vector, at, scratch.buffer, 0, count)
  }
}

/** The low bytes of a 16-byte integer are the same number in fewer bytes. */
function decimalWriter(values: Uint8Array, width: number): PieceWriter {
  return (vector, start, count, at) => {
    for (let row = 0; row < count; row++) {
      const position = (start + row) * 16
      scratch.set(values.subarray(position, position + width), row * width)
    }
    duckdb.copy_data_to_vector(vector, at * width, scratch.buffer, 0, count * width)
  }
}

/** A text column as one-byte codes of an ENUM. Its texts were added. */
export function codeWriter(column: ColumnData, texts: TextCodes): VectorWriter {
  const { codes: own, translation } = texts.rowsOf(column)
  // What lies under a null may be no code at all.
  const isSame = column.validity === null && translation.every((code, index) => code === index)
  return withValidity(column, (vector, start, count) => {
    if (own instanceof Uint8Array && isSame) scratch.set(own.subarray(start, start + count))
    else
      for (let row = 0; row < count; row++) scratch[row] = translation[own[start + row] ?? 0] ?? 0
    duckdb.copy_data_to_vector(vector, 0, scratch.buffer, 0, count)
  })
}

/** A timestamp column in µs, whatever its unit. */
export function microsWriter(column: ColumnData, references: TextReferences): VectorWriter {
  const unit = timestampUnit(column.type)
  if (unit === 'us' || unit === null) return columnWriter(column, references)
  const write =
    unit === 'ns'
      ? nanosWriter(column.values)
      : scaledWriter(column.values, unit === 's' ? 1e6 : 1e3)
  return withValidity(column, write)
}

/** Doubles hold every count of µs up to the year 2255; beyond, and before 1684, the same with bigints. */
function scaledWriter(values: Uint8Array, factor: number): VectorWriter {
  const halves = int32View(values)
  return (vector, start, count) => {
    for (let row = 0; row < count; row++) {
      const low = (halves[(start + row) * 2] ?? 0) >>> 0
      const high = halves[(start + row) * 2 + 1] ?? 0
      const micros = (high * 2 ** 32 + low) * factor
      if (Number.isSafeInteger(micros)) {
        scratchWords[row * 2] = micros
        scratchWords[row * 2 + 1] = Math.floor(micros / 2 ** 32)
      } else {
        writeWide(row, ((BigInt(high) << 32n) | BigInt(low)) * BigInt(factor))
      }
    }
    duckdb.copy_data_to_vector(vector, 0, scratch.buffer, 0, count * 8)
  }
}

function nanosWriter(values: Uint8Array): VectorWriter {
  const nanos = new BigInt64Array(values.buffer, values.byteOffset, values.byteLength >> 3)
  return (vector, start, count) => {
    for (let row = 0; row < count; row++) {
      const wide = nanos[start + row] ?? 0n
      writeWide(row, wide / 1000n - (wide % 1000n < 0n ? 1n : 0n))
    }
    duckdb.copy_data_to_vector(vector, 0, scratch.buffer, 0, count * 8)
  }
}

function writeWide(row: number, value: bigint): void {
  scratchWords[row * 2] = Number(BigInt.asIntN(32, value))
  scratchWords[row * 2 + 1] = Number(BigInt.asIntN(32, value >> 32n))
}

/** Offsets `base + row` as BIGINT. */
export function offsetWriter(base: number, offsets: Float64Array | null): VectorWriter {
  return (vector, start, count) => {
    for (let row = 0; row < count; row++) {
      const offset = offsets?.[start + row] ?? base + start + row
      scratchWords[row * 2] = offset
      scratchWords[row * 2 + 1] = Math.floor(offset / 2 ** 32)
    }
    duckdb.copy_data_to_vector(vector, 0, scratch.buffer, 0, count * 8)
  }
}

export function constantInt32Writer(value: number): VectorWriter {
  return (vector, _start, count) => {
    scratchWords.fill(value, 0, count)
    duckdb.copy_data_to_vector(vector, 0, scratch.buffer, 0, count * 4)
  }
}

/** One short ASCII text in every row. */
export function constantTextWriter(text: string): VectorWriter {
  const reference = new Uint8Array(16)
  reference[0] = text.length
  reference.set(Buffer.from(text, 'latin1'), 4)
  return (vector, _start, count) => {
    for (let row = 0; row < count; row++) scratch.set(reference, row * 16)
    duckdb.copy_data_to_vector(vector, 0, scratch.buffer, 0, count * 16)
  }
}

export const nullWriter: VectorWriter = (vector, _start, count) => {
  scratchValidity.fill(0)
  duckdb.vector_ensure_validity_writable(vector)
  duckdb.copy_data_to_vector_validity(vector, 0, scratchValidity.buffer, 0, bitmapBytes(count))
}

/** Any column as VARCHAR, value by value: for `_key`, whose column may be of another type. */
export function textWriter(column: ColumnData, references: TextReferences): VectorWriter {
  if (column.type === 'utf8') return columnWriter(column, references)
  const read = columnReader(column)
  return (vector, start, count) => {
    if (column.validity !== null) writeValidity(vector, column.validity, start, count, 0)
    for (let row = 0; row < count; row++) {
      if (!isValidAt(column, start + row)) continue
      duckdb.vector_assign_string_element(vector, row, keyText(read(start + row)))
    }
  }
}

function keyText(value: unknown): string {
  if (value instanceof Date) return value.toISOString()
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  return typeof value === 'string'
    ? value
    : typeof value === 'bigint'
      ? `${value}`
      : JSON.stringify(value)
}

function writeValidity(
  vector: duckdb.Vector,
  validity: Uint8Array,
  start: number,
  count: number,
  at: number,
): void {
  scratchValidity.set(sliceBitmap(validity, start, count))
  duckdb.vector_ensure_validity_writable(vector)
  const position = at >> 3
  duckdb.copy_data_to_vector_validity(
    vector,
    position,
    scratchValidity.buffer,
    0,
    bitmapBytes(count),
  )
}
