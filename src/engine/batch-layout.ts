/** Which columns a reader sees, and where those of a batch come from. One serves all batches asked for alike. */
import { StratalogError } from '../base/errors.ts'
import { castColumn, nullColumn } from '../format/column-values.ts'
import type { ColumnData } from '../format/column.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import {
  type Field,
  SYSTEM_COLUMNS,
  type Schema,
  type SystemColumn,
  fieldIndex,
} from '../format/schema.ts'
import {
  type ValueCell,
  constantCell,
  readerCell,
  sequenceCell,
  valueCell,
} from '../format/value-cell.ts'
import {
  type BatchPlace,
  isSystemColumn,
  keyTexts,
  placeColumn,
  systemField,
} from './system-columns.ts'

/** Shown when no columns are named: the user's, and where and when each record is. */
export const DEFAULT_SYSTEM_COLUMNS: readonly SystemColumn[] = ['_offset', '_partition', '_time']

export interface BatchLayoutOptions {
  /** Its name. */
  readonly log: string
  /** The newest schema: batches of older ones show its columns. */
  readonly schema: Schema
  readonly timeColumn: string
  readonly keyColumn: string | null
  /** Names in the order asked for; null for the default. */
  readonly columns: readonly string[] | null
}

export class BatchLayout {
  readonly names: readonly string[]
  readonly fields: readonly Field[]
  readonly #options: BatchLayoutOptions
  /** By position: the column of a record batch that it is made of; null for what needs none. */
  readonly #sources: readonly (string | null)[]
  // Where the sources lie in batches of one schema.
  #schema: Schema | null = null
  #positions: readonly number[] = []

  /** @throws StratalogError `argument_invalid` for a column that there is not. */
  constructor(options: BatchLayoutOptions) {
    const { schema, columns, timeColumn, keyColumn } = options
    this.#options = options
    this.names = columns ?? [
      ...schema.fields.map((field) => field.name).filter((name) => !isSystemColumn(name)),
      ...DEFAULT_SYSTEM_COLUMNS,
    ]
    const time = schema.fields[fieldIndex(schema, timeColumn)]
    this.fields = this.names.map((name) => {
      if (isSystemColumn(name)) return systemField(name, time)
      const field = schema.fields[fieldIndex(schema, name)]
      if (field === undefined) throw unknownColumn(options, name)
      return field
    })
    this.#sources = this.names.map((name) => {
      if (name === '_time') return timeColumn
      if (name === '_key') return keyColumn
      return isSystemColumn(name) ? null : name
    })
  }

  /** Names of the columns of a schema that these are made of. */
  sourcesIn(schema: Schema): readonly string[] {
    const known = this.#sources.filter((name) => name !== null && fieldIndex(schema, name) !== -1)
    return [...new Set(known)] as readonly string[]
  }

  /** Whether this is how batches of that log schema are shown. */
  fits(schema: Schema): boolean {
    return this.#options.schema === schema
  }

  /** Column `index` of a batch, in the type of its field. */
  column(index: number, batch: RecordBatch, place: BatchPlace): ColumnData {
    const name = this.names[index]
    if (name === '_offset' || name === '_partition' || name === '_tier') {
      return placeColumn(name, place)
    }
    const field = this.fields[index]
    if (field === undefined) throw new RangeError(`no column ${index}`)
    if (batch.schema !== this.#schema) this.#locate(batch.schema)
    const column = batch.columns[this.#positions[index] ?? -1]
    if (column === undefined) return nullColumn(field.type, batch.length)
    return name === '_key' ? keyTexts(column) : castColumn(column, field.type)
  }

  /** What reads each column of a batch; values that need no column have none made. */
  cells(
    batch: RecordBatch,
    place: BatchPlace,
    offsets: ValueCell = offsetCell(place),
  ): readonly ValueCell[] {
    return this.names.map((name, index) => {
      if (name === '_offset') return offsets
      if (name === '_partition') return constantCell(place.partition)
      if (name === '_tier') return constantCell(place.tier)
      return valueCell(this.column(index, batch, place))
    })
  }

  #locate(schema: Schema): void {
    this.#schema = schema
    this.#positions = this.#sources.map((source) =>
      source === null ? -1 : fieldIndex(schema, source),
    )
  }
}

function offsetCell({ baseOffset, offsets }: BatchPlace): ValueCell {
  return offsets === undefined || offsets === null
    ? sequenceCell(baseOffset)
    : readerCell((row) => offsets[row])
}

function unknownColumn({ log, schema }: BatchLayoutOptions, name: string): StratalogError {
  const names = schema.fields.map((field) => field.name).filter((other) => !isSystemColumn(other))
  return new StratalogError(
    'argument_invalid',
    `Log '${log}' has no column ${JSON.stringify(name)}; it has ${names.join(', ')} and ${SYSTEM_COLUMNS.join(', ')}.`,
    { details: { log, column: name } },
  )
}
