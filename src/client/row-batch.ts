/** Records as the server sent them: rows of values, and what they are. */
import { StratalogError } from '../base/errors.ts'
import type { ColumnType, Field } from '../format/schema.ts'

export type Row = Record<string, unknown>

/** One column of a batch of rows. */
export class RowColumn {
  readonly name: string
  readonly type: ColumnType
  readonly length: number
  readonly #rows: readonly (readonly unknown[])[]
  readonly #index: number

  constructor({ name, type }: Field, index: number, rows: readonly (readonly unknown[])[]) {
    this.name = name
    this.type = type
    this.length = rows.length
    this.#rows = rows
    this.#index = index
  }

  get nullCount(): number {
    return this.#rows.filter((row) => row[this.#index] === null).length
  }

  isValid(row: number): boolean {
    return this.get(row) !== null
  }

  /** The value of a row; null where there is none. `row` is below `length`. */
  get(row: number): unknown {
    return this.#rows[row]?.[this.#index] ?? null
  }

  toArray(): unknown[] {
    return this.#rows.map((row) => row[this.#index])
  }
}

export interface RowBatchSource {
  readonly fields: readonly Field[]
  readonly rows: readonly (readonly unknown[])[]
  readonly partition: number
  readonly baseOffset: number
  readonly tier: 'memory' | 'disk' | 'object'
  /** By row; null where they follow one another. */
  readonly offsets: Float64Array | null
}

/** Records of one partition. It is the caller's own: nothing of it changes later. */
export class RowBatch {
  readonly partition: number
  /** Offset of the first record. */
  readonly baseOffset: number
  /** How many records. */
  readonly length: number
  /** Which copy served these records. */
  readonly tier: 'memory' | 'disk' | 'object'
  /** By row; null where they follow one another from `baseOffset` on. */
  readonly offsets: Float64Array | null
  readonly fields: readonly Field[]
  readonly #rows: readonly (readonly unknown[])[]

  constructor({ fields, rows, partition, baseOffset, tier, offsets }: RowBatchSource) {
    this.fields = fields
    this.partition = partition
    this.baseOffset = baseOffset
    this.length = rows.length
    this.tier = tier
    this.offsets = offsets
    this.#rows = rows
  }

  /** @throws StratalogError `argument_invalid` for a column that was not asked for. */
  column(name: string): RowColumn {
    const index = this.fields.findIndex((field) => field.name === name)
    const field = this.fields[index]
    if (field !== undefined) return new RowColumn(field, index, this.#rows)
    throw new StratalogError(
      'argument_invalid',
      `The batch has no column ${JSON.stringify(name)}; it has ${namesOf(this.fields).join(', ')}.`,
      { details: { column: name } },
    )
  }

  /** Every record as an object of its own. */
  toRows(): Row[] {
    return rowsOf(namesOf(this.fields), this.#rows)
  }

  /** The records as `toRows` makes them, one at a time. */
  *rows(): Generator<Row, void, undefined> {
    const names = namesOf(this.fields)
    for (const values of this.#rows) yield rowOf(names, values)
  }
}

export function rowsOf(names: readonly string[], rows: readonly (readonly unknown[])[]): Row[] {
  return rows.map((values) => rowOf(names, values))
}

function rowOf(names: readonly string[], values: readonly unknown[]): Row {
  const row: Row = {}
  for (let index = 0; index < names.length; index++) {
    const name = names[index] ?? ''
    if (name === '__proto__') defineValue(row, name, values[index])
    else row[name] = values[index]
  }
  return row
}

function defineValue(row: Row, name: string, value: unknown): void {
  Object.defineProperty(row, name, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  })
}

function namesOf(fields: readonly Field[]): readonly string[] {
  return fields.map(({ name }) => name)
}
