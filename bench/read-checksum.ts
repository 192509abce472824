/** Reads a whole log back through the public API into the checksum that the oracle made without us. */
import type { Log } from '../src/index.ts'
import { Checksum, checksumOf, type BenchRecord } from './records.ts'

export async function readChecksum(log: Log): Promise<string> {
  const checksum = new Checksum()
  for await (const row of log.read().rows()) checksum.add(row as unknown as BenchRecord)
  return checksum.value()
}

/** The same for records that went to several logs in turn. */
export async function checksumInTurn(logs: readonly Log[]): Promise<string> {
  const records: BenchRecord[] = []
  for (const [position, log] of logs.entries()) {
    let index = position
    for await (const row of log.read().rows()) {
      records[index] = row as unknown as BenchRecord
      index += logs.length
    }
  }
  return checksumOf(records)
}
