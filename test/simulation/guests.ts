/** Other processes beside the one that writes: one that wants to write too, and one that only reads. */
import { type ErrorCode, isStratalogError } from '../../src/base/errors.ts'
import { Stratalog } from '../../src/index.ts'
import type { Life } from './life.ts'
import type { LogModel } from './log-model.ts'
import { Violation } from './violation.ts'
import type { Values } from './records.ts'

/** A second writer is refused while the first one lives. */
export async function tryToWrite({
  world,
  process,
  options,
  portsOf,
  checks,
}: Life): Promise<void> {
  const rival = world.startProcess(null)
  try {
    const opened = await checks.patiently(
      process,
      'a second writer',
      Stratalog.open(options, portsOf(rival)),
    )
    if (opened !== 'dead')
      throw new Violation('I9', 'two engines write one directory at the same time')
  } catch (error) {
    const isRefusal = isStratalogError(error) && error.code === 'directory_in_use'
    if (!isRefusal) checks.explain(error, 'a second writer')
  } finally {
    rival.die('kill')
  }
}

/** What a reader may meet while the writer goes on: after some attempts it says so, and is tried again. */
const MOVED: readonly ErrorCode[] = ['wal_corrupt', 'manifest_corrupt', 'file_not_found']

/** Who reads beside the writer sees what was durable when it began, and nothing that nobody appended. */
export async function readBeside(life: Life, log: LogModel, partition: number): Promise<void> {
  const { world, process, options, portsOf, checks, model } = life
  const { spec } = log
  // Without a WAL nothing is to be seen but what was flushed.
  const required = !log.wasWithoutWal
    ? model
        .requiredIn(log, partition)
        .filter(({ isDurable, level }) => isDurable && log.shows(level))
    : []
  const reader = world.startProcess(null)
  reader.changes = []
  const { departures } = log
  // The directory may not have had it when it was opened.
  const isGone = (): boolean => log.isDeleting || log.isAway || log.departures !== departures
  const read = async (): Promise<readonly Values[]> => {
    const db = await Stratalog.openReadOnly(options, portsOf(reader))
    const onGap = log.isGappy || log.isRetained ? 'skip' : 'fail'
    const rows = await db.log(spec.name).read({ partition, onGap }).toArray()
    await db.close()
    return rows
  }
  try {
    const rows = await checks.patiently(process, `reading ${spec.name} beside its writer`, read())
    const [change] = reader.changes
    if (change !== undefined)
      throw new Violation('I9', `who reads ${spec.name} beside its writer changes it: ${change}`)
    if (rows === 'dead' || isGone()) return
    model.look(log, rows, {
      partition,
      from: log.isGappy || log.isRetained ? null : 0,
      isWhole: true,
      isRecovery: false,
      isBeside: true,
      required: log.isGappy ? [] : required,
    })
  } catch (error) {
    const code = isStratalogError(error) ? [error.code] : []
    const allowed = isGone() ? code : MOVED
    checks.explain(error, `reading ${spec.name} beside its writer`, allowed)
  } finally {
    reader.die('kill')
  }
}
