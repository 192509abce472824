/** The two keys that say how a log with lower tiers uses RAM. */
import { expect, test } from 'vitest'
import { Stratalog } from '../../src/index.ts'
import { expectError } from '../support/expect-error.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'

const MEMORY_BYTES = 4 * 1024 * 1024

function rows(count: number): { id: number; text: string }[] {
  return Array.from({ length: count }, (_, id) => ({ id, text: `${id}`.repeat(40) }))
}

/** Appends until RAM refuses, three times its size at most. Returns how many batches went in. */
async function fill(db: Stratalog, name: string): Promise<number> {
  const batch = rows(1_000)
  const bytes = batch.reduce((sum, { text }) => sum + text.length + 8, 0)
  let taken = 0
  while (taken * bytes < 3 * MEMORY_BYTES) {
    try {
      await db.log(name).append(batch, { signal: AbortSignal.timeout(1_000) })
    } catch {
      return taken
    }
    taken++
  }
  return taken
}

function tiersOf(db: Stratalog, name: string): { memory: number; disk: number } {
  const log = db.status().logs.find((one) => one.name === name)
  const [partition] = log?.partitions ?? []
  return {
    memory: partition?.tiers.memory.records ?? -1,
    disk: partition?.tiers.disk.records ?? -1,
  }
}

test('full RAM is flushed early, and of a log without diskFallback nothing is before its time', async () => {
  for (const diskFallback of [true, false]) {
    await using db = await Stratalog.open({
      dataDir: await temporaryDirectory(),
      maxMemoryBytes: MEMORY_BYTES,
    })
    const log = await db.createLog('events', { storage: { diskFallback } })
    const taken = await fill(db, 'events')
    if (diskFallback) expect(tiersOf(db, 'events').disk).toBeGreaterThan(0)
    else {
      expect(tiersOf(db, 'events')).toEqual({ memory: taken * 1_000, disk: 0 })
      // Its time comes, or somebody says so: then there is room again.
      await db.tier.now({ to: 'disk' })
      await db.alterLog('events', { storage: { diskFallback: true } })
      expect((await log.append(rows(1_000))).offset).toBe(taken * 1_000)
    }
  }
})

test('RAM that does not come first holds only what is not on disk yet', async () => {
  await using db = await Stratalog.open({ dataDir: await temporaryDirectory() })
  const log = await db.createLog('events', { storage: { memoryFirst: false } })
  await log.append(rows(1_000))
  await db.tier.run()
  await db.tier.run()
  expect(tiersOf(db, 'events')).toEqual({ memory: 0, disk: 1_000 })
  expect((await log.read().toArray()).length).toBe(1_000)
  await db.alterLog('events', { storage: { memoryFirst: true } })
  await log.append(rows(1))
  await db.tier.run()
  expect(tiersOf(db, 'events').memory).toBe(1)
  const error = await expectError(
    db.createLog('other', { storage: { memoryFirst: false, memoryTtl: '1h' } }),
    'config_invalid',
  )
  expect(error.message).toContain('memoryFirst')
})
