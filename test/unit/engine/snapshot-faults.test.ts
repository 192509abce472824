/**
 * Every call that an engine in RAM makes to its `snapshotLocation`, once failing, once done and answered with an
 * error, once landing late, once the last of the process: what a snapshot was acknowledged to hold comes back, in the
 * next life and every one after, and nothing else does.
 */
import { expect, test } from 'vitest'
import { isStratalogError } from '../../../src/base/errors.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { noMetrics } from '../../../src/base/metrics.ts'
import { seededRandom } from '../../../src/base/random.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import type { EnginePorts } from '../../../src/engine/ports.ts'
import { storageOf } from '../../../src/engine/system-storage.ts'
import { Stratalog, type StratalogOptions } from '../../../src/index.ts'
import { MemoryObjectStore } from '../../../src/storage/memory-object-store.ts'
import { inlineEncoder } from '../../../src/tiering/segment-encoder.ts'
import {
  type FaultScript,
  FaultyObjectStore,
  type StoreFault,
} from '../../support/faulty-object-store.ts'

const URL = 's3://bucket/snapshots'
const STEPS = 4
const ROWS = 10

/** One store for all lives, which a life may meet faults in. */
class Lives {
  readonly store = new MemoryObjectStore({ url: URL })
  readonly clock = new VirtualClock()
  faulty = new FaultyObjectStore(this.store, () => null)

  open(script: FaultScript = () => null, options: StratalogOptions = {}): Promise<Stratalog> {
    this.faulty = new FaultyObjectStore(this.store, script)
    const opened = Object.assign(this.faulty, {
      requests: () => ({}) as never,
      circuit: () => null,
    })
    const storage = {
      ...storageOf({ storage: null }),
      encoder: inlineEncoder,
      openObjectStore: async () => opened,
    }
    const { clock } = this
    const ports: EnginePorts = {
      clock: {
        now: () => clock.now(),
        monotonic: () => clock.monotonic(),
        setTimer: clock.setTimer.bind(clock),
        sleep: async () => {},
        yield: async () => {},
      },
      random: seededRandom(this.#random++),
      logger: silentLogger,
      metrics: noMetrics,
      storage,
      onRecovery: () => {},
    }
    return Stratalog.open({ ...options, snapshotLocation: URL }, ports)
  }

  #random = 1
}

/** What a life was told: how many records the newest snapshot that was acknowledged holds, and how many there were. */
interface Told {
  snapshotted: number
  appended: number
}

/** Appends and snapshots in turn, then deletes the first. Faults are met, and gone on from. */
async function live(lives: Lives, script: FaultScript, told: Told): Promise<void> {
  await using db = await lives.open(script)
  const log = await db.createLog('log')
  for (let step = 0; step < STEPS; step++) {
    const rows = Array.from({ length: ROWS }, (_, row) => ({ n: step * ROWS + row }))
    await log.append(rows)
    told.appended += ROWS
    const made = await passing(db.snapshot({ name: `snapshot-${step}` }))
    if (made !== null) told.snapshotted = told.appended
  }
  await passing(db.deleteSnapshot('snapshot-0'))
}

async function passing<T>(work: Promise<T>): Promise<T | null> {
  try {
    return await work
  } catch (error) {
    if (isStratalogError(error)) return null
    throw error
  }
}

async function numbers(db: Stratalog): Promise<readonly unknown[]> {
  if (db.logs().length === 0) return []
  return (await db.log('log').read({ onGap: 'skip' }).toArray()).map((row) => row['n'])
}

/** Opens twice, and goes on in between. */
async function assertComesBack(lives: Lives, { snapshotted, appended }: Told): Promise<void> {
  await lives.faulty.landAll()
  let held: readonly unknown[]
  {
    await using db = await lives.open()
    held = await numbers(db)
    expect(held).toEqual(Array.from({ length: held.length }, (_, n) => n))
    expect(held.length).toBeGreaterThanOrEqual(snapshotted)
    expect(held.length).toBeLessThanOrEqual(appended)
    const log = db.logs()[0] ?? (await db.createLog('log'))
    await log.append({ n: 1_000 })
    await db.snapshot({ name: 'after' })
  }
  await using db = await lives.open()
  expect(await numbers(db)).toEqual([...held, 1_000])
}

async function callCount(): Promise<number> {
  const lives = new Lives()
  const told = { snapshotted: 0, appended: 0 }
  await live(lives, () => null, told)
  expect(told).toEqual({ snapshotted: STEPS * ROWS, appended: STEPS * ROWS })
  return lives.faulty.calls.length
}

const FAULTS: Readonly<Record<string, StoreFault>> = {
  'failing before': { kind: 'error', code: 'store_unavailable' },
  'done, and answered with an error': { kind: 'drop-reply' },
  'landing late': { kind: 'land-late', calls: 3 },
}

test.each(Object.entries(FAULTS))('each call once %s', async (_, fault) => {
  const count = await callCount()
  expect(count).toBeGreaterThanOrEqual(20)
  for (let index = 0; index < count; index++) {
    const lives = new Lives()
    const told = { snapshotted: 0, appended: 0 }
    await passing(live(lives, (call) => (call.index === index ? fault : null), told))
    await assertComesBack(lives, told)
  }
})

test.each(['before', 'after'])('the process is killed right %s each call', async (when) => {
  const count = await callCount()
  for (let index = 0; index < count; index++) {
    const lives = new Lives()
    const told = { snapshotted: 0, appended: 0 }
    const script: FaultScript = (call) => {
      if (when === 'after' && call.index === index) return { kind: 'drop-reply' }
      return call.index >= index ? { kind: 'error', code: 'store_unavailable' } : null
    }
    await passing(live(lives, script, told))
    await assertComesBack(lives, told)
  }
})

test('a first snapshot holds what RAM let go of while it was written', async () => {
  const lives = new Lives()
  const rows = (from: number): { n: number; text: string }[] =>
    Array.from({ length: ROWS }, (_, row) => ({ n: from + row, text: 'x'.repeat(10_000) }))
  {
    await using db = await lives.open(() => null, { maxMemoryBytes: '4MB' })
    const log = await db.createLog('log')
    await log.append(rows(0))
    const evicted = (): number => db.memoryMetrics().evictionCount
    const { faulty } = lives
    const put = faulty.put.bind(faulty)
    faulty.put = async (key, bytes, putOptions) => {
      if (key.startsWith('segments/'))
        for (let from = ROWS; evicted() === 0; from += ROWS) await log.append(rows(from))
      return put(key, bytes, putOptions)
    }
    await db.snapshot({ name: 'first' })
    expect(evicted()).toBeGreaterThan(0)
  }
  await using db = await lives.open()
  expect(await numbers(db)).toEqual(Array.from({ length: ROWS }, (_, n) => n))
})
