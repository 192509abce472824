/**
 * The process whose disk fails: appends one record after the other, at each level, and tells a journal what became of
 * each. It goes on whatever happens to the disk; when an append is refused it waits until the engine takes them again.
 *
 * Arguments: data directory, journal, number of appends. At the end it prints what its RAM-only log holds, and the
 * states of its disk.
 */
import { openSync, writeSync } from 'node:fs'
import process from 'node:process'
import { setTimeout as delay } from 'node:timers/promises'
import { MemoryLogger } from '../../src/base/logger.ts'
import { Stratalog, StratalogError } from '../../src/index.ts'

const [dataDir = '', journal = '', countText = '0'] = process.argv.slice(2)
const told = openSync(journal, 'a')
const logger = new MemoryLogger()
const db = await Stratalog.open({ dataDir }, { logger })
const orders = await db.createLog('orders')
const fast = await db.createLog('fast', { storage: { ack: 'memory' } })
const cache = await db.createLog('cache', { storage: { mode: 'memory' } })

async function append(log: typeof orders, n: number): Promise<void> {
  try {
    await log.append({ n })
    writeSync(told, `ack ${log.name} ${n}\n`)
  } catch (error) {
    if (!(error instanceof StratalogError) || error.kind !== 'unavailable') throw error
    writeSync(told, `${String(error.details['fate'])} ${log.name} ${n}\n`)
  }
}

for (let n = 0; n < Number(countText); n++) {
  await Promise.all([append(orders, n), append(fast, n), append(cache, n)])
  while (db.status().disk?.state !== 'working') await delay(5)
}
const states = logger.entries.flatMap(({ fields }) =>
  typeof fields['to'] === 'string' ? [fields['to']] : [],
)
const held = await cache.read().toArray()
process.stdout.write(JSON.stringify({ states, held: held.map((row) => row['n']) }))
await db.close()
