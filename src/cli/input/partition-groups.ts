import { type Log, partitionOfKey } from '../../engine/log.ts'
import { keyText } from '../../engine/system-columns.ts'
import type { JsonRecord } from '../../engine/json-record.ts'

/**
 * Records that may go in one append: an append lands in one partition, and on a log with a key that is the key's. The
 * order of the records of a partition stays.
 */
export function groupByPartition<T>(
  log: Log,
  items: readonly T[],
  recordOf: (item: T) => JsonRecord,
): ReadonlyArray<readonly T[]> {
  const { partitions, keyColumn } = log.describe()
  if (keyColumn === null || partitions === 1) return [items]
  const groups = Map.groupBy(items, (item) =>
    partitionOfKey(keyText(recordOf(item)[keyColumn]) ?? '', partitions),
  )
  return [...groups.values()]
}
