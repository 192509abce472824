/** What may go in one append: it lands in one partition, and on a log with a key that is the key's. Order stays. */
import { concatColumns } from '../../format/column-concat.ts'
import { columnReader } from '../../format/column-values.ts'
import { sliceColumn } from '../../format/column.ts'
import { keyText, partitionOfKey } from '../../base/key-text.ts'
import type { JsonRecord } from '../../engine/json-record.ts'
import type { AppendTarget, ColumnRecords } from '../append-target.ts'

type Keyed = Pick<AppendTarget, 'partitions' | 'keyColumn'>

export function groupByPartition<T>(
  { partitions, keyColumn }: Keyed,
  items: readonly T[],
  recordOf: (item: T) => JsonRecord,
): ReadonlyArray<readonly T[]> {
  if (keyColumn === null || partitions === 1) return [items]
  const groups = Map.groupBy(items, (item) =>
    partitionOfKey(keyText(recordOf(item)[keyColumn]) ?? '', partitions),
  )
  return [...groups.values()]
}

/** By partition; with null where any will do. */
export function columnsByPartition(
  { partitions, keyColumn }: Keyed,
  input: ColumnRecords,
): ReadonlyArray<{ readonly partition: number | null; readonly records: ColumnRecords }> {
  if (keyColumn === null || partitions === 1) return [{ partition: null, records: input }]
  const key = input.columns[input.fields.findIndex(({ name }) => name === keyColumn)]
  const read = key === undefined ? (): null => null : columnReader(key)
  const rows = Array.from({ length: input.length }, (_, row) => row)
  const groups = Map.groupBy(rows, (row) => partitionOfKey(keyText(read(row)) ?? '', partitions))
  return [...groups].map(([partition, chosen]) => ({ partition, records: rowsOf(input, chosen) }))
}

function rowsOf({ fields, columns }: ColumnRecords, rows: readonly number[]): ColumnRecords {
  const runs: { from: number; to: number }[] = []
  for (const row of rows) {
    const last = runs.at(-1)
    if (last?.to === row) last.to = row + 1
    else runs.push({ from: row, to: row + 1 })
  }
  const chosen = columns.map((column) =>
    concatColumns(runs.map(({ from, to }) => sliceColumn(column, from, to))),
  )
  return { fields, columns: chosen, length: rows.length }
}
