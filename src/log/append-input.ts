/** What an append brings, and what of it is known before it is staged. */
import { StratalogError } from '../base/errors.ts'
import type { ColumnData } from '../format/column.ts'
import { WORD_BYTES_MAX } from '../format/growing-dictionary.ts'
import { APPEND_ROWS_MAX } from '../format/limits.ts'
import type { Row } from '../format/schema-inference.ts'
import type { ColumnInput } from './row-appender.ts'

export interface RowInput {
  readonly kind: 'rows'
  readonly rows: readonly Row[]
}

export type AppendInput = RowInput | ({ readonly kind: 'columns' } & ColumnInput)

export function inputLength(input: AppendInput): number {
  return input.kind === 'rows' ? input.rows.length : input.length
}

/** @throws StratalogError `argument_invalid`, `append_too_large`. */
export function assertSize(input: AppendInput): void {
  const count = inputLength(input)
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new StratalogError(
      'argument_invalid',
      `An append has a whole number of records; got ${String(count)}.`,
    )
  }
  if (count === 0)
    throw new StratalogError('argument_invalid', 'An append needs at least one record; got none.')
  if (count > APPEND_ROWS_MAX) {
    throw new StratalogError(
      'append_too_large',
      `One append takes at most ${APPEND_ROWS_MAX} records; got ${count}. Split it.`,
      { details: { count, limit: APPEND_ROWS_MAX } },
    )
  }
}

/** What it takes of memory at least: one that never fits is to cost nobody a record. */
export function leastBytes(input: AppendInput): number {
  // Memory that is given away is asked for at once, so that it needs no estimate.
  if (input.kind === 'columns') return input.adopt === true ? 0 : sum(input.columns, ofColumn)
  return sum(input.rows, ofRow)
}

function ofRow(row: Row): number {
  let bytes = 0
  for (const value of Object.values(row)) {
    if (typeof value === 'string') bytes += ofText(value.length)
    else if (value instanceof Uint8Array) bytes += value.byteLength
  }
  return bytes
}

function ofColumn({ length, offsets, values, dictionary, children }: ColumnData): number {
  if (dictionary !== null || children !== undefined) return 0
  if (offsets === null) return values.byteLength
  const bytes = (offsets[length] ?? 0) - (offsets[0] ?? 0)
  return Math.max(0, bytes - length * WORD_BYTES_MAX)
}

/** A short text may become the code of a word that is there already. */
function ofText(bytes: number): number {
  return bytes > WORD_BYTES_MAX ? bytes : 0
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0)
}
