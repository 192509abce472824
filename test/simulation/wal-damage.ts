/**
 * A bit that rots in the WAL while no engine runs, in the payload of a frame that another one proves durable: what that
 * costs, and that nothing of it is forgotten. On copies of disk and bucket, so the run itself goes on as it was.
 */
import { isStratalogError } from '../../src/base/errors.ts'
import { decodeIdentity } from '../../src/format/identity.ts'
import { WAL_FRAME_HEADER_BYTES } from '../../src/format/wal-frame.ts'
import { Stratalog } from '../../src/index.ts'
import { type PlacedFrame, framesOf } from '../support/wal-damage.ts'
import type { Dice } from './dice.ts'
import type { DiskImage } from './disk-image.ts'
import { NO_FAULTS } from './faults.ts'
import { textOf } from './look.ts'
import { DATA_DIR, NOT_WATCHED, simulatedPorts } from './ports.ts'
import { ProcessCrash, type SimulatedProcess } from './process.ts'
import type { Setting } from './setting.ts'
import { Violation } from './violation.ts'
import { World } from './world.ts'

/** What is read of a partition, and the error that ends it. */
interface Part {
  readonly logId: number
  /** Whether a retention takes records off its start, more or fewer in each life: bytes depend on what was flushed. */
  readonly isRetained: boolean
  readonly rows: readonly string[]
  readonly failure: { readonly code: string; readonly from: unknown } | null
}

/** By `log/partition`; a text for a directory that is refused. */
type Contents = ReadonlyMap<string, Part> | string

/**
 * Two lives on a damaged copy and one more when the bit is mended, beside as many on a sound one.
 * Whether the damage cost records. @throws Violation I3, I6, I7.
 */
export async function damageWal(from: World, setting: Setting, dice: Dice): Promise<boolean> {
  const twin = (name: string): World =>
    new World(dice.fork(name), NO_FAULTS, rethrow, from.disk.clone(), from.bucket.clone())
  const [sound, damaged] = [twin('sound'), twin('damaged')]
  const hit = chooseFrame(twin('frames'), setting, dice)
  if (hit === null) return false
  const whole = [await live(sound, setting, null), await live(sound, setting, null)]
  if (whole.some((contents) => typeof contents === 'string')) return false
  const { logId } = hit.frame
  flip(damaged.disk, hit)
  from.trace.add(`a bit of log ${logId} rots at byte ${hit.position} of ${hit.file}`)
  let isCostly = false
  for (const expected of whole)
    if (compare(await live(damaged, setting, logId), expected, logId)) isCostly = true
  if (!isCostly) return false
  flip(damaged.disk, hit)
  if (compare(await live(damaged, setting, null), await live(sound, setting, null), logId))
    throw new Violation('I7', `log ${logId} does not come back when its WAL does`)
  return true
}

function rethrow(error: unknown): void {
  if (!(error instanceof ProcessCrash)) throw error
}

/** A frame with records that a later one, or a later file, proves durable; null where there is none. */
function chooseFrame(world: World, { shape }: Setting, dice: Dice): PlacedFrame | null {
  const identity = `${DATA_DIR}/stratalog.json`
  if (world.disk.find(identity) === null) return null
  const process = world.startProcess(null)
  const { storage } = simulatedPorts(world, process, shape, NOT_WATCHED)
  if (storage === null) return null
  const file = world.disk.file(identity)
  const { engineId } = decodeIdentity(file.slice(identity, 0, file.length), identity)
  const frames = framesOf(storage.syncFileSystem, `${DATA_DIR}/wal`, engineId)
  const last = frames.at(-1)
  const proven = frames.filter(
    ({ file: path, frame }, index) =>
      frame.kind === 'append' &&
      (path !== last?.file ||
        frames.slice(index + 1).some((next) => next.frame.durableLsn > frame.lsn)),
  )
  return proven.length === 0 ? null : dice.pick(proven)
}

/** @throws Violation where the file is gone. */
function flip(disk: DiskImage, { file: path, position, frame }: PlacedFrame): void {
  if (disk.find(path) === null)
    throw new Violation('I7', `${path} is gone, with the damage of log ${frame.logId} in it`)
  const file = disk.file(path)
  const at = position + WAL_FRAME_HEADER_BYTES + (frame.payloadLength >> 1)
  const [byte = 0] = file.slice(path, at, 1)
  file.write(Uint8Array.of(byte ^ 16), at)
  file.sync()
}

/** Opens, reads everything, moves what can be moved and closes; what it read. */
function live(world: World, setting: Setting, damagedId: number | null): Promise<Contents> {
  return world.scheduler.runUntil(liveOnce(world, setting, world.startProcess(null), damagedId))
}

async function liveOnce(
  world: World,
  { archive, shape, maxMemoryBytes }: Setting,
  process: SimulatedProcess,
  damagedId: number | null,
): Promise<Contents> {
  const known = { dataDir: DATA_DIR, maxMemoryBytes, scrubInterval: 0 }
  const options = { ...known, ...(archive === null ? {} : { archive }) }
  let db: Stratalog
  try {
    db = await Stratalog.open(options, simulatedPorts(world, process, shape, NOT_WATCHED))
  } catch (error) {
    if (isStratalogError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  // What readers see of a log with level object is what the archive has.
  await db.tier.now()
  const contents = new Map<string, Part>()
  for (const log of db.logs()) {
    let failure: Part['failure'] = null
    for (let partition = 0; partition < log.describe().partitions; partition++) {
      const part = await readPart(db, log.name, partition)
      const { retention, retentionBytes } = log.describe().policy
      const isRetained = retention !== null || retentionBytes !== null
      contents.set(`${log.name}/${partition}`, { logId: log.id, isRetained, ...part })
      failure ??= part.failure
    }
    if (log.id === damagedId && failure !== null) await assertRefuses(db, log.name)
  }
  await db.close()
  return contents
}

async function readPart(
  db: Stratalog,
  name: string,
  partition: number,
): Promise<Pick<Part, 'rows' | 'failure'>> {
  const rows: string[] = []
  try {
    const stream = db.log(name).read({ partition, onGap: 'skip' })
    for await (const batch of stream) for (const row of batch.toRows()) rows.push(textOf(row))
    return { rows, failure: null }
  } catch (error) {
    if (!isStratalogError(error)) throw error
    return { rows, failure: { code: error.code, from: error.details['from'] } }
  }
}

async function assertRefuses(db: Stratalog, name: string): Promise<void> {
  const outcome = await db
    .log(name)
    .append([{}], { ack: 'memory' })
    .then(
      () => 'nothing',
      (error: unknown) => (isStratalogError(error) ? error.code : String(error)),
    )
  if (outcome !== 'wal_corrupt')
    throw new Violation('I6', `an append to ${name}, which is damaged, meets ${outcome}`)
}

/** Whether something of the log is not there, which an error has to say. @throws Violation for all else. */
function compare(found: Contents, expected: Contents, logId: number): boolean {
  if (typeof expected === 'string') throw new Violation('I7', `a sound copy ends as ${expected}`)
  if (typeof found === 'string')
    throw new Violation('I7', `a damaged payload of log ${logId} refuses everything: ${found}`)
  let isCostly = false
  for (const [key, part] of expected) {
    const { rows: read, failure } = found.get(key) ?? { rows: [], failure: null }
    const isHit = part.logId === logId && failure?.code === 'wal_corrupt'
    const start = part.isRetained ? Math.max(startOf(read), startOf(part.rows)) : 0
    const isAfter = (row: string): boolean => offsetOf(row) >= start
    const [rows, whole] = [read.filter(isAfter), part.rows.filter(isAfter)]
    const isPrefix = rows.every((row, index) => row === whole[index])
    if (!isPrefix) throw new Violation('I3', `${key} is not what it was before a bit rotted`)
    if (isHit) isCostly = true
    else if (failure !== null || rows.length !== whole.length)
      throw new Violation(
        'I7',
        `of ${key} come ${rows.length} of ${whole.length} records and ${failure?.code ?? 'no error'}; the bit is of log ${logId}`,
      )
  }
  return isCostly
}

function startOf(rows: readonly string[]): number {
  const [first] = rows
  return first === undefined ? 0 : offsetOf(first)
}

function offsetOf(row: string): number {
  return (JSON.parse(row) as { readonly _offset: number })._offset
}
