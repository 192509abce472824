/**
 * A process (run with --expose-gc) that leaves iterators half way without `return`, and fails unless what they leased
 * is given back.
 */
import { isDeepStrictEqual } from 'node:util'
import { type Batch, Stratalog } from '../../src/index.ts'

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

// A batch that is kept keeps its lease, though nobody has its iterator any more.
const first = async (): Promise<Batch> => {
  const step = await log.read({ onGap: 'skip' })[Symbol.asyncIterator]().next()
  if (step.done === true) throw new Error('There is nothing to read.')
  return step.value
}
const batch = await first()
const rows = batch.toRows()
const iterated = (await first()).rows()
for (let round = 0; round < 20; round++) {
  gc()
  await new Promise((resolve) => setImmediate(resolve))
  await log.append(records)
}
for (const kept of [batch.toRows(), [...iterated].map((row) => ({ ...row }))])
  if (!isDeepStrictEqual(kept, rows)) throw new Error('A batch that is kept was recycled.')

const used = (): number => db.memoryMetrics().usedBytes
const before = used()
readers.length = 0
for (let round = 0; used() >= before && round < ROUNDS_MAX; round++) {
  gc()
  await new Promise((resolve) => setImmediate(resolve))
}
if (used() >= before) throw new Error(`Of ${before} bytes in use nothing was given back.`)
await db.close()
