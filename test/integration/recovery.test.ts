/** Recovery of what no budget holds, told of while it goes on, and of a clock that nobody can trust. */
import { cp } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { MemoryLogger } from '../../src/base/logger.ts'
import { type RecoveryProgress, Stratalog, VirtualClock } from '../../src/index.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const ROWS = 4_000
const APPENDS = 16
const TEXT = 'abcdefghij'.repeat(90)

/** A directory as a crash would leave it: everything in the WAL, nothing flushed. */
async function crashed(root: string): Promise<string> {
  const db = await Stratalog.open({ dataDir: `${root}/data`, maxMemoryBytes: '256MB' })
  await db.tier.pause()
  const orders = await db.createLog('orders', { partitions: 2 })
  const others = await db.createLog('others', { storage: { ack: 'memory' } })
  for (let append = 0; append < APPENDS; append++) {
    const rows = Array.from({ length: ROWS }, (_, row) => {
      const n = append * ROWS + row
      return { n, text: `${n}${TEXT}` }
    })
    await orders.append(rows, { partition: append % 2 })
    await others.append({ n: append })
  }
  await others.append({ n: APPENDS }, { ack: 'disk' })
  await cp(`${root}/data`, `${root}/crashed`, { recursive: true })
  await db.close()
  return `${root}/crashed`
}

async function checkAll(db: Stratalog): Promise<void> {
  for (const partition of [0, 1]) {
    let next = 0
    for await (const row of db.log('orders').read({ partition }).rows()) {
      const append = Math.floor(next / ROWS) * 2 + partition
      const n = append * ROWS + (next % ROWS)
      if (row['n'] !== n || row['text'] !== `${n}${TEXT}` || row['_offset'] !== next)
        expect.fail(`partition ${partition} has ${String(row['n'])} at ${next}`)
      next++
    }
    expect(next).toBe((APPENDS * ROWS) / 2)
  }
  const others = await db.log('others').read().toArray()
  expect(others.map((row) => row['n'])).toEqual(Array.from({ length: APPENDS + 1 }, (_, n) => n))
}

test('a WAL of a hundred times the budget is recovered within the budget, again and again', async () => {
  const root = await temporaryDirectory()
  const dataDir = await crashed(root)
  const maxMemoryBytes = 600 * 1024
  let walBytes = 0
  for (const life of [1, 2, 3]) {
    const told: RecoveryProgress[] = []
    const logger = new MemoryLogger()
    const onRecovery = (progress: RecoveryProgress): number => told.push(progress)
    const db = await Stratalog.open({ dataDir, maxMemoryBytes }, { onRecovery, logger })
    await db.tier.pause()
    const last = told.at(-1)
    if (life === 1) {
      walBytes = last?.bytes ?? 0
      expect(walBytes).toBeGreaterThan(90 * maxMemoryBytes)
      expect(last).toMatchObject({ totalBytes: walBytes, records: APPENDS * ROWS + APPENDS + 1 })
      expect(told.length).toBeGreaterThan(8)
      expect(told.map(({ bytes }) => bytes)).toEqual(
        told.map(({ bytes }) => bytes).sort((a, b) => a - b),
      )
      const said = logger.entries.find(({ message }) => message === 'Recovered from the WAL.')
      expect(said?.fields).toMatchObject({ records: last?.records })
      expect(said?.fields['bytesPerSecond']).toBeGreaterThan(0)
    }
    // One append is as big as it is; beside it there is no more than the budget.
    const appendBytes = ROWS * (TEXT.length + 24)
    for (const { memoryBytes } of told)
      expect(memoryBytes).toBeLessThan(maxMemoryBytes + 2 * appendBytes)
    await checkAll(db)
    // The next life finds it as a crash left it: the copy is made while the engine is open.
    await cp(dataDir, `${root}/life-${life}`, { recursive: true })
    await db.close()
    await using again = await Stratalog.open({ dataDir: `${root}/life-${life}`, maxMemoryBytes })
    await checkAll(again)
  }
})

test('a reader beside a writer sees what the WAL holds, and writes nothing', async () => {
  const root = await temporaryDirectory()
  const dataDir = await crashed(root)
  await using reader = await Stratalog.openReadOnly({ dataDir })
  await checkAll(reader)
  expect(reader.status().logs[0]?.partitions[0]?.tiers.disk.segments).toBe(0)
})

test('a clock that went back by a year changes nothing', async () => {
  const dataDir = `${await temporaryDirectory()}/data`
  const year = 365 * 24 * 3_600_000
  const first = await Stratalog.open({ dataDir }, { clock: new VirtualClock(1_700_000_000_000) })
  const made = await first.createLog('orders', { storage: { diskAfter: '5m' } })
  await made.append([{ n: 0 }, { n: 1 }])
  await first.close()
  const clock = new VirtualClock(1_700_000_000_000 - year)
  const second = await Stratalog.open({ dataDir }, { clock })
  const orders = second.log('orders')
  // What was appended in what is now the future does not wait for a year.
  expect(await second.tier.run()).toMatchObject([{ from: 0, to: 2, toTier: 'disk' }])
  await orders.append({ n: 2 })
  expect((await orders.read().toArray()).map((row) => row['n'])).toEqual([0, 1, 2])
  await second.close()
  await using third = await Stratalog.open({ dataDir })
  await third.log('orders').append({ n: 3 })
  expect((await third.log('orders').read().toArray()).map((row) => row['n'])).toEqual([0, 1, 2, 3])
})
