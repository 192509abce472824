/** What an append benchmark gives to everyone: records, the appends they come in, and the oracle's checksum. */
import { checksumOf, inBatches, makeRecords, type BenchRecord } from './records.ts'

export interface AppendLoad {
  readonly count: number
  readonly records: readonly BenchRecord[]
  readonly batches: readonly (readonly BenchRecord[])[]
  readonly checksum: string
}

export function makeAppendLoad(count: number, batchRecords: number): AppendLoad {
  const records = makeRecords(count)
  return {
    count,
    records,
    batches: inBatches(records, batchRecords),
    checksum: checksumOf(records),
  }
}
