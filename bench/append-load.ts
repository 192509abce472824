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

/** Does `work` for each input, `inFlight` of them at a time, begun in their order. */
export async function inTurns<T>(
  inputs: readonly T[],
  inFlight: number,
  work: (input: T) => Promise<unknown>,
): Promise<void> {
  const pending: Promise<unknown>[] = []
  for (const input of inputs) {
    pending.push(work(input))
    if (pending.length >= inFlight) await pending.shift()
  }
  await Promise.all(pending)
}

/** So many callers take the inputs in their order, each the next one when its last is done. */
export async function byWaiters<T>(
  inputs: readonly T[],
  waiters: number,
  work: (input: T, index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0
  const waiter = async (): Promise<void> => {
    while (next < inputs.length) {
      const index = next++
      await work(inputs[index] as T, index)
    }
  }
  await Promise.all(Array.from({ length: waiters }, waiter))
}
