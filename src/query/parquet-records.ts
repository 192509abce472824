/** Records as a Parquet file, a row group at a time, by the `hyparquet-writer` package. */
import type { SchemaElement } from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { columnReader } from '../format/column-values.ts'
import type { ColumnData } from '../format/column.ts'
import {
  type ColumnType,
  type Field,
  decimalParameters,
  isNestedType,
  timestampUnit,
} from '../format/schema.ts'
import type { Encoded, FieldChunk, RecordEncoder } from './record-format.ts'
import { jsonValueReader } from './result-values.ts'

/** Rows of a row group: big enough to compress well, small enough to hold in memory. */
const ROW_GROUP_ROWS = 100_000

export class ParquetEncoder implements RecordEncoder {
  readonly #bytes = new ByteWriter(1024 * 1024)
  #fields: readonly Field[] = []
  #writer: ParquetWriter | null = null
  #values: unknown[][] = []
  #rows = 0

  begin(fields: readonly Field[]): Encoded {
    this.#fields = fields
    const root = { name: 'root', num_children: fields.length }
    const schema = [root, ...fields.map(toElement)]
    this.#writer = new ParquetWriter({ writer: this.#bytes, schema })
    this.#values = fields.map(() => [])
    return this.#taken()
  }

  async chunk({ columns, length }: FieldChunk): Promise<Encoded> {
    for (const [index, column] of columns.entries()) {
      const read = parquetReader(column)
      const values = this.#values[index]
      for (let row = 0; row < length; row++) values?.push(read(row))
    }
    this.#rows += length
    if (this.#rows >= ROW_GROUP_ROWS) await this.#writeGroup()
    return this.#taken()
  }

  async end(): Promise<Encoded> {
    if (this.#rows > 0) await this.#writeGroup()
    await this.#writer?.finish()
    return this.#taken()
  }

  async #writeGroup(): Promise<void> {
    const columnData = this.#fields.map(({ name }, index) => ({
      name,
      data: this.#values[index] ?? [],
    }))
    await this.#writer?.write({ columnData, rowGroupSize: this.#rows })
    this.#values = this.#fields.map(() => [])
    this.#rows = 0
  }

  /** The bytes since the last time; the buffer starts anew, while positions in the file go on counting. */
  #taken(): Uint8Array {
    const bytes = this.#bytes.getBytes().slice()
    this.#bytes.index = 0
    return bytes
  }
}

function toElement({ name, type, nullable }: Field): SchemaElement {
  return { name, repetition_type: nullable ? 'OPTIONAL' : 'REQUIRED', ...physicalType(type) }
}

const PHYSICAL_TYPES: Readonly<Record<string, Omit<SchemaElement, 'name'>>> = {
  bool: { type: 'BOOLEAN' },
  int8: { type: 'INT32', converted_type: 'INT_8' },
  int16: { type: 'INT32', converted_type: 'INT_16' },
  int32: { type: 'INT32' },
  int64: { type: 'INT64' },
  uint8: { type: 'INT32', converted_type: 'UINT_8' },
  uint16: { type: 'INT32', converted_type: 'UINT_16' },
  uint32: { type: 'INT32', converted_type: 'UINT_32' },
  uint64: { type: 'INT64', converted_type: 'UINT_64' },
  float32: { type: 'FLOAT' },
  float64: { type: 'DOUBLE' },
  utf8: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
  json: { type: 'BYTE_ARRAY', converted_type: 'JSON' },
  binary: { type: 'BYTE_ARRAY' },
  date: { type: 'INT32', converted_type: 'DATE' },
}

/** Lists and structs are JSON text. */
function physicalType(type: ColumnType): Omit<SchemaElement, 'name'> {
  const known = PHYSICAL_TYPES[isNestedType(type) ? 'json' : type]
  if (known !== undefined) return known
  const decimal = decimalParameters(type)
  if (decimal !== null)
    return { type: 'FIXED_LEN_BYTE_ARRAY', type_length: 16, converted_type: 'DECIMAL', ...decimal }
  const unit = timestampUnit(type)
  // Parquet has no seconds.
  const parquetUnit = unit === 'us' ? 'MICROS' : unit === 'ns' ? 'NANOS' : 'MILLIS'
  return {
    type: 'INT64',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: parquetUnit },
  }
}

/** Values as the writer takes them for the column's physical type. */
function parquetReader(column: ColumnData): (row: number) => unknown {
  // The writer makes JSON text of the values of such a column.
  if (isNestedType(column.type)) return jsonValueReader(column, '')
  const read = columnReader(column)
  const convert = converter(column.type)
  if (convert === null) return read
  return (row) => {
    const value = read(row)
    return value === null ? null : convert(value)
  }
}

function converter(type: ColumnType): ((value: unknown) => unknown) | null {
  if (type === 'int64' || type === 'uint64') return (value) => BigInt(value as number | bigint)
  // The count of units where a value has more digits than the calendar of JavaScript.
  if (type === 'timestamp[s]') return (value) => (typeof value === 'bigint' ? value * 1000n : value)
  if (decimalParameters(type) !== null) return (value) => BigInt(String(value).replace('.', ''))
  return null
}
