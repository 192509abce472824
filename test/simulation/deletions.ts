/**
 * Logs that are deleted while they are used. Once a deletion is answered, or a life of the engine has begun without the
 * log, nothing of it may be seen again: under its name another log begins. As long as nobody knows, it is there whole
 * or not at all, and the next life says which.
 */
import { isStratalogError } from '../../src/base/errors.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { isDeletedLog } from '../../src/format/manifest.ts'
import { type Log, Stratalog, restoreArchive } from '../../src/index.ts'
import { loadManifest } from '../../src/log/manifest-chain.ts'
import { manifestFilesInStore } from '../../src/log/manifest-files.ts'
import { isTemporaryName } from '../../src/storage/temporary-name.ts'
import type { Dice } from './dice.ts'
import type { Life } from './life.ts'
import type { LogModel, Submission } from './log-model.ts'
import type { HeldLog } from './model.ts'
import { Violation } from './violation.ts'
import { DATA_DIR } from './ports.ts'
import type { Setting } from './setting.ts'
import { isSuperseded } from './superseded.ts'
import type { World } from './world.ts'

/** The scheduler tells the archive again within this, ms. */
export const TOLD_WITHIN_MS = 120_000

/** What the logs that have no gaps hold now: a snapshot that is made of it has to hold as much. */
export function heldLogs({ model }: Life): readonly HeldLog[] {
  return model.logs
    .filter((log) => log.holdsAll)
    .map((log) => ({
      log,
      required: log.partitions.flatMap((_, partition) => model.requiredIn(log, partition)),
    }))
}

/** @param append one append to the log, by the handle. */
export async function deleteLog(
  life: Life,
  dice: Dice,
  log: LogModel,
  append: (opened: Log) => Promise<void>,
): Promise<void> {
  if (!log.isCreated || log.isDeleting || log.isAway) return
  const { db, checks, process, model, world } = life
  const { name } = log.spec
  const opened = db.log(name)
  const { id } = opened
  log.isDeleting = true
  checks.deletedNames.add(name)
  world.trace.add(`${name} is deleted: begun`)
  const before = Array.from({ length: dice.int(0, 2) }, () => append(opened))
  const deletion = db.deleteLog(name)
  const meanwhile = Array.from({ length: dice.int(0, 2) }, () => append(opened))
  let isGone = false
  try {
    if ((await checks.patiently(process, `deleting ${name}`, deletion)) === 'dead') return
    isGone = true
  } catch (error) {
    checks.explain(error, `deleting ${name}`, ['engine_closed'])
    isGone = isStratalogError(error) && error.details['isDeleted'] === true
  }
  await Promise.all([...before, ...meanwhile])
  if (!process.isAlive) return
  const isListed = db.logs().some((other) => other.id === id)
  if (isGone && isListed) throw new Violation('I2', `${name} was deleted and is there`)
  world.trace.add(`${name} is ${isGone ? '' : 'perhaps '}deleted`)
  if (isGone) {
    await assertRefused(life, opened)
    model.deleted(log, id)
  } else if (isListed) log.isDeleting = false
}

/** A handle says that its log is gone, and reads nothing. */
async function assertRefused({ process }: Life, opened: Log): Promise<void> {
  const uses: readonly (() => unknown)[] = [
    () => opened.append({ id: 0 }),
    () => opened.read().toArray(),
  ]
  for (const use of uses) {
    const code = await Promise.resolve()
      .then(use)
      .then(
        () => 'nothing',
        (error: unknown) => (isStratalogError(error) ? error.code : String(error)),
      )
    if (process.isAlive && code !== 'log_deleted')
      throw new Violation('I7', `a handle of ${opened.name}, which was deleted, gives ${code}`)
  }
}

/** With nothing wrong any more: the archive knows, and what no snapshot needs of deleted logs is gone. */
export async function checkDeleted(life: Life, { archive }: Setting): Promise<void> {
  const { model, world, process, db, checks } = life
  if (model.deletions.length === 0) return
  const ids = model.deletions.map(({ id }) => id)
  const files = [...world.disk.paths()].filter((path) =>
    ids.some((id) => path.startsWith(`${DATA_DIR}/segments/${id}/`)),
  )
  if (files.length > 0) throw new Violation('I11', `of deleted logs ${files.join(', ')} stay`)
  if (archive === null) return
  await process.outlive(new Promise<void>((resolve) => process.after(TOLD_WITHIN_MS, resolve)))
  // What nothing names is noted, doomed and removed.
  for (const _ of [1, 2, 3])
    await checks.patiently(process, 'a collection', db.tier.collect({ grace: 0 }))
  const { storage, clock, random, logger, metrics } = life.portsOf(process)
  if (storage === null) return
  const store = await storage.openObjectStore(archive, { clock, random, logger, metrics })
  const { state } = (await loadManifest(manifestFilesInStore(store), silentLogger)).position
  const held = new Set([...state.snapshots.values()].flatMap(({ logs }) => logs.map(idOf)))
  for (const id of ids) {
    const known = state.logs.get(id)
    if (!isDeletedLog(state, id) || known?.partitions.some(({ segments }) => segments.length > 0))
      throw new Violation('I2', `the archive does not know that log ${id} was deleted`)
    if (held.has(id)) continue
    if (known !== undefined) throw new Violation('I11', `the archive keeps log ${id} in mind`)
    const [object] = objectsOf(world, archive, `segments/${id}/`)
    if (object !== undefined)
      throw new Violation('I11', `${object} of a deleted log stays in the archive`)
  }
}

function idOf({ logId }: { readonly logId: number }): number {
  return logId
}

function objectsOf(world: World, archive: string, prefix: string): readonly string[] {
  if (archive.startsWith('s3:')) return world.bucket.keys(prefix)
  // What a put that was killed leaves is no object.
  const paths = [...world.disk.paths()].filter((path) => path.startsWith(`/archive/${prefix}`))
  return paths.filter((path) => !isTemporaryName(path))
}

/** A snapshot that holds logs which were deleted since brings them back, with all that was there then. */
export async function compareSnapshot(life: Life, archive: string, dice: Dice): Promise<void> {
  const { process, db, model, checks, portsOf } = life
  const names = new Set((await db.snapshots()).map(({ name }) => name))
  const gone = new Set(model.deletions.map(({ log }) => log))
  const found = model.snapshots.filter(
    ({ name, held }) => names.has(name) && held.some(({ log }) => gone.has(log)),
  )
  if (found.length === 0) return
  const { name, held } = dice.pick(found)
  const options = { archive, dataDir: '/then', snapshot: name, eager: true }
  const restoring = restoreArchive(options, portsOf(process))
  if ((await checks.patiently(process, 'a restore of a snapshot', restoring)) === 'dead') return
  const opened = Stratalog.openReadOnly({ dataDir: '/then' }, portsOf(process))
  const then = await checks.patiently(process, 'opening what was restored', opened)
  if (then === 'dead') return
  model.restoredSnapshots++
  for (const { log, required } of held) {
    const { name: logName, ack } = log.spec
    // What waits for an archive that this directory has not is not shown.
    if (ack === 'object' || log.wasHidden) continue
    const rows = await then.log(logName).read().toArray()
    const ids = new Set(rows.map((row) => Number(row['id'])))
    // Since it was asked for, a retention may have taken what lay before its first record.
    const startOf = (submission: Submission): number =>
      Number(
        rows.find((row) => row['_partition'] === submission.place?.partition)?.['_offset'] ??
          Infinity,
      )
    const lost = required.find(
      (submission) =>
        !ids.has(submission.id) &&
        !isSuperseded(log, submission, rows) &&
        !model.isRetired(log, submission, startOf(submission)),
    )
    if (lost !== undefined)
      throw new Violation('I1', `snapshot ${name} does not hold append ${lost.id} of ${logName}`)
    const foreign = [...ids].find((id) => !log.byId.has(id))
    if (foreign !== undefined)
      throw new Violation('I2', `snapshot ${name} holds append ${foreign} in ${logName}`)
  }
  await then.close()
}
