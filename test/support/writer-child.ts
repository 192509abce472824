/**
 * A process that writes a directory: appends one record after the other to a log on disk and to one in RAM, tells a
 * journal what became of each, and ends when an append is refused. It prints `open` once it has the directory, or the
 * code of what kept it from that.
 *
 * Arguments: data directory, journal, name of this writer.
 */
import { openSync, writeSync } from 'node:fs'
import process from 'node:process'
import { Stratalog, StratalogError } from '../../src/index.ts'

const [dataDir = '', journal = '', name = ''] = process.argv.slice(2)
const told = openSync(journal, 'a')

function codeOf(error: unknown): string {
  if (error instanceof StratalogError) return error.code
  throw error
}

try {
  const db = await Stratalog.open({ dataDir, logLevel: 'silent' })
  const exists = db.logs().some((log) => log.name === 'orders')
  const orders = exists ? db.log('orders') : await db.createLog('orders')
  const cache = await db.createLog(`cache-${name}`, { storage: { mode: 'memory' } })
  process.stdout.write('open\n')
  for (let n = 0; ; n++) {
    for (const log of [orders, cache]) {
      try {
        await log.append({ writer: name, n })
        writeSync(told, `ack ${log.name} ${n}\n`)
      } catch (error) {
        writeSync(told, `${codeOf(error)} ${log.name} ${n}\n`)
        process.exit(9)
      }
    }
  }
} catch (error) {
  process.stdout.write(`${codeOf(error)} ${String(error)}\n`)
  process.exit(8)
}
