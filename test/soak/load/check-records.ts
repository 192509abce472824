/** Reads a log back and holds it against what its senders were told. */
import type { Client } from '../../../src/client/index.ts'
import type { SoakCounts } from '../report.ts'
import { BATCH_RECORDS, type Sender, recordOf } from './sender.ts'

/** `when` names the look in what it finds. */
export async function checkLog(
  db: Client,
  log: string,
  senders: readonly Sender[],
  counts: SoakCounts,
  when: string,
): Promise<void> {
  const seen = new Map(
    senders.map(({ number, offsets }) => [number, new Uint8Array(offsets.length * BATCH_RECORDS)]),
  )
  const told = new Map(senders.map((sender) => [sender.number, sender.offsets]))
  let next = 0
  for await (const row of db.log(log).read().rows()) {
    const [number, n, offset] = [Number(row['sender']), Number(row['n']), Number(row['_offset'])]
    const where = `${when}, ${log} offset ${offset}`
    if (offset !== next) counts.violation('lost', 'I3', `${where} comes after ${next - 1}`)
    next = offset + 1
    const marks = seen.get(number)
    if (marks?.[n] === undefined || row['text'] !== recordOf(number, n).text) {
      counts.violation('invented', 'I2', `${where} was not appended: ${JSON.stringify(row)}`)
      continue
    }
    if (marks[n] !== 0) counts.violation('wrong', 'I4', `${where} is there twice`)
    marks[n] = 1
    const first = told.get(number)?.[Math.floor(n / BATCH_RECORDS)] ?? -1
    if (first >= 0 && first + (n % BATCH_RECORDS) !== offset)
      counts.violation('wrong', 'I4', `${where} was acknowledged at ${first + (n % BATCH_RECORDS)}`)
  }
  for (const { number, offsets } of senders) {
    const marks = seen.get(number)
    for (const [append, offset] of offsets.entries()) {
      const start = append * BATCH_RECORDS
      const there = marks
        ?.subarray(start, start + BATCH_RECORDS)
        .reduce((sum, mark) => sum + mark, 0)
      if (offset >= 0 && there !== BATCH_RECORDS)
        counts.violation('lost', 'I1', `${when}, ${log}: append ${append} of sender ${number}`)
      if (offset < 0 && there !== 0 && there !== BATCH_RECORDS)
        counts.violation('wrong', 'I5', `${when}, ${log}: half of append ${append} of ${number}`)
    }
  }
}
