/** What an append is given, as the log takes it: rows or columns, checked as far as that needs no log. */
import { StratalogError } from '../base/errors.ts'
import { type ArrowInput, areChecked, isArrowInput, readArrowInput } from '../format/arrow-input.ts'
import { columnProblem } from '../format/column-check.ts'
import { type Row, assertRecord } from '../format/schema-inference.ts'
import { SYSTEM_COLUMNS } from '../format/schema.ts'
import type { AppendInput } from '../log/append-input.ts'
import type { ColumnInput } from '../log/row-appender.ts'

/** One record, many, an `apache-arrow` Table or RecordBatch, or columns in Arrow's layout. */
export type Appendable = object | readonly object[] | ArrowInput | ColumnInput

/** Whether it may be a record, and is no list of them. */
export function isOneRecord(records: unknown): records is object {
  if (typeof records !== 'object' || records === null) return false
  return !Array.isArray(records) && !areChecked(records)
}

/** @throws StratalogError `input_invalid`, `schema_invalid`, `record_invalid`. */
export function toInput(records: Appendable): AppendInput {
  if (Array.isArray(records)) return { kind: 'rows', rows: records as readonly Row[] }
  assertRecord(records, 0)
  if (isColumnInput(records)) {
    if (!areChecked(records)) assertColumnInput(records)
    for (const { name } of records.fields) assertUserColumn(name)
    return {
      kind: 'columns',
      fields: records.fields,
      columns: records.columns,
      length: records.length,
    }
  }
  if (isArrowInput(records)) {
    const input = readArrowInput(records)
    for (const field of input.fields) assertUserColumn(field.name)
    return { kind: 'columns', ...input }
  }
  return { kind: 'rows', rows: [records] }
}

/** Whole numbers in a time column are ms since 1970, as they are in rows; both types lie in memory alike. */
export function withTimes(input: AppendInput, timeColumn: string | null): AppendInput {
  if (input.kind === 'rows' || timeColumn === null) return input
  const place = input.fields.findIndex(({ name }) => name === timeColumn)
  const field = input.fields[place]
  const column = input.columns[place]
  if (field?.type !== 'int64' || column === undefined) return input
  const type = 'timestamp[ms]'
  return {
    ...input,
    fields: input.fields.with(place, { ...field, type }),
    columns: input.columns.with(place, { ...column, type }),
  }
}

export function adopted(input: AppendInput): AppendInput {
  return input.kind === 'columns' ? { ...input, adopt: true } : input
}

function assertUserColumn(name: string): void {
  if ((SYSTEM_COLUMNS as readonly string[]).includes(name)) {
    throw new StratalogError(
      'schema_invalid',
      `${JSON.stringify(name)} is reserved; name the column otherwise.`,
    )
  }
}

/** @throws StratalogError `input_invalid` naming the column: what lies outside its buffers must not be read. */
function assertColumnInput({ fields, columns, length }: ColumnInput): void {
  if (fields.length !== columns.length) {
    throw new StratalogError(
      'input_invalid',
      `${fields.length} fields need as many columns; got ${columns.length}.`,
    )
  }
  for (const [index, { name, type }] of fields.entries()) {
    const column = columns[index]
    const problem =
      column?.type !== type
        ? `it is not of type ${type}`
        : column.length === length
          ? columnProblem(column)
          : `it has ${column.length} rows, and the append ${length}`
    if (problem === null) continue
    throw new StratalogError('input_invalid', `Column ${JSON.stringify(name)}: ${problem}.`, {
      details: { column: name },
    })
  }
}

function isColumnInput(records: unknown): records is ColumnInput {
  const { fields, columns, length } = records as Partial<ColumnInput>
  if (!Array.isArray(fields) || !Array.isArray(columns) || typeof length !== 'number') return false
  // A record may have columns of these names.
  return fields.every((field: unknown) => typeof Object(field).name === 'string')
}
