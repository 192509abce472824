/** The end of a run: no more faults. Acknowledgements come, everything moves down, and what is rebuilt is equal. */
import { isStratalogError } from '../../src/base/errors.ts'
import { Stratalog, restoreArchive } from '../../src/index.ts'
import { Client } from './client.ts'
import type { Checks } from './checks.ts'
import { checkDeleted, compareSnapshot } from './deletions.ts'
import { attachAll } from './detaching.ts'
import type { Dice } from './dice.ts'
import type { Life } from './life.ts'
import { lookAtLog, textOf } from './look.ts'
import type { Model } from './model.ts'
import { Violation } from './violation.ts'
import { checkReplay } from './replays.ts'
import { DATA_DIR } from './ports.ts'
import type { SimulatedProcess } from './process.ts'
import type { Values } from './records.ts'
import type { Setting } from './setting.ts'

export async function finish(life: Life, setting: Setting, dice: Dice): Promise<void> {
  const { model, world, process, db, checks } = life
  const client = new Client(life, dice)
  // Who comes back to a machine has everything there, and moving.
  if (setting.pausesMoves) await checks.patiently(process, 'resuming', db.tier.resume())
  await attachAll(life)
  for (const log of model.logs) {
    const before = model.acknowledged
    for (let count = 0; count < 3; count++) await client.append(log)
    if (model.acknowledged < before + 3)
      throw new Violation('I12', `${log.spec.name} acknowledges nothing though nothing is wrong`)
  }
  await client.bringDown(life.hasArchive ? 'object' : 'disk')
  const { pending, failed } = await db.tier.now()
  if (failed.length > 0 || pending > 0)
    throw new Violation('I12', `nothing is wrong, and tier moves fail: ${JSON.stringify(failed)}`)
  for (const log of model.logs) await lookAtLog(life, log, false)
  await checkDeleted(life, setting)
  // What is compared stays as it is meanwhile.
  if (model.logs.some(({ spec }) => spec.keepsLatest === true)) await db.tier.pause()
  if (setting.archive !== null) {
    await compareSnapshot(life, setting.archive, dice.fork('snapshot'))
    await compareReplays(life, setting.archive)
    for (const time of [1, 2, 3])
      await checkReplay(life, setting.archive, dice.fork(`replay ${time}`))
    await compareRestore(life, setting.archive, dice)
  }
  await checks.patiently(process, 'closing', db.close())
  if (process.openFiles !== 0)
    throw new Violation('I11', `${process.openFiles} files are open after closing`)
  const leftovers = [...world.disk.paths()].filter((path) => path.startsWith(`${DATA_DIR}/tmp/`))
  if (leftovers.length > 0)
    throw new Violation('I11', `temporary files stay: ${leftovers.join(', ')}`)
}

/** What is replayed from the archive is what the engine holds, and twice is the same. */
async function compareReplays(life: Life, archive: string): Promise<void> {
  const { process, db, model, checks } = life
  const hadWal = new Map(model.logs.map((log) => [log.spec.name, !log.wasWithoutWal]))
  const retained = new Set(model.logs.flatMap((log) => (log.isRetained ? [log.spec.name] : [])))
  const keepsLatest = (name: string): boolean =>
    model.logs.some(({ spec }) => spec.name === name && spec.keepsLatest === true)
  const filled = archivedLogs(life)
  if (filled.length === 0) return
  const ports = life.portsOf(process)
  const hashes: string[] = []
  for (const _ of [1, 2]) {
    const scratch = await Stratalog.memoryOnly({ maxMemoryBytes: '256MB' }, ports)
    const report = await checks.patiently(
      process,
      'a replay',
      scratch.replayFromArchive(archive, { logs: filled }),
    )
    if (report === 'dead') return
    // Without a WAL a crash may take records whose object no commit came to name: it is named, as nobody can tell.
    const missing = report.missing.filter(({ log }) => hadWal.get(log) !== false)
    if (missing.length + report.corrupt.length > 0)
      throw new Violation(
        'I10',
        `a replay misses or doubts ${JSON.stringify(missing)} ${JSON.stringify(report.corrupt)}`,
      )
    if (hashes.length === 0) for (const name of filled) await compareLog(model, name, db, scratch)
    // Segments may be compacted between the two, and then take other bytes; or be retired.
    const kept = report.logs.filter(({ name }) => !retained.has(name))
    // Of a log that keeps the latest, old versions may go meanwhile.
    const facts = kept.map(({ bytes: _bytes, ...log }) =>
      keepsLatest(log.name) ? { name: log.name, latestHash: log.latestHash } : log,
    )
    hashes.push(JSON.stringify(facts))
    await scratch.close()
  }
  if (hashes[0] !== hashes[1]) throw new Violation('I10', 'two replays differ')
}

/** Logs that the archive has all records of. */
function archivedLogs({ model, db }: Life): readonly string[] {
  return model.logs
    .filter(({ spec }) => spec.storage.mode === 'hybrid')
    .map(({ spec }) => spec.name)
    .filter((name) => db.log(name).describe().schema.length > 0)
}

/** A restore that is killed, and begun again until it is whole, gives what the engine holds. */
async function compareRestore(life: Life, archive: string, dice: Dice): Promise<void> {
  const { world, process, db, model, checks, portsOf } = life
  const isWhole = dice.chance(0.6)
  // What is read is then fetched.
  const isLazy = isWhole && dice.fork('lazy').chance(0.5)
  // A part begins another engine, without an archive; there nothing reaches the level 'object', and nothing is shown.
  const hidden = new Set(
    model.logs.filter(({ spec }) => spec.ack === 'object').map(({ spec }) => spec.name),
  )
  const logs = archivedLogs(life).filter((name) => isWhole || !hidden.has(name))
  if (logs.length === 0) return
  const dataDir = '/restored'
  for (let isDone = false; !isDone;) {
    const call = dice.magnitude(60)
    const plan = dice.chance(0.6) ? { death: 'kill' as const, call, step: null } : null
    const worker = world.startProcess(plan)
    worker.phase = 'restoring'
    const options = { archive, dataDir, eager: !isLazy, ...(isWhole ? {} : { logs }) }
    isDone = await restoreOnce(worker, checks, restoreArchive(options, portsOf(worker)))
    worker.die('kill')
  }
  const opened = Stratalog.openReadOnly({ dataDir }, portsOf(process))
  const restored = await checks.patiently(process, 'opening what was restored', opened)
  if (restored === 'dead') return
  for (const name of logs) await compareLog(model, name, db, restored)
  await restored.close()
}

/** False when its process died before it was done. */
async function restoreOnce(
  worker: SimulatedProcess,
  checks: Checks,
  restoring: Promise<unknown>,
): Promise<boolean> {
  try {
    return (await checks.patiently(worker, 'a restore', restoring)) !== 'dead'
  } catch (error) {
    // One that was killed after its last step is done, and says so.
    if (isStratalogError(error) && error.message.includes('it is a data directory already'))
      return true
    throw error
  }
}

async function compareLog(
  model: Model,
  name: string,
  live: Stratalog,
  replayed: Stratalog,
): Promise<void> {
  const [all, others] = [await rowsOf(live, name), await rowsOf(replayed, name)]
  const known = model.logs.find((log) => log.spec.name === name)
  const isRetained = known?.isRetained === true
  // Of old versions of a key, and of what is retired, one of both may have more; what both have is the same.
  const versionsOf = known?.spec.keepsLatest === true ? newestOfKeys : everyOne
  const one = versionsOf(isRetained ? behindStarts(all, others) : all)
  const other = versionsOf(isRetained ? behindStarts(others, all) : others)
  if (one.length !== other.length)
    throw new Violation(
      'I10',
      `${name} holds ${one.length} records and is replayed with ${other.length}`,
    )
  for (const [index, row] of one.entries()) {
    if (!isEqualRow(row, other[index] ?? {}))
      throw new Violation(
        'I10',
        `${name}: ${textOf(row)} is replayed as ${textOf(other[index] ?? {})}`,
      )
  }
}

function everyOne(rows: readonly Values[]): readonly Values[] {
  return rows
}

/** In the order of their offsets. */
function newestOfKeys(rows: readonly Values[]): readonly Values[] {
  const newest = new Map<unknown, Values>()
  for (const row of rows) {
    const { key } = row
    newest.delete(key)
    newest.set(key, row)
  }
  return [...newest.values()]
}

/** Of `rows` those behind the first of each partition in `others`. */
function behindStarts(rows: readonly Values[], others: readonly Values[]): readonly Values[] {
  const starts = new Map<unknown, number>()
  for (const { _partition, _offset } of others)
    if (!starts.has(_partition)) starts.set(_partition, Number(_offset))
  return rows.filter(
    ({ _partition, _offset }) => Number(_offset) >= (starts.get(_partition) ?? Infinity),
  )
}

function isEqualRow(one: Values, other: Values): boolean {
  const names = Object.keys(one)
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => isEqualValue(one[name], other[name]))
  )
}

function isEqualValue(one: unknown, other: unknown): boolean {
  if (one instanceof Date) return other instanceof Date && one.getTime() === other.getTime()
  return Object.is(one, other)
}

function rowsOf(db: Stratalog, name: string): Promise<readonly Values[]> {
  return db.log(name).read({ onGap: 'skip' }).toArray()
}
