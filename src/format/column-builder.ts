/** Makes growing columns (growing-column.ts) by type. */
import { BitsBuilder, FixedBuilder } from './fixed-builder.ts'
import {
  type BufferSource,
  type ColumnBuilder,
  type ColumnSize,
  NO_SIZE,
} from './growing-column.ts'
import { createNestedBuilder } from './nested-builder.ts'
import { type ColumnType, columnLayout } from './schema.ts'
import { TextBuilder } from './text-builder.ts'
import { VariableBuilder } from './variable-builder.ts'

/** What lies inside of lists and structs has no dictionary. */
const PLAIN_TEXT: ColumnSize = { ...NO_SIZE, encoding: 'plain' }

/** `expected` is what a column of the same kind came to before; a first buffer of that size saves growing into it. */
export function createColumnBuilder(
  type: ColumnType,
  source: BufferSource,
  expected: ColumnSize = NO_SIZE,
): ColumnBuilder {
  const layout = columnLayout(type)
  if (layout.kind === 'list' || layout.kind === 'struct')
    return createNestedBuilder(type, layout, source, (inside) =>
      createColumnBuilder(inside, source, PLAIN_TEXT),
    )
  if (layout.kind === 'bits') return new BitsBuilder(type, source)
  if (layout.kind === 'fixed') return new FixedBuilder(type, source, expected)
  if (type === 'utf8') return new TextBuilder(source, expected)
  return new VariableBuilder(type, source, expected)
}
