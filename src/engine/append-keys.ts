/** Which partition an append belongs to that names none: what its records say of it, and what they leave open. */
import { StratalogError } from '../base/errors.ts'
import { keyText } from '../base/key-text.ts'
import { assertRecord } from '../format/schema-inference.ts'
import type { AppendInput } from '../log/append-input.ts'

export function partitionNeeded(name: string, partitions: number): StratalogError {
  return new StratalogError(
    'argument_invalid',
    `expectedOffset is of one partition, and '${name}' has ${partitions}: name the partition.`,
    { details: { log: name, partitions } },
  )
}

/** @throws StratalogError `argument_invalid` for columns, `record_invalid`. */
export function keysOf(input: AppendInput, keyColumn: string): readonly string[] {
  if (input.kind === 'rows') {
    return input.rows.map((row, index) => {
      assertRecord(row, index)
      return keyText(row[keyColumn]) ?? ''
    })
  }
  throw new StratalogError(
    'argument_invalid',
    `Columns appended to a log with a key and several partitions need the partition to be named.`,
  )
}
