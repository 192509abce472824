/** Lists as arrays and structs as plain objects. */
import { present } from '../base/assert.ts'
import { listItems, valueRange } from './column-concat.ts'
import type { ColumnData } from './column.ts'
import { columnLayout } from './schema.ts'

/** Gives the value of a row; null where the row has none. */
type ValueReader = (row: number) => unknown

/**
 * Reads the rows of a list or a struct that are not null. `readerOf` makes the readers of the columns inside, which
 * decides how their values are shown.
 */
export function nestedReader(
  column: ColumnData,
  readerOf: (column: ColumnData) => ValueReader,
): ValueReader {
  const layout = columnLayout(column.type)
  return layout.kind === 'struct'
    ? structReader(
        layout.fields.map((field) => field.name),
        (column.children ?? []).map(readerOf),
      )
    : listReader(column, readerOf(listItems(column)))
}

function listReader(column: ColumnData, readItem: ValueReader): ValueReader {
  const offsets = present(column.offsets, 'offsets of a list')
  const { start } = valueRange(column)
  return (row) => {
    const from = (offsets[row] ?? 0) - start
    const to = (offsets[row + 1] ?? 0) - start
    const items: unknown[] = []
    for (let item = from; item < to; item++) items.push(readItem(item))
    return items
  }
}

function structReader(names: readonly string[], readers: readonly ValueReader[]): ValueReader {
  return (row) => {
    const value: Record<string, unknown> = {}
    for (let index = 0; index < names.length; index++)
      value[names[index] ?? ''] = readers[index]?.(row)
    return value
  }
}
