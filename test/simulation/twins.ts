/** Recovery that is killed and begun again comes to the same state as recovery that is left alone. */
import { createHash } from 'node:crypto'
import { isStratalogError } from '../../src/base/errors.ts'
import { Stratalog } from '../../src/index.ts'
import type { Dice } from './dice.ts'
import { NO_FAULTS } from './faults.ts'
import { textOf } from './look.ts'
import { Violation } from './model.ts'
import { DATA_DIR, simulatedPorts } from './ports.ts'
import { ProcessCrash } from './process.ts'
import type { Setting } from './setting.ts'
import { World } from './world.ts'

const CRASHES_MAX = 4

/** Both begin with the disk and the bucket as the last process left them. @throws Violation I13. */
export async function compareRecoveries(from: World, setting: Setting, dice: Dice): Promise<void> {
  const whole = await recover(twinOf(from, dice), setting, [])
  const crashes = Array.from({ length: dice.int(1, CRASHES_MAX) }, () => dice.magnitude(80))
  const broken = await recover(twinOf(from, dice), setting, crashes)
  from.trace.add(`recovery twice: ${whole}`)
  if (whole !== broken)
    throw new Violation(
      'I13',
      `recovery comes to ${whole}, and after crashes at ${crashes.join(', ')} to ${broken}`,
    )
}

function twinOf(from: World, dice: Dice): World {
  const fail = (error: unknown): void => {
    if (!(error instanceof ProcessCrash)) throw error
  }
  return new World(dice.fork('twin'), NO_FAULTS, fail, from.disk.clone(), from.bucket.clone())
}

/** A text for the state that recovery comes to: an error, or a hash of all records. */
async function recover(
  world: World,
  setting: Setting,
  crashes: readonly number[],
): Promise<string> {
  for (const call of crashes) {
    const process = world.startProcess({ death: 'power', call, step: null })
    await world.scheduler.runUntil(process.outlive(open(world, setting, process).catch(() => null)))
    process.die('power')
  }
  const process = world.startProcess(null)
  return world.scheduler.runUntil(digest(world, setting, process))
}

function open(
  world: World,
  { archive, shape, maxMemoryBytes }: Setting,
  process: ReturnType<World['startProcess']>,
): Promise<Stratalog> {
  const watch = { started: () => {}, syncFailed: () => {} }
  const options = { dataDir: DATA_DIR, maxMemoryBytes, ...(archive === null ? {} : { archive }) }
  return Stratalog.open(options, simulatedPorts(world, process, shape, watch))
}

async function digest(
  world: World,
  setting: Setting,
  process: ReturnType<World['startProcess']>,
): Promise<string> {
  let db: Stratalog
  try {
    db = await open(world, setting, process)
  } catch (error) {
    if (isStratalogError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  const hash = createHash('sha256')
  for (const log of db.logs()) {
    hash.update(`${log.name}\n`)
    for await (const batch of log.read({ onGap: 'skip' })) {
      for (const row of batch.toRows()) hash.update(textOf(row))
    }
  }
  await db.close()
  return hash.digest('hex')
}
