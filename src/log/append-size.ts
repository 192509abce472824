/** What an append takes of memory at least, told without staging it: one that never fits is to cost nobody a record. */
import type { ColumnData } from '../format/column.ts'
import { WORD_BYTES_MAX } from '../format/growing-dictionary.ts'
import type { Row } from '../format/schema-inference.ts'
import type { AppendInput } from './live-log.ts'

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
