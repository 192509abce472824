/**
 * The process that the producer test kills: sends the appends of one producer in order, several in flight, from the
 * first that its parent does not know to be acknowledged. It tells each acknowledgement by a file, written at once.
 *
 * Arguments: data directory, archive URL, first sequence, file to tell by.
 */
import { openSync, writeSync } from 'node:fs'
import process from 'node:process'
import { Stratalog } from '../../src/index.ts'
import { producerRows } from './producer-rows.ts'

const IN_FLIGHT = 8

const [dataDir = '', archive = '', firstText = '0', journal = ''] = process.argv.slice(2)
const told = openSync(journal, 'a')
const db = await Stratalog.open({
  dataDir,
  archive,
  defaults: { memoryTtl: 40, diskAfter: 20, archiveAfter: 60, diskTtl: 100 },
})
const log = db.logs().find(({ name }) => name === 'events') ?? (await db.createLog('events'))
process.stdout.write('open\n')

let next = Number(firstText)
async function writer(): Promise<never> {
  for (;;) {
    const sequence = next++
    const producer = { producerId: 'child', epoch: 0, sequence }
    const { offset, count } = await log.append(producerRows(sequence), { producer })
    writeSync(told, `${sequence} ${offset} ${count}\n`)
  }
}
await Promise.all(Array.from({ length: IN_FLIGHT }, writer))
