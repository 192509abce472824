/**
 * A process (run with --expose-gc) that leaves iterators half way without `return`, and fails unless what they leased
 * is given back.
 */
import { Stratalog } from '../../src/index.ts'

declare const gc: () => void

const ROUNDS_MAX = 200

const db = await Stratalog.memoryOnly({ maxMemoryBytes: '32MB' })
const log = await db.createLog('subject')
const records = Array.from({ length: 50 }, (_, n) => ({ n, filler: 'x'.repeat(20_000) }))
for (let round = 0; round < 10; round++) await log.append(records)

const readers: AsyncIterator<unknown>[] = [
  log.read()[Symbol.asyncIterator](),
  log.read({ columns: ['n'] }).rows(),
]
await Promise.all(readers.map((reader) => reader.next()))

// Batches that are evicted keep their memory while they are leased.
for (let round = 0; round < 60; round++) await log.append(records)
const used = (): number => db.memoryMetrics().usedBytes
const before = used()
readers.length = 0
for (let round = 0; used() >= before && round < ROUNDS_MAX; round++) {
  gc()
  await new Promise((resolve) => setImmediate(resolve))
}
if (used() >= before) throw new Error(`Of ${before} bytes in use nothing was given back.`)
await db.close()
