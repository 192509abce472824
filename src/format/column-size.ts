import { type ColumnData, bitmapBytes } from './column.ts'
import { listItems, valueRange } from './column-concat.ts'
import { columnLayout } from './schema.ts'

/**
 * Bytes that the rows of a column take; what lies beside them in shared buffers and a dictionary do
 * not count.
 */
export function rawColumnBytes(column: ColumnData): number {
  const validity = column.nullCount === 0 ? 0 : bitmapBytes(column.length)
  const layout = columnLayout(column.type)
  if (column.dictionary !== null) return validity + column.length * 4
  if (layout.kind === 'bits') return validity + bitmapBytes(column.length)
  if (layout.kind === 'fixed') return validity + column.length * layout.byteWidth
  if (layout.kind === 'struct') return validity + insideBytes(column.children ?? [])
  if (layout.kind === 'list')
    return validity + (column.length + 1) * 4 + insideBytes([listItems(column)])
  const { start, end } = valueRange(column)
  return validity + (column.length + 1) * 4 + end - start
}

function insideBytes(columns: readonly ColumnData[]): number {
  return columns.reduce((sum, column) => sum + rawColumnBytes(column), 0)
}
