/** Reads a whole log back through the public API into the checksum that the oracle made without us. */
import type { Log } from '../src/index.ts'
import { Checksum, type BenchRecord } from './records.ts'

export async function readChecksum(log: Log): Promise<string> {
  const checksum = new Checksum()
  for await (const row of log.read().rows()) checksum.add(row as unknown as BenchRecord)
  return checksum.value()
}
