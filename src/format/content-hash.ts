/**
 * The hash of a log: equal hashes mean equal records, however they came there. It covers the user
 * columns' names, types, values and nulls and the offsets, in offset order; not batch edges,
 * dictionaries, tiers, compression, nor `_time` and the other columns that are not the user's.
 *
 * All integers are little-endian, `‖` joins bytes, H is SHA-256. Columns are ordered by the UTF-8
 * bytes of their names. For each partition and column, over its rows in offset order:
 *
 * ```
 * presence  u8 per row: 1 = has a value, 0 = null
 * values    bool: u8 per row, 0 or 1; fixed-width types: the value's bytes; 0 for a null
 * lengths   utf8, json, binary: u32 per row, the value's length in bytes; 0 for a null
 * bytes     utf8, json, binary: the values one after the other
 * sizes     list: u32 per row, how many items; 0 for a null
 *
 * column    = H(H(presence) ‖ H(values))                fixed-width types and bool
 *           = H(H(presence) ‖ H(lengths) ‖ H(bytes))    utf8, json, binary
 *           = H(H(presence) ‖ H(sizes) ‖ column)        list: of the items of all rows that are not null, in order
 *           = H(H(presence) ‖ column per field)         struct: fields in order, each over the rows that are not null
 * partition = H(number u32 ‖ run count u32 ‖ (from u64 ‖ to u64) per run ‖ column per column)
 * log       = H(length u32 of columns ‖ columns ‖ partition per partition that has records, ascending)
 * ```
 *
 * A run is a longest range of offsets `[from, to)` without a gap. `columns` is the JSON text
 * `[{"name":…,"type":…},…]` without white space. The log's hash is written as lowercase hex. A latest view is hashed
 * without the columns that are null in all of its records: what was added later changes nothing before.
 */
import { assert, present } from '../base/assert.ts'
import { Sha256 } from './checksum.ts'
import { type ColumnData, isValidAt, sliceColumn } from './column.ts'
import { concatColumns, flattenColumn, listItems, valueRange } from './column-concat.ts'
import { castColumn, nullColumn } from './column-conform.ts'
import { type RecordBatch, endOffset } from './record-batch.ts'
import {
  type ColumnLayout,
  type ColumnType,
  type Field,
  type Schema,
  STAMPED_TIME_COLUMN,
  childTypes,
  columnLayout,
} from './schema.ts'

export interface LogHasherOptions {
  /** Whether columns count in which no record has a value. Default true. */
  readonly emptyColumns?: boolean
}

/** Hashes the records of one log as they come. */
export class LogHasher {
  readonly #fields: readonly Field[]
  readonly #hasEmptyColumns: boolean
  readonly #partitions = new Map<number, PartitionHasher>()

  /** @param schema the log's newest; batches of older ones are brought to it. */
  constructor(schema: Schema, { emptyColumns = true }: LogHasherOptions = {}) {
    this.#hasEmptyColumns = emptyColumns
    this.#fields = schema.fields
      .filter((field) => field.name !== STAMPED_TIME_COLUMN)
      .toSorted((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
  }

  /**
   * Takes the next records of a partition: batches come in offset order, in any cut, partitions in
   * any order.
   */
  add(partition: number, batch: RecordBatch): void {
    let hasher = this.#partitions.get(partition)
    if (hasher === undefined) {
      hasher = new PartitionHasher(partition, this.#fields)
      this.#partitions.set(partition, hasher)
    }
    hasher.add(batch)
  }

  /** The hash of what came so far. */
  digestHex(): string {
    const fields = this.#hasEmptyColumns ? this.#fields : this.#fields.filter(this.#hasValues)
    const columns = Buffer.from(JSON.stringify(fields.map(({ name, type }) => ({ name, type }))))
    const hash = new Sha256()
    hash.update(uint32Bytes(columns.length))
    hash.update(columns)
    const ascending = [...this.#partitions].toSorted(([a], [b]) => a - b)
    for (const [, partition] of ascending) hash.update(partition.digest(fields))
    return hash.digestHex()
  }

  readonly #hasValues = (field: Field): boolean =>
    [...this.#partitions.values()].some((partition) => partition.hasValues(field))
}

class PartitionHasher {
  readonly #number: number
  readonly #columns: readonly { readonly field: Field; readonly hasher: ColumnHasher }[]
  readonly #runs: { from: number; to: number }[] = []

  constructor(number: number, fields: readonly Field[]) {
    this.#number = number
    this.#columns = fields.map((field) => ({ field, hasher: new ColumnHasher(field.type) }))
  }

  add(batch: RecordBatch): void {
    if (batch.length === 0) return
    this.#addRun(batch.baseOffset, endOffset(batch))
    const positions = new Map(batch.schema.fields.map((field, position) => [field.name, position]))
    for (const { field, hasher } of this.#columns) {
      const position = positions.get(field.name)
      const column =
        position === undefined
          ? nullColumn(field.type, batch.length)
          : castColumn(present(batch.columns[position], `column ${position}`), field.type)
      hasher.add(column)
    }
  }

  hasValues(field: Field): boolean {
    return this.#columns.some((column) => column.field === field && column.hasher.hasValues)
  }

  digest(fields: readonly Field[]): Uint8Array {
    const hash = new Sha256()
    hash.update(uint32Bytes(this.#number))
    hash.update(uint32Bytes(this.#runs.length))
    for (const { from, to } of this.#runs)
      hash.update(new Uint8Array(BigUint64Array.of(BigInt(from), BigInt(to)).buffer))
    for (const { field, hasher } of this.#columns)
      if (fields.includes(field)) hash.update(hasher.digest())
    return hash.digest()
  }

  #addRun(from: number, to: number): void {
    const last = this.#runs.at(-1)
    assert(last === undefined || from >= last.to, 'records are hashed in offset order')
    if (last !== undefined && from === last.to) last.to = to
    else this.#runs.push({ from, to })
  }
}

class ColumnHasher {
  readonly #layout: ColumnLayout
  readonly #presence = new Sha256()
  /** Lengths, for variable types; sizes, for lists. */
  readonly #values = new Sha256()
  readonly #bytes = new Sha256()
  readonly #inside: readonly ColumnHasher[]
  hasValues = false

  constructor(type: ColumnType) {
    this.#layout = columnLayout(type)
    this.#inside = childTypes(type).map((inside) => new ColumnHasher(inside))
  }

  add(column: ColumnData): void {
    this.hasValues ||= column.nullCount < column.length
    this.#presence.update(presenceBytes(column))
    const layout = this.#layout
    if (layout.kind === 'variable') this.#addVariable(flattenColumn(column))
    else if (layout.kind === 'bits') this.#values.update(boolBytes(column))
    else if (layout.kind === 'fixed') this.#values.update(fixedBytes(column, layout.byteWidth))
    else this.#addNested(column)
  }

  digest(): Uint8Array {
    const { kind } = this.#layout
    const hash = new Sha256()
    hash.update(this.#presence.digest())
    if (kind !== 'struct') hash.update(this.#values.digest())
    if (kind === 'variable') hash.update(this.#bytes.digest())
    for (const hasher of this.#inside) hash.update(hasher.digest())
    return hash.digest()
  }

  #addNested(column: ColumnData): void {
    const present = withoutNulls(column)
    if (this.#layout.kind === 'list') this.#values.update(sizeBytes(column))
    const children = present.offsets === null ? present.children : [listItems(present)]
    this.#inside.forEach((hasher, index) => {
      const child = children?.[index]
      if (child !== undefined) hasher.add(child)
    })
  }

  #addVariable(column: ColumnData): void {
    const offsets = column.offsets ?? new Int32Array(1)
    const lengths = new Uint32Array(column.length)
    let present = 0
    for (let row = 0; row < column.length; row++) {
      if (!isValidAt(column, row)) continue
      const length = (offsets[row + 1] ?? 0) - (offsets[row] ?? 0)
      lengths[row] = length
      present += length
    }
    this.#values.update(new Uint8Array(lengths.buffer))
    const { start, end } = valueRange(column)
    if (present === end - start) this.#bytes.update(column.values.subarray(start, end))
    else this.#addPresentValues(column, offsets)
  }

  /** For columns that have bytes under nulls. */
  #addPresentValues(column: ColumnData, offsets: Int32Array): void {
    for (let row = 0; row < column.length; row++) {
      if (isValidAt(column, row))
        this.#bytes.update(column.values.subarray(offsets[row] ?? 0, offsets[row + 1] ?? 0))
    }
  }
}

function presenceBytes(column: ColumnData): Uint8Array {
  const bytes = new Uint8Array(column.length)
  if (column.validity === null) return bytes.fill(1)
  for (let row = 0; row < column.length; row++)
    bytes[row] = ((column.validity[row >> 3] ?? 0) >> (row & 7)) & 1
  return bytes
}

/** The rows of a nested column that are not null, one after the other. */
function withoutNulls(column: ColumnData): ColumnData {
  if (column.nullCount === 0) return column
  const parts: ColumnData[] = []
  for (let row = 0; row < column.length; row++) {
    if (!isValidAt(column, row)) continue
    const start = row
    while (row < column.length && isValidAt(column, row)) row++
    parts.push(sliceColumn(column, start, row))
  }
  return parts.length === 0 ? sliceColumn(column, 0, 0) : concatColumns(parts)
}

function sizeBytes(column: ColumnData): Uint8Array {
  const sizes = new Uint32Array(column.length)
  for (let row = 0; row < column.length; row++) {
    if (isValidAt(column, row))
      sizes[row] = (column.offsets?.[row + 1] ?? 0) - (column.offsets?.[row] ?? 0)
  }
  return new Uint8Array(sizes.buffer)
}

function boolBytes(column: ColumnData): Uint8Array {
  const bytes = new Uint8Array(column.length)
  for (let row = 0; row < column.length; row++) {
    if (isValidAt(column, row)) bytes[row] = ((column.values[row >> 3] ?? 0) >> (row & 7)) & 1
  }
  return bytes
}

function fixedBytes(column: ColumnData, byteWidth: number): Uint8Array {
  const values = column.values.subarray(0, column.length * byteWidth)
  if (column.validity === null) return values
  const bytes = new Uint8Array(values)
  for (let row = 0; row < column.length; row++) {
    if (!isValidAt(column, row)) bytes.fill(0, row * byteWidth, (row + 1) * byteWidth)
  }
  return bytes
}

function uint32Bytes(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer)
}
