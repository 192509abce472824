/** Numbers for batches that do not change, for those who cannot compare objects: none is given to another batch. */
import type { RecordBatch } from '../format/record-batch.ts'

const keys = new WeakMap<RecordBatch, number>()
let next = 0

export function batchKey(batch: RecordBatch): number {
  const known = keys.get(batch)
  if (known !== undefined) return known
  const key = next++
  keys.set(batch, key)
  return key
}
