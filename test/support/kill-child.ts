/**
 * The process that the kill test kills: opens an engine and appends without end, telling its parent each append before
 * it starts and each acknowledgement after it came. It tells by a file, written synchronously: what it told before it
 * was killed is there, and a slow parent cannot hold it up.
 *
 * Arguments: data directory, archive URL, number of this life, file to tell by.
 */
import { openSync, writeSync } from 'node:fs'
import process from 'node:process'
import { Stratalog } from '../../src/index.ts'
import { seededRandom } from '../../src/base/random.ts'
import { killRecord } from './kill-record.ts'

const IN_FLIGHT = 4
const ROWS_MAX = 120

const [dataDir = '', archive = '', lifeText = '0', journal = ''] = process.argv.slice(2)
const life = Number(lifeText)
const told = openSync(journal, 'a')
const random = seededRandom(life * 7919 + 1)

function tell(line: string): void {
  writeSync(told, `${line}\n`)
}

const db = await Stratalog.open({
  dataDir,
  archive,
  defaults: { memoryTtl: 60, diskAfter: 30, archiveAfter: 90, diskTtl: 150 },
  // Every other life is short of memory: its appends wait for room, are rolled back and come again.
  ...(life % 2 === 1 ? { maxMemoryBytes: '128KB' } : {}),
})
const names = new Set(db.logs().map((log) => log.name))
if (!names.has('events')) await db.createLog('events')
if (!names.has('orders'))
  await db.createLog('orders', { partitions: 2, storage: { mode: 'persistent' } })
process.stdout.write('open\n')

const next = new Map<string, number>()
for (const log of db.status().logs) {
  for (const { partition, endOffset } of log.partitions)
    next.set(`${log.name}/${partition}`, endOffset)
}

async function writer(): Promise<never> {
  for (;;) {
    const [name, partition] = [
      ['events', 0] as const,
      ['orders', 0] as const,
      ['orders', 1] as const,
    ][random.uint32() % 3] ?? ['events', 0]
    const key = `${name}/${partition}`
    const from = next.get(key) ?? 0
    const count = 1 + (random.uint32() % ROWS_MAX)
    next.set(key, from + count)
    const rows = Array.from({ length: count }, (_, index) => killRecord(key, from + index, life))
    tell(`intent ${key} ${from} ${count}`)
    const { offset } = await db
      .log(name)
      .append(count === 1 ? (rows[0] ?? {}) : rows, { partition })
    tell(`ack ${key} ${offset} ${count}`)
  }
}

await Promise.all(Array.from({ length: IN_FLIGHT }, writer))
