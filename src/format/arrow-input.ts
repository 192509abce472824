/**
 * Arrow data from outside as columns: a Table or a RecordBatch of any copy of the npm package
 * apache-arrow, told by their shape: nothing of it is loaded. Of IPC bytes see arrow-ipc.ts.
 *
 * Nothing of it is believed: every buffer has to be as long as its rows ask, offsets ascend, codes
 * lie in their dictionary, text is UTF-8. Columns share the input's memory where its layout is
 * ours.
 */
import { present } from '../base/assert.ts'
import { StratalogError } from '../base/errors.ts'
import { type ArrowData, ArrowColumnReader, isArrowData } from './arrow-column.ts'
import { type ArrowBatch, type ArrowField, isJsonField } from './arrow-types.ts'
import { concatColumns } from './column-concat.ts'
import type { ColumnData } from './column.ts'
import type { Field } from './schema.ts'

/** Rows in our columns: `columns[i]` belongs to `fields[i]`. */
export interface ArrowColumns {
  readonly fields: readonly Field[]
  readonly columns: readonly ColumnData[]
  readonly length: number
}

class CheckedColumns implements ArrowColumns {
  readonly fields: readonly Field[]
  readonly columns: readonly ColumnData[]
  readonly length: number

  constructor(fields: readonly Field[], columns: readonly ColumnData[], length: number) {
    this.fields = fields
    this.columns = columns
    this.length = length
  }
}

/** Whether columns were read here, so that they need no check again. */
export function areChecked(columns: unknown): boolean {
  return columns instanceof CheckedColumns
}

/** A Table or a RecordBatch of apache-arrow, as far as it is looked at. */
export type ArrowInput = ArrowBatch | { readonly batches: readonly ArrowBatch[] }

/** Whether a value looks like an apache-arrow Table or RecordBatch. */
export function isArrowInput(value: unknown): value is ArrowInput {
  if (isArrowBatch(value)) return true
  if (typeof value !== 'object' || value === null || !('batches' in value)) return false
  return Array.isArray(value.batches) && value.batches.every(isArrowBatch)
}

/**
 * All rows of the input as one. Columns of Arrow's type Null are left out.
 *
 * @throws StratalogError `type_unsupported` naming the column and its type, `schema_invalid` for a
 * name that comes twice, `record_too_large`, `input_invalid` for anything that is not as Arrow lays
 * it out.
 */
export function readArrowInput(input: ArrowInput): ArrowColumns {
  return joinArrowBatches(readArrowBatches(input))
}

/** Batches of the same columns as one. @throws StratalogError `input_invalid` where they have others. */
export function joinArrowBatches(batches: readonly ArrowColumns[]): ArrowColumns {
  const first = batches[0]
  if (first === undefined) return new CheckedColumns([], [], 0)
  if (batches.length === 1) return first
  const names = first.fields.map((field) => `${field.name} ${field.type}`).join()
  for (const { fields } of batches) {
    if (fields.map((field) => `${field.name} ${field.type}`).join() !== names) {
      throw inputInvalid('The batches of a table have not the same columns.')
    }
  }
  return new CheckedColumns(
    first.fields,
    first.columns.map((_, index) =>
      concatColumns(batches.map((batch) => present(batch.columns[index], 'a column'))),
    ),
    batches.reduce((sum, batch) => sum + batch.length, 0),
  )
}

/** The same, batch by batch. */
export function readArrowBatches(input: ArrowInput): ArrowColumns[] {
  return ('batches' in input ? input.batches : [input]).map(readBatch)
}

function isArrowBatch(value: unknown): value is ArrowBatch {
  if (typeof value !== 'object' || value === null || !('schema' in value) || !('data' in value))
    return false
  const { schema, data } = value as {
    schema: Partial<ArrowBatch['schema']> | null
    data: Partial<ArrowBatch['data']> | null
  }
  return (
    Array.isArray(schema?.fields) &&
    Array.isArray(data?.children) &&
    typeof data.length === 'number'
  )
}

function readBatch(batch: ArrowBatch): ArrowColumns {
  const { length, children } = batch.data
  const { fields: arrowFields } = batch.schema
  if (children.length !== arrowFields.length)
    throw inputInvalid('A record batch has not one column a field.')
  const fields: Field[] = []
  const columns: ColumnData[] = []
  assertNamedOnce(arrowFields)
  for (const [index, field] of arrowFields.entries()) {
    const data: unknown = children[index]
    if (!isArrowData(data) || data.length !== length)
      throw inputInvalid(`Column ${JSON.stringify(field.name)} has another length.`)
    const column = readColumn(field, data)
    if (column === null) continue
    fields.push({ name: field.name, type: column.type, nullable: field.nullable })
    columns.push(column)
  }
  return new CheckedColumns(fields, columns, length)
}

/** Few names are compared with each other faster than they are put into a set. */
const COMPARED_NAMES_MAX = 16

function assertNamedOnce(fields: readonly ArrowField[]): void {
  const names = new Set<string>()
  for (const [index, { name }] of fields.entries()) {
    const isKnown =
      fields.length > COMPARED_NAMES_MAX
        ? names.size === names.add(name).size
        : fields.findIndex((field) => field.name === name) < index
    if (!isKnown) continue
    throw new StratalogError('schema_invalid', `The column ${JSON.stringify(name)} comes twice.`, {
      details: { column: name },
    })
  }
}

function readColumn(field: ArrowField, data: ArrowData): ColumnData | null {
  return new ArrowColumnReader(field.name, isJsonField(field)).read(data)
}

export function inputInvalid(message: string, cause?: unknown): StratalogError {
  return new StratalogError('input_invalid', message, cause === undefined ? {} : { cause })
}
