/**
 * The process that is killed: opens an engine and appends, by itself and by producers, while it changes the policy of
 * one of the logs, telling its parent each append before it starts and each acknowledgement after it came. It tells by
 * a file, written synchronously: what it told before it was killed is there, and a slow parent cannot hold it up.
 *
 * Its argument is LifeOptions (life.ts) as JSON.
 */
import { openSync, writeSync } from 'node:fs'
import process from 'node:process'
import { seededRandom } from '../../../src/base/random.ts'
import { Stratalog } from '../../../src/index.ts'
import { killRecord } from './kill-record.ts'
import type { LifeOptions } from './life.ts'
import { PolicyChanges } from './policy-changes.ts'
import { Sender } from './sender.ts'
import { CHANGING_LOG } from './sent-record.ts'

const IN_FLIGHT = 4
const ROWS_MAX = 120
const PLACES = [
  ['events', 0],
  ['orders', 0],
  ['orders', 1],
] as const

const options = JSON.parse(process.argv[2] ?? '') as LifeOptions
const { dataDir, archive, life, journal } = options
const told = openSync(journal, 'a')
const random = seededRandom(life * 7919 + 1)

function tell(line: string): void {
  writeSync(told, `${line}\n`)
}

const db = await Stratalog.open({
  dataDir,
  ...(archive === null ? {} : { archive }),
  logLevel: 'error',
  defaults:
    archive === null
      ? { memoryTtl: 60, diskAfter: 30 }
      : { memoryTtl: 60, diskAfter: 30, archiveAfter: 90, diskTtl: 150 },
  // Every other life is short of memory: its appends wait for room, are rolled back and come again.
  ...(life % 2 === 1 ? { maxMemoryBytes: '128KB' } : {}),
})
const names = new Set(db.logs().map((log) => log.name))
if (!names.has('events')) await db.createLog('events')
if (!names.has('orders'))
  await db.createLog('orders', { partitions: 2, storage: { mode: 'persistent' } })
if (!names.has('sent')) await db.createLog('sent')
if (!names.has(CHANGING_LOG)) await db.createLog(CHANGING_LOG, { partitions: 2 })
process.stdout.write('open\n')

const next = new Map<string, number>()
for (const log of db.status().logs) {
  for (const { partition, endOffset } of log.partitions)
    next.set(`${log.name}/${partition}`, endOffset)
}
let appendsLeft = options.appends ?? Infinity

async function writer(): Promise<void> {
  while (appendsLeft-- > 0) {
    const [name, partition] = PLACES[random.uint32() % PLACES.length] ?? PLACES[0]
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

const changes = new PolicyChanges(db, archive !== null, tell, random)
const senders = options.senders.map((start) => new Sender(db, start, tell, random))

async function sending(sender: Sender): Promise<void> {
  while (appendsLeft-- > 0) {
    changes.turn()
    await sender.turn()
  }
}

await Promise.all([...Array.from({ length: IN_FLIGHT }, writer), ...senders.map(sending)])
await changes.settled()
if (archive !== null) {
  await db.tier.now({ to: 'object' })
  await db.snapshot({ name: `life-${life}` })
}
await db.close()
