/** Makes growing columns (growing-column.ts) by type. */
import { BitsBuilder, FixedBuilder } from './fixed-builder.ts'
import type { BufferSource, ColumnBuilder, ColumnSize } from './growing-column.ts'
import { type ColumnType, columnLayout } from './schema.ts'
import { VariableBuilder } from './variable-builder.ts'

const NO_SIZE: ColumnSize = { rows: 0, valueBytes: 0 }

/** `expected` is what a column of the same kind came to before; a first buffer of that size saves growing into it. */
export function createColumnBuilder(
  type: ColumnType,
  source: BufferSource,
  expected: ColumnSize = NO_SIZE,
): ColumnBuilder {
  const layout = columnLayout(type)
  if (layout.kind === 'bits') return new BitsBuilder(type, source)
  if (layout.kind === 'fixed') return new FixedBuilder(type, layout.byteWidth, source, expected)
  return new VariableBuilder(type, source, expected)
}
