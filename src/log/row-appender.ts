/** Puts rows or columns behind the committed rows of a hot batch, all or nothing. */
import { assert } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { type ColumnData, codesOf, isValidAt } from '../format/column.ts'
import { rawColumnBytes } from '../format/column-size.ts'
import { castColumn, nullColumn } from '../format/column-values.ts'
import { FixedBuilder } from '../format/fixed-builder.ts'
import { WORD_BYTES_MAX } from '../format/growing-dictionary.ts'
import { APPEND_BYTES_MAX, VALUE_BYTES_MAX } from '../format/limits.ts'
import {
  type Row,
  assertRecord,
  isReservedName,
  schemaMismatch,
} from '../format/schema-inference.ts'
import { type Field, type Schema, STAMPED_TIME_COLUMN } from '../format/schema.ts'
import { type RowWriter, WRITTEN_ROWS_MAX, rowWriter } from '../format/row-writer.ts'
import { type ColumnPlaces, placesOf } from './column-places.ts'
import type { HotBatch } from './hot-batch.ts'

/** Columns of one append: `columns[i]` belongs to `fields[i]`, all of `length` rows. */
export interface ColumnInput {
  readonly fields: readonly Field[]
  readonly columns: readonly ColumnData[]
  readonly length: number
  /** The caller gives the buffers away: they may become a batch as they are, and nobody writes to them again. */
  readonly adopt?: boolean
}

/** `evolve`: the rows have a column or a type that the schema does not; the batch is as it was. */
export type AppendOutcome = 'ok' | 'evolve'

/**
 * Appends rows behind the committed ones. @throws what a getter throws, and `schema_mismatch`, with the batch rolled
 * back.
 */
export function pushRows(batch: HotBatch, rows: readonly Row[], appendTime: number): AppendOutcome {
  try {
    if (pushPlain(batch, rows, appendTime)) {
      assertPlainBytes(batch, rows.length)
      return 'ok'
    }
    batch.rollback()
    const outcome = pushAll(batch, rows, appendTime)
    if (outcome === 'ok') assertPlainBytes(batch, rows.length)
    else batch.rollback()
    return outcome
  } catch (error) {
    batch.rollback()
    throw error
  }
}

/**
 * Appends one row that an append brings by itself, the quick way. False: it needs a closer look, as does one with which
 * the batch has more than `bytesMax`, and the batch is as it was. What a getter throws leaves the row to the caller's
 * rollback.
 */
export function pushRow(
  batch: HotBatch,
  row: unknown,
  appendTime: number,
  bytesMax: number,
): boolean {
  const { writer, stampIndex, isAmbiguous } = writerOf(batch.schema)
  if (writer === null || isAmbiguous) return false
  const { builders } = batch
  if (stampIndex >= 0) {
    const stamps = builders[stampIndex]
    if (!(stamps instanceof FixedBuilder)) return false
    stamps.pushRepeated(appendTime, 1)
  }
  if (writer.writeRow(builders, row) && batch.bytes <= bytesMax) return true
  batch.rollback()
  return false
}

/** Refuses staged rows of few but long texts, which take little here and much wherever they are plain. */
function assertPlainBytes(batch: HotBatch, count: number): void {
  if (count * batch.builders.length * WORD_BYTES_MAX <= APPEND_BYTES_MAX) return
  const { length } = batch
  const bytes = plainBytes(batch.builders.map((builder) => builder.slice(length, builder.length)))
  if (bytes > APPEND_BYTES_MAX) throw appendTooLarge(bytes)
}

/** What pushing rows of a schema takes; without a writer every row gets the closer look. */
interface SchemaWriter {
  readonly writer: RowWriter | null
  /** Where the column is that the engine stamps; -1: there is none. */
  readonly stampIndex: number
  /** A record of these columns may look like columns or an Arrow batch, so that one by itself needs a closer look. */
  readonly isAmbiguous: boolean
}

/** What columns and Arrow batches are told by (engine/log.ts). */
const TELLING_NAMES = ['fields', 'schema', 'batches']

/** Of schemas in use lately, so that an append need not spell its schema out. Bounded: logs come and go. */
const writersOfSchemas = new Map<Schema, SchemaWriter>()
const SCHEMAS_MAX = 256

/** The writer that was asked for last, and for which schema: as a rule it is asked for again. */
let lastSchema: Schema | null = null
let lastWriter: SchemaWriter = { writer: null, stampIndex: -1, isAmbiguous: false }

function writerOf(schema: Schema): SchemaWriter {
  if (schema === lastSchema) return lastWriter
  lastWriter = writersOfSchemas.get(schema) ?? makeWriter(schema)
  lastSchema = schema
  return lastWriter
}

function makeWriter(schema: Schema): SchemaWriter {
  const stampIndex = schema.fields.findIndex((field) => field.name === STAMPED_TIME_COLUMN)
  const own = stampIndex < 0 ? schema.fields : schema.fields.slice(0, stampIndex)
  const isLast = stampIndex < 0 || stampIndex === schema.fields.length - 1
  const isAmbiguous = own.some(({ name }) => TELLING_NAMES.includes(name))
  const made = { writer: isLast ? rowWriter(own) : null, stampIndex, isAmbiguous }
  if (writersOfSchemas.size >= SCHEMAS_MAX) writersOfSchemas.clear()
  writersOfSchemas.set(schema, made)
  return made
}

/** The quick way, for plain records of exactly this schema. False says only that the rows need a closer look. */
function pushPlain(batch: HotBatch, rows: readonly Row[], appendTime: number): boolean {
  const { writer, stampIndex } = writerOf(batch.schema)
  if (writer === null) return false
  const { builders } = batch
  if (stampIndex >= 0) {
    const stamps = builders[stampIndex]
    if (!(stamps instanceof FixedBuilder)) return false
    stamps.pushRepeated(appendTime, rows.length)
  }
  if (rows.length === 1) return writer.writeRow(builders, rows[0])
  for (let start = 0; start < rows.length; start += WRITTEN_ROWS_MAX) {
    const end = Math.min(start + WRITTEN_ROWS_MAX, rows.length)
    if (!writer.writeRows(builders, rows, start, end)) return false
    if (batch.bytes > APPEND_BYTES_MAX && batch.valueBytes > STAGED_BYTES_MAX) return false
  }
  return true
}

function pushAll(batch: HotBatch, rows: readonly Row[], appendTime: number): AppendOutcome {
  const { fields } = batch.schema
  const known = new Set(fields.map((field) => field.name))
  let { bytes } = batch
  for (const [index, row] of rows.entries()) {
    assertRecord(row, index)
    for (const name of Object.keys(row)) {
      if (name === STAMPED_TIME_COLUMN || (!known.has(name) && needsColumn(row, name)))
        return 'evolve'
    }
    for (const [position, field] of fields.entries()) {
      const builder = batch.builders[position]
      const value = field.name === STAMPED_TIME_COLUMN ? appendTime : valueOf(row, field.name)
      if (!field.nullable && (value === null || value === undefined))
        throw missingValue(index, field)
      const result = builder?.push(value)
      if (result === 'mismatch') return 'evolve'
      if (result !== 'ok') throw valueRefused(index, field, result ?? 'missing')
    }
    if (batch.bytes === bytes) continue
    // The buffers grew: the moment to see that they do not grow without end for an append that is refused anyway.
    bytes = batch.bytes
    if (bytes > APPEND_BYTES_MAX && batch.valueBytes > STAGED_BYTES_MAX)
      throw appendTooLarge(batch.valueBytes)
  }
  return 'ok'
}

/** Value bytes of a batch and of what is staged behind it: nothing that fits an append comes near. */
const STAGED_BYTES_MAX = 2 * APPEND_BYTES_MAX

/** A null says nothing of its column; a name that no column may have is refused with the schema. */
function needsColumn(row: Row, name: string): boolean {
  const value = row[name]
  return (value !== null && value !== undefined) || isReservedName(name)
}

/** A column may be named `toString`: what a record merely inherits from Object is not its value. */
function valueOf(row: Row, name: string): unknown {
  return name in Object.prototype && !Object.hasOwn(row, name) ? undefined : row[name]
}

export function appendTooLarge(bytes: number): StratalogError {
  return new StratalogError(
    'append_too_large',
    `One append takes at most ${APPEND_BYTES_MAX} bytes; this one has ${bytes}. Split it.`,
    { details: { bytes, limit: APPEND_BYTES_MAX } },
  )
}

/** Appends columns behind the committed rows, cast to the schema's types; absent ones are null. */
export function pushColumns(
  batch: HotBatch,
  input: ColumnInput,
  appendTime: number,
  places: ColumnPlaces = placesOf(batch.schema, input.fields),
): void {
  const { fields } = batch.schema
  assertColumnBytes(input.columns)
  for (const [position, field] of fields.entries()) {
    if (field.nullable) continue
    const column = input.columns[places[position] ?? -1]
    const isStamped = column === undefined && field.name === STAMPED_TIME_COLUMN
    if (!isStamped && column?.nullCount !== 0) throw missingValue(null, field)
  }
  for (const [position, field] of fields.entries()) {
    const builder = batch.builders[position]
    const column = input.columns[places[position] ?? -1]
    if (column !== undefined)
      builder?.append(column.type === field.type ? column : castColumn(column, field.type))
    else if (field.name === STAMPED_TIME_COLUMN)
      stampTimes(batch, position, input.length, appendTime)
    else builder?.append(nullColumn(field.type, input.length))
  }
}

/** @throws StratalogError `append_too_large`. */
export function assertColumnBytes(columns: readonly ColumnData[]): void {
  let bytesMax = 0
  for (const column of columns) bytesMax += plainColumnBytesMax(column)
  if (bytesMax <= APPEND_BYTES_MAX) return
  const bytes = plainBytes(columns)
  if (bytes > APPEND_BYTES_MAX) throw appendTooLarge(bytes)
}

/** No less than `plainColumnBytes`, and found without a look at the rows: as if each were every word. */
function plainColumnBytesMax(column: ColumnData): number {
  const starts = column.dictionary?.offsets
  if (starts === null || starts === undefined) return plainColumnBytes(column)
  return column.length * ((starts[column.dictionary?.length ?? 0] ?? 0) - (starts[0] ?? 0))
}

/** Bytes of values once they stand for themselves: words of a dictionary may stand for much more than it has. */
export function plainBytes(columns: readonly ColumnData[]): number {
  return columns.reduce((sum, column) => sum + plainColumnBytes(column), 0)
}

function plainColumnBytes(column: ColumnData): number {
  if (column.children !== undefined) return rawColumnBytes(column)
  const { length, values, offsets, validity, dictionary } = column
  if (offsets !== null) return (offsets[length] ?? 0) - (offsets[0] ?? 0)
  const starts = dictionary?.offsets
  if (starts === null || starts === undefined) return values.byteLength
  const codes = codesOf({ length, values })
  let bytes = 0
  for (let row = 0; row < length; row++) {
    const code = codes[row] ?? 0
    if (isValidAt({ validity }, row)) bytes += (starts[code + 1] ?? 0) - (starts[code] ?? 0)
  }
  return bytes
}

function stampTimes(batch: HotBatch, position: number, count: number, appendTime: number): void {
  const builder = batch.builders[position]
  assert(builder instanceof FixedBuilder, 'stamped times are of a fixed width')
  builder.pushRepeated(appendTime, count)
}

/** The first value of `rows` that does not fit `schema`, as the error to throw. */
export function explainMismatch(
  rows: readonly Row[],
  schema: Schema,
  batch: HotBatch,
): StratalogError {
  for (const [index, row] of rows.entries()) {
    for (const [position, field] of schema.fields.entries()) {
      const value = field.name === STAMPED_TIME_COLUMN ? 0 : valueOf(row, field.name)
      const fits = batch.builders[position]?.push(value) === 'ok'
      if (!fits) {
        batch.rollback()
        return schemaMismatch(index, field, value)
      }
    }
  }
  batch.rollback()
  return new StratalogError('record_invalid', 'The records changed while they were being read.')
}

function missingValue(row: number | null, field: Field): StratalogError {
  const where = row === null ? '' : `Record ${row}, `
  return new StratalogError(
    'schema_mismatch',
    `${where}column ${JSON.stringify(field.name)}: a value of type ${field.type} is required, got null. Nothing of this append was applied.`,
    {
      details: {
        ...(row === null ? {} : { row }),
        column: field.name,
        expected: field.type,
        given: 'null',
      },
    },
  )
}

function valueRefused(row: number, field: Field, reason: string): StratalogError {
  const details = { row, column: field.name }
  if (reason === 'ill_formed') {
    return new StratalogError(
      'record_invalid',
      `Record ${row}, column ${JSON.stringify(field.name)}: the text has a lone surrogate, which UTF-8 cannot hold; use toWellFormed().`,
      { details },
    )
  }
  return new StratalogError(
    'record_too_large',
    `Record ${row}, column ${JSON.stringify(field.name)}: a value takes at most ${VALUE_BYTES_MAX} bytes; store bigger ones as objects and their key here.`,
    { details },
  )
}
