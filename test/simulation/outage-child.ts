/**
 * An hour without the archive, in simulated time, with a writer that never stops and budgets for RAM and disk. Prints
 * what happened as JSON. Plain Node, because what a test runner puts around the loading of files takes real time.
 */
import { argv, stdout } from 'node:process'
import { isStratalogError } from '../../src/base/errors.ts'
import { Stratalog } from '../../src/index.ts'
import { Dice } from './dice.ts'
import { NO_FAULTS } from './faults.ts'
import { DATA_DIR, NOT_WATCHED, simulatedPorts } from './ports.ts'
import type { SimulatedProcess } from './process.ts'
import { warmUp } from './warm-up.ts'
import { World } from './world.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
export const MAX_DISK_BYTES: number = 8 * 1024 * 1024
const RECORD_BYTES = 16 * 1024
/** Minutes in which the archive is away, of so many. */
export const AWAY_FROM: number = 10
export const AWAY_TO: number = 70
const MINUTES = 90
const SHAPE = {
  ringBytes: 1_048_576,
  sizes: { fileBytesMin: 262_144, fileBytesMax: 1_048_576, zeroAheadBytes: 4_096 },
}
const STORAGE = {
  mode: 'hybrid',
  memoryTtl: '1m',
  diskAfter: '5s',
  archiveAfter: '20s',
  diskTtl: '2m',
} as const

/** An append. */
export interface Try {
  /** In minutes since the start. */
  readonly at: number
  readonly tookMs: number
  readonly refusal: {
    readonly kind: string
    readonly code: string
    readonly retryAfterMs: unknown
  } | null
}

/** What was seen every ten seconds. */
export interface Look {
  /** The minute. */
  readonly at: number
  /** Of segment files on the disk. */
  readonly bytes: number
  readonly usedBytes: number
  readonly maxBytes: number | null
  readonly uploadMs: number
  readonly why: string
}

export interface Outage {
  readonly tries: readonly Try[]
  readonly looks: readonly Look[]
  /** Offsets and ids that were acknowledged, and that are there in the end. */
  readonly acknowledged: readonly (readonly [number, number])[]
  readonly rows: readonly (readonly [number, number])[]
  readonly replayed: number
  readonly pending: number
  readonly failed: number
}

/** An append a second, and after a refusal another in a minute, until it is told to stop. */
async function write(
  world: World,
  process: SimulatedProcess,
  db: Stratalog,
  isOver: () => boolean,
): Promise<Pick<Outage, 'tries' | 'acknowledged'>> {
  const dice = new Dice(7)
  const tries: Try[] = []
  const acknowledged: [number, number][] = []
  for (let id = 0; !isOver(); id++) {
    const start = world.scheduler.now
    // Text that LZ4 makes nothing of.
    const text = Array.from({ length: RECORD_BYTES / 8 }, () =>
      dice.uint32().toString(16).padStart(8, '0'),
    ).join('')
    let refusal: Try['refusal'] = null
    try {
      const { offset } = await db.log('log').append({ id, text })
      acknowledged.push([offset, id])
    } catch (error) {
      if (!isStratalogError(error)) throw error
      const { kind, code, details } = error
      refusal = { kind, code, retryAfterMs: details['retryAfterMs'] }
      await sleep(process, MINUTE_MS)
    }
    const end = world.scheduler.now
    tries.push({ at: start / MINUTE_MS, tookMs: refusal === null ? end - start : 0, refusal })
    await sleep(process, SECOND_MS)
  }
  return { tries, acknowledged }
}

function sleep(process: SimulatedProcess, ms: number): Promise<void> {
  return new Promise((resolve) => {
    process.after(ms, resolve)
  })
}

function segmentBytes(world: World): number {
  let bytes = 0
  for (const path of world.disk.paths())
    if (path.startsWith(`${DATA_DIR}/segments/`)) bytes += world.disk.file(path).length
  return bytes
}

async function outage(): Promise<Outage> {
  await warmUp()
  const world = new World(new Dice(1), { ...NO_FAULTS, storeError: 1 }, (error) => {
    throw error
  })
  world.faults.isPaused = true
  return world.scheduler.runUntil(live(world, world.startProcess(null)))
}

async function live(world: World, process: SimulatedProcess): Promise<Outage> {
  const archive = 's3://bucket/archive'
  const options = {
    dataDir: DATA_DIR,
    archive,
    maxMemoryBytes: 4 * 1024 * 1024,
    maxDiskBytes: MAX_DISK_BYTES,
  }
  const ports = () => simulatedPorts(world, process, SHAPE, NOT_WATCHED)
  const db = await Stratalog.open(options, ports())
  await db.createLog('log', { storage: STORAGE })
  let isOver = false
  const writing = write(world, process, db, () => isOver)
  const looks: Look[] = []
  for (let minute = 0; minute < MINUTES; minute++) {
    world.faults.isPaused = minute < AWAY_FROM || minute >= AWAY_TO
    for (let second = 0; second < 60; second += 10) {
      await sleep(process, 10 * SECOND_MS)
      const { disk, logs } = db.status()
      const partition = logs[0]?.partitions[0]
      looks.push({
        at: minute,
        bytes: segmentBytes(world),
        usedBytes: disk?.usedBytes ?? -1,
        maxBytes: disk?.maxBytes ?? null,
        uploadMs: partition?.lag.uploadMs ?? -1,
        why: partition?.next?.why ?? '',
      })
    }
  }
  isOver = true
  const written = await writing
  const { pending, failed } = await db.tier.now()
  const rows = (await db.log('log').read().toArray()) as unknown as {
    _offset: number
    id: number
  }[]
  const scratch = await Stratalog.memoryOnly({ maxMemoryBytes: '256MB' }, ports())
  await scratch.replayFromArchive(archive)
  const replayed = (await scratch.log('log').read().toArray()).length
  await scratch.close()
  await db.close()
  const found = rows.map(({ _offset, id }) => [_offset, id] as const)
  return { ...written, looks, rows: found, replayed, pending, failed: failed.length }
}

if (argv[1]?.endsWith('outage-child.ts') === true) stdout.write(JSON.stringify(await outage()))
