/** A store that throttles, drips and stalls makes a restore slow, and changes nothing of what comes of it. */
import { basename } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { type Logger, silentLogger } from '../../src/base/logger.ts'
import { seededRandom } from '../../src/base/random.ts'
import type { StoragePorts } from '../../src/engine/storage-ports.ts'
import { storageOf } from '../../src/engine/system-storage.ts'
import { Stratalog, VirtualClock, restoreArchive } from '../../src/index.ts'
import { overNetwork } from '../../src/storage/open-object-store.ts'
import { logHash } from '../support/log-hash.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { ToxicObjectStore } from '../support/toxic-object-store.ts'
import type { ProxiedCall, Toxic } from '../support/toxic-proxy.ts'

/** As many as are fetched at a time, so that all of them meet what is wrong. */
const SEGMENTS = 4
const RECORDS = 100
/** Longer than a request has tries for, and than what opens a circuit. */
const THROTTLED_MS = 8_000

/** Its time passes only while somebody sleeps: as everything that waits for the store does, and nothing else. */
class SleepersClock extends VirtualClock {
  #sleepers = 0

  override async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    this.#sleepers++
    try {
      await super.sleep(delayMs, signal)
    } finally {
      this.#sleepers--
    }
  }

  async until<T>(work: Promise<T>): Promise<T> {
    let isOver = false
    const over = (): void => {
      isOver = true
    }
    work.then(over, over)
    while (!isOver) {
      await this.yield()
      if (this.#sleepers > 0) this.advance(50)
    }
    return work
  }
}

let root: string
let archive: string
let hash: string

beforeEach(async () => {
  root = await temporaryDirectory()
  archive = `memory://${basename(root)}`
  const clock = new VirtualClock()
  await using db = await Stratalog.open({ dataDir: `${root}/source`, archive }, { clock })
  const log = await db.createLog('events', { storage: { mode: 'hybrid', diskTtl: '1d' } })
  for (let start = 0; start < SEGMENTS * RECORDS; start += RECORDS) {
    await log.append(Array.from({ length: RECORDS }, (_, row) => ({ n: start + row })))
    await db.tier.now({ to: 'object' })
  }
  hash = await logHash(db, 'events')
})

interface SlowPorts {
  readonly clock: SleepersClock
  readonly storage: StoragePorts
  readonly logger: Logger
}

/**
 * An archive whose segments are answered with 503 and 429 for a while, from when the first is asked for, and then each
 * once with a body that stalls.
 */
function slowPorts(): SlowPorts {
  const clock = new SleepersClock()
  const storage = storageOf({ storage: null })
  const stalled = new Set<string>()
  let throttledUntil: number | null = null
  let calls = 0
  const script = ({ operation, key }: ProxiedCall): Toxic | null => {
    if (!key.startsWith('segments/')) return null
    throttledUntil ??= clock.monotonic() + THROTTLED_MS
    if (clock.monotonic() < throttledUntil) {
      if (calls++ % 2 === 0) return { kind: 'status', status: 503, code: 'SlowDown' }
      return { kind: 'status', status: 429, code: 'TooManyRequests' }
    }
    if (operation === 'list' || stalled.has(key)) return null
    stalled.add(key)
    return { kind: 'dripping' }
  }
  const openObjectStore: StoragePorts['openObjectStore'] = async (url, options) => {
    const bare = await storage.openObjectStore(url, options)
    const toxic = new ToxicObjectStore(bare, clock, script)
    return overNetwork(toxic, { ...options, random: seededRandom(7) })
  }
  return { clock, storage: { ...storage, openObjectStore }, logger: silentLogger }
}

test('an eager restore waits for it, and ends equal, with its progress and what it waited for', async () => {
  const ports = slowPorts()
  const dataDir = `${root}/restored`
  const progress: number[] = []
  const result = await ports.clock.until(
    restoreArchive(
      { archive, dataDir, eager: true, onProgress: ({ segments }) => progress.push(segments) },
      ports,
    ),
  )
  expect(result).toMatchObject({ records: SEGMENTS * RECORDS, verified: true, limitedBy: 'store' })
  expect(progress).toEqual([1, 2, 3, 4])
  expect(result.elapsedMs).toBeGreaterThan(THROTTLED_MS)
  await using db = await Stratalog.openReadOnly({ dataDir })
  expect(await logHash(db, 'events')).toBe(hash)
})

test('a lazy one too, and the engine that fills its disk says how far it is', async () => {
  const ports = slowPorts()
  const dataDir = `${root}/restored`
  const restoring = restoreArchive({ archive, dataDir }, ports)
  expect(await ports.clock.until(restoring)).toMatchObject({
    isLazy: true,
    records: SEGMENTS * RECORDS,
    limitedBy: 'store',
  })
  const slow = slowPorts()
  await using db = await Stratalog.open({ dataDir }, slow)
  const segments = (): number | undefined => db.status().restore?.onDisk.segments
  const seen = new Set<number | undefined>()
  while (db.status().restore?.pending.segments !== 0) {
    seen.add(segments())
    slow.clock.advance(250)
    await slow.clock.yield()
  }
  expect(seen).toContain(0)
  expect(segments()).toBe(SEGMENTS)
  expect(await logHash(db, 'events')).toBe(hash)
})

test('a replay waits for it too', async () => {
  const ports = slowPorts()
  await using db = await Stratalog.memoryOnly({}, ports)
  const report = await ports.clock.until(db.replayFromArchive(archive))
  expect(report).toMatchObject({ records: SEGMENTS * RECORDS, missing: [], limitedBy: 'store' })
  expect(await logHash(db, 'events')).toBe(hash)
})
