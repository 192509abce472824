/** Recovery that is killed and begun again comes to the same state as recovery that is left alone. */
import { createHash } from 'node:crypto'
import { isStratalogError } from '../../src/base/errors.ts'
import { Stratalog } from '../../src/index.ts'
import type { Dice } from './dice.ts'
import { NO_FAULTS } from './faults.ts'
import { textOf } from './look.ts'
import { Violation } from './violation.ts'
import { DATA_DIR, NOT_WATCHED, simulatedPorts } from './ports.ts'
import { type CrashPlan, ProcessCrash, type SimulatedProcess } from './process.ts'
import type { Setting } from './setting.ts'
import { World } from './world.ts'

const CRASHES_MAX = 4

/**
 * Both begin with the disk and the bucket as the last process left them; where recovery is to be broken by power cuts,
 * after a first one, because what nobody synced may be lost by it. @throws Violation I13.
 */
export async function compareRecoveries(from: World, setting: Setting, dice: Dice): Promise<void> {
  const death = dice.pick(['kill', 'power'] as const)
  const disk = from.disk.clone()
  if (death === 'power') disk.cutPower(dice)
  const twin = (name: string): World =>
    new World(dice.fork(name), NO_FAULTS, rethrow, disk.clone(), from.bucket.clone())
  const crashes = Array.from({ length: dice.int(1, CRASHES_MAX) }, () => ({
    death,
    call: dice.magnitude(80),
    step: null,
  }))
  const whole = await recover(twin('whole'), setting, [])
  const broken = await recover(twin('broken'), setting, crashes)
  from.trace.add(`recovery twice: ${whole}`)
  if (whole === broken) return
  const calls = crashes.map(({ call }) => call).join(', ')
  throw new Violation(
    'I13',
    `recovery comes to ${whole}, and after crashes at ${calls} to ${broken}`,
  )
}

function rethrow(error: unknown): void {
  if (!(error instanceof ProcessCrash)) throw error
}

/** A text for the state that recovery comes to: an error, or a hash of all records. */
async function recover(
  world: World,
  setting: Setting,
  crashes: readonly CrashPlan[],
): Promise<string> {
  for (const plan of crashes) {
    const process = world.startProcess(plan)
    await world.scheduler.runUntil(process.outlive(open(world, setting, process).catch(() => null)))
    process.die(plan.death)
  }
  const process = world.startProcess(null)
  return world.scheduler.runUntil(digest(world, setting, process))
}

function open(
  world: World,
  { archive, shape, maxMemoryBytes }: Setting,
  process: SimulatedProcess,
): Promise<Stratalog> {
  const known = { dataDir: DATA_DIR, maxMemoryBytes, scrubInterval: 0 }
  const options = { ...known, ...(archive === null ? {} : { archive }) }
  return Stratalog.open(options, simulatedPorts(world, process, shape, NOT_WATCHED))
}

async function digest(world: World, setting: Setting, process: SimulatedProcess): Promise<string> {
  let db: Stratalog
  try {
    db = await open(world, setting, process)
  } catch (error) {
    if (isStratalogError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  // What readers see of a log with level object is what the archive has: in one of the two more may have come there.
  if (setting.archive !== null) await db.tier.now()
  const hash = createHash('sha256')
  for (const log of db.logs()) {
    hash.update(`${log.name}\n`)
    // How far it came with letting go of old versions may differ.
    if (setting.specs.some(({ name, keepsLatest }) => name === log.name && keepsLatest === true)) {
      hash.update(await log.latestHash())
      continue
    }
    for await (const batch of log.read({ onGap: 'skip' })) {
      for (const row of batch.toRows()) hash.update(textOf(row))
    }
  }
  await db.close()
  return hash.digest('hex')
}
