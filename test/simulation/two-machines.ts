/**
 * Two machines and one archive, on copies of disk and bucket, so that the run itself goes on as it was. The first one
 * works on; the second restores the archive and becomes its writer, and clients append to both. Then the machines die
 * and come back in turns, until all that either acknowledged at `disk` or above is found: in its log, or in what was
 * kept when its directory was reconciled with the archive, which is killed now and then.
 */
import { isStratalogError } from '../../src/base/errors.ts'
import type { AckLevel } from '../../src/format/manifest.ts'
import { Stratalog, reconcileArchive, restoreArchive } from '../../src/index.ts'
import type { Dice } from './dice.ts'
import { DiskImage } from './disk-image.ts'
import { NO_FAULTS } from './faults.ts'
import { DATA_DIR, NOT_WATCHED, simulatedPorts } from './ports.ts'
import { type Death, ProcessCrash, type SimulatedProcess } from './process.ts'
import type { Setting } from './setting.ts'
import { Violation } from './violation.ts'
import { World } from './world.ts'

const LOG = 'two.machines'
/** What a look at the archive takes at most, with all that it waits for. */
const LOOK_MS = 5_000
const LEVELS: readonly AckLevel[] = ['memory', 'disk', 'disk', 'object']
/** A reconciliation is broken so often before it is left alone. */
const BROKEN_MAX = 3
/** A restore of an archive that is still written to is taken again so often. */
const RESTORES_MAX = 3

/** What the two came to. */
export interface Takeover {
  /** Appends that the superseded machine refused. */
  readonly refused: number
  /** Directories that were reconciled. */
  readonly reconciled: number
}

/** Null where the first machine does not open. @throws Violation I1, I2, I4, I7, I9. */
export async function twoMachines(
  from: World,
  setting: Setting,
  dice: Dice,
): Promise<Takeover | null> {
  const { archive } = setting
  if (archive?.startsWith('s3:') !== true) return null
  const world = new World(
    dice.fork('machines'),
    NO_FAULTS,
    rethrow,
    from.disk.clone(),
    from.bucket.clone(),
  )
  const found = await world.scheduler.runUntil(new TwoMachines(world, archive, setting, dice).run())
  if (found !== null)
    from.trace.add(`two machines: ${found.refused} refused, ${found.reconciled} reconciled`)
  return found
}

function rethrow(error: unknown): void {
  if (!(error instanceof ProcessCrash)) throw error
}

/** One of them, through its lives. */
interface Machine {
  readonly name: string
  disk: DiskImage
  process: SimulatedProcess
  db: Stratalog
  /** When another one had become the archive's writer for certain; null while none has. */
  supersededAt: number | null
  /** Of its appends. */
  readonly submitted: Set<string>
  /** At `disk` or above. */
  readonly acknowledged: Set<string>
  /** At `object`. */
  readonly archived: Set<string>
}

class TwoMachines {
  readonly #world: World
  readonly #archive: string
  readonly #setting: Setting
  readonly #dice: Dice
  readonly #checkMs: number
  #refused = 0
  #reconciled = 0
  #records = 0
  #lastRefusal = ''

  constructor(world: World, archive: string, setting: Setting, dice: Dice) {
    this.#world = world
    this.#archive = archive
    this.#setting = setting
    this.#dice = dice
    this.#checkMs = dice.pick([2_000, 10_000, 30_000])
  }

  async run(): Promise<Takeover | null> {
    const first = this.#machine('first', this.#world.disk)
    if (!(await this.#opens(first))) return null
    // A power cut or a damage of the run may have left nothing to archive with.
    const storage = { mode: 'hybrid', archiveAfter: '1h', diskAfter: '20s' } as const
    await first.db.createLog(LOG, { storage })
    await this.#append(first, 'disk')
    if ((await first.db.tier.now({ logs: [LOG], to: 'object' })).failed.length > 0) return null
    const second = this.#machine('second', new DiskImage())
    await Promise.all([this.#work(first, null), this.#takeOver(first, second)])
    await this.#assertFenced(first)
    await this.#end(first)
    await this.#comeBack(first, second)
    await this.#end(second)
    await this.#comeBack(second, first)
    await this.#end(first)
    await this.#end(second)
    return { refused: this.#refused, reconciled: this.#reconciled }
  }

  #machine(name: string, disk: DiskImage): Machine {
    const process = this.#world.startProcess(null, disk)
    const sets = {
      submitted: new Set<string>(),
      acknowledged: new Set<string>(),
      archived: new Set<string>(),
    }
    return { name, disk, process, db: null as never, supersededAt: null, ...sets }
  }

  get #options(): { readonly dataDir: string; readonly archive: string } {
    const { maxMemoryBytes } = this.#setting
    const known = { dataDir: DATA_DIR, archive: this.#archive, maxMemoryBytes, scrubInterval: 0 }
    return Object.assign(known, { fenceCheckInterval: this.#checkMs })
  }

  #portsOf(process: SimulatedProcess): ReturnType<typeof simulatedPorts> {
    return simulatedPorts(this.#world, process, this.#setting.shape, NOT_WATCHED)
  }

  /** False where the directory and the archive do not go together. */
  async #opens(machine: Machine): Promise<boolean> {
    machine.process = this.#world.startProcess(null, machine.disk)
    try {
      machine.db = await Stratalog.open(this.#options, this.#portsOf(machine.process))
      machine.supersededAt = null
      return true
    } catch (error) {
      machine.process.die('kill')
      if (!isStratalogError(error)) throw error
      this.#lastRefusal = `${error.code}: ${error.message}`
      if (error.code === 'archive_diverged' || machine.submitted.size === 0) return false
      throw new Violation('I7', `the ${machine.name} machine does not open: ${error.message}`)
    }
  }

  async #takeOver(first: Machine, second: Machine): Promise<void> {
    await this.#pass(this.#dice.magnitude(5_000))
    for (let left = RESTORES_MAX; ; left--) {
      await restoreArchive(
        { archive: this.#archive, dataDir: DATA_DIR },
        this.#portsOf(second.process),
      )
      second.process.die('kill')
      if (await this.#opens(second)) break
      if (left === 1)
        throw new Violation(
          'I9',
          `what was restored from the archive does not go together with it: ${this.#lastRefusal}`,
        )
      // The first one, which works on, merged records beyond the end of the restore with those before.
      second.disk = new DiskImage()
      second.process = this.#world.startProcess(null, second.disk)
    }
    first.supersededAt = this.#world.monotonic()
    await this.#work(second, first)
  }

  /** What clients of the machine do for a while. */
  async #work(machine: Machine, other: Machine | null): Promise<void> {
    const dice = this.#dice.fork(`${machine.name} ${machine.submitted.size}`)
    for (let left = dice.int(4, 14); left > 0; left--) {
      const action = dice.weighted({ append: 6, both: 2, wait: 4, disk: 1, object: 1 })
      if (action === 'append') await this.#append(machine, dice.pick(LEVELS))
      else if (action === 'both')
        await Promise.all([this.#append(machine, 'object'), this.#append(machine, 'disk')])
      else if (action === 'wait') await this.#pass(dice.magnitude(20_000))
      else await this.#move(machine, action)
    }
    // Whoever is the writer goes on undisturbed.
    if (other !== null) await this.#append(machine, 'object')
  }

  async #append(machine: Machine, level: AckLevel): Promise<void> {
    const id = `${machine.name} ${++this.#records}`
    const begunAt = this.#world.monotonic()
    machine.submitted.add(id)
    try {
      await machine.db.log(LOG).append({ id, machine: machine.name }, { ack: level })
    } catch (error) {
      this.#explain(error, machine, `append ${id} at '${level}'`)
      this.#refused++
      return
    }
    this.#assertAcknowledges(machine, id, level, begunAt)
    if (level !== 'memory') machine.acknowledged.add(id)
    if (level === 'object') machine.archived.add(id)
  }

  #assertAcknowledges(machine: Machine, id: string, level: AckLevel, begunAt: number): void {
    const { supersededAt } = machine
    if (supersededAt === null) return
    const now = this.#world.monotonic()
    if (level === 'object' && begunAt > supersededAt)
      throw new Violation('I9', `${id} was archived after another machine had taken over`)
    if (now > supersededAt + this.#checkMs + LOOK_MS)
      throw new Violation(
        'I9',
        `${id} was acknowledged at '${level}' ${Math.round(now - supersededAt)} ms after another machine had taken over, and looks are made every ${this.#checkMs} ms`,
      )
  }

  /** A machine is told that there is a newer writer, and of nothing else: nothing goes wrong here. */
  #explain(error: unknown, machine: Machine, doing: string): void {
    if (!isStratalogError(error)) throw error
    if (error.code === 'writer_fenced' && machine.supersededAt !== null) return
    // The claim is in the archive a moment before the engine that made it is open.
    if (error.code === 'writer_fenced' && machine.name === 'first') return
    throw new Violation(
      'I9',
      `${doing} on the ${machine.name} machine: ${error.code}: ${error.message}; a machine was refused before: ${this.#lastRefusal}`,
    )
  }

  async #move({ db, ...machine }: Machine, to: 'disk' | 'object'): Promise<void> {
    try {
      await db.tier.now({ logs: [LOG], to })
    } catch (error) {
      this.#explain(error, { db, ...machine }, `a move to ${to}`)
    }
  }

  async #pass(ms: number): Promise<void> {
    await new Promise<void>((resolve) => this.#world.scheduler.after(ms, resolve))
  }

  /** Idle, it has learnt of it by a look. */
  async #assertFenced(machine: Machine): Promise<void> {
    const until = (machine.supersededAt ?? 0) + this.#checkMs + LOOK_MS
    await this.#pass(Math.max(0, until - this.#world.monotonic()))
    const state = machine.db.status().disk?.state
    if (state !== 'fenced')
      throw new Violation('I9', `the superseded machine is '${state}', and was to look by now`)
    await this.#append(machine, 'disk')
    await machine.db.log(LOG).read().toArray()
  }

  async #end({ process, db }: Machine): Promise<void> {
    const how = this.#dice.pick(['close', 'kill', 'power'] as const)
    if (how === 'close') await db.close()
    process.die(how === 'close' ? 'kill' : how)
  }

  /** It is opened again, after it was reconciled where it has to be, and has all that it acknowledged. */
  async #comeBack(machine: Machine, other: Machine): Promise<void> {
    // What the other machine appends and compacts meanwhile may make it another history once more.
    for (let attempt = 1; !(await this.#opens(machine)); attempt++) {
      if (attempt > 2 && other.process.isAlive) await this.#end(other)
      if (attempt > 3)
        throw new Violation(
          'I9',
          `the ${machine.name} machine was reconciled, and does not open: ${this.#lastRefusal}`,
        )
      if (other.process.isAlive) await this.#append(other, 'object')
      await this.#reconcile(machine)
      if (other.process.isAlive) await this.#append(other, 'object')
    }
    other.supersededAt ??= this.#world.monotonic()
    await this.#assertHolds(machine, other)
    await this.#work(machine, other)
  }

  /** Killed now and then, and done again until it is done. */
  async #reconcile(machine: Machine): Promise<void> {
    const options = { dataDir: DATA_DIR, archive: this.#archive }
    for (let broken = this.#dice.int(0, BROKEN_MAX); broken >= 0; broken--) {
      const death: Death = this.#dice.pick(['kill', 'power'])
      const plan = broken === 0 ? null : { death, call: this.#dice.magnitude(200), step: null }
      const process = this.#world.startProcess(plan, machine.disk)
      const done = await process.outlive(reconcileArchive(options, this.#portsOf(process)))
      process.die('kill')
      if (done !== 'dead') break
    }
    this.#reconciled++
  }

  async #assertHolds(machine: Machine, other: Machine): Promise<void> {
    const places = new Map<string, { readonly log: string; readonly offset: number }>()
    for (const { name } of machine.db.logs().filter((log) => log.name.startsWith(LOG))) {
      for (const row of await machine.db.log(name).read().toArray()) {
        const id = String(row['id'])
        const offset = Number(row['_offset'])
        const known = places.get(id)
        // A fork begins where a segment does, so it may share some of what comes before.
        if (known !== undefined && (known.log === name || known.offset !== offset))
          throw new Violation('I4', `${id} is twice on the ${machine.name} machine`)
        if (!machine.submitted.has(id) && !other.submitted.has(id))
          throw new Violation('I2', `${id} was never appended`)
        places.set(id, { log: name, offset })
      }
    }
    const lost = [...machine.acknowledged, ...other.archived].filter((id) => !places.has(id))
    if (lost.length > 0)
      throw new Violation('I1', `the ${machine.name} machine lacks ${lost.join(', ')}`)
  }
}
