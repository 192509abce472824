/**
 * One seed: a world, an engine in it that lives and dies several times, clients that use it, and the model that every
 * answer is held against. At the end nothing goes wrong any more, and then everything that must be there is.
 */
import { Mutex } from '../../src/base/mutex.ts'
import { Stratalog } from '../../src/index.ts'
import { Checks } from './checks.ts'
import { Client } from './client.ts'
import { type Damage, damageCopy, mend } from './damage.ts'
import { isFoundAway } from './detaching.ts'
import { Dice } from './dice.ts'
import { chooseProfile } from './faults.ts'
import { finish } from './finish.ts'
import { watchAmbientUse } from './guard.ts'
import type { Life } from './life.ts'
import { lookAtLog } from './look.ts'
import { Model } from './model.ts'
import { type Invariant, Violation } from './violation.ts'
import { DATA_DIR, NOT_WATCHED, simulatedPorts } from './ports.ts'
import type { SimulatedProcess } from './process.ts'
import { MARGIN_MS, pauseMs, recoveryPointMs, isArchiveRefused } from './recovery-point.ts'
import { checkReplay } from './replays.ts'
import { settled } from './scheduler.ts'
import { type Setting, chooseCrash, chooseSetting, isRare } from './setting.ts'
import type { StepCounts } from './steps.ts'
import { compareRecoveries } from './twins.ts'
import { twoMachines } from './two-machines.ts'
import { damageWal } from './wal-damage.ts'
import { warmUp } from './warm-up.ts'
import { World } from './world.ts'

export interface SeedReport {
  readonly seed: number
  readonly traceHash: string
  readonly events: number
  readonly lives: number
  readonly acknowledged: number
  readonly submitted: number
  readonly rowsRead: number
  /** Appends to logs without a WAL that a crash could not take any more, by their age. */
  readonly pastRecoveryPoint: number
  /** Logs that were deleted, and snapshots of such that were restored. */
  readonly deletedLogs: number
  readonly restoredSnapshots: number
  /** Of the archive up to a moment or an offset. */
  readonly replays: number
  /** Damages of the WAL that cost records of a log, on copies of the disk. */
  readonly damagedWals: number
  /** Machines that another took the archive from, and directories that were reconciled after it. */
  readonly takeovers: number
  readonly reconciled: number
  /** Appends that a reader missed because a retention may have taken them. */
  readonly retired: number
  readonly detachedLogs: number
  readonly pauses: number
  /** Questions as of snapshots that were held against the model. */
  readonly moments: number
  readonly steps: Readonly<Record<string, StepCounts>>
  readonly violation: { readonly invariant: Invariant; readonly message: string } | null
  /** The last steps, when there was a violation. */
  readonly trace: readonly string[]
}

const TRACE_LINES = 60
/** In the end nothing is done but what is looked for. */
const QUIET: Life['setting'] = {
  deletesLogs: false,
  retainsLogs: false,
  detachesLogs: false,
  pausesMoves: false,
  asksOfSnapshots: false,
}
/** After so many attempts that failed, nothing more goes wrong with opening. */
const OPENING_ATTEMPTS = 10

/** `traceLines`: how many of the last steps the report of a violation has. */
export async function simulate(
  seed: number,
  traceLines: number = TRACE_LINES,
): Promise<SeedReport> {
  await warmUp()
  const dice = new Dice(seed)
  let checks: Checks | null = null
  const world = new World(dice.fork('world'), chooseProfile(dice.fork('profile')), (error) =>
    checks?.uncaught(error),
  )
  checks = new Checks(world)
  const simulation = new Simulation(world, checks, dice)
  const found = checks
  const stops = [
    listenForUncaught(checks),
    watchAmbientUse((name) => found.fail('I10', `the engine uses ${name}: no run is like another`)),
  ]
  try {
    await world.scheduler.runUntil(Promise.race([simulation.run(), checks.failed]))
  } catch (error) {
    if (error instanceof Violation) checks.failWith(error)
    else checks.fail('I12', `${String(error)} ${(error as Error).stack ?? ''}`)
  } finally {
    // What a run that was broken off leaves behind is heard of, and is of no interest.
    await settled()
    for (const stop of stops) stop()
  }
  return simulation.report(seed, traceLines)
}

/** A promise that the engine leaves alone is a fault of the engine, unless its process is dead. */
function listenForUncaught(checks: Checks): () => void {
  const onUncaught = (error: unknown): void => checks.uncaught(error)
  process.on('unhandledRejection', onUncaught)
  return () => process.off('unhandledRejection', onUncaught)
}

class Simulation {
  readonly #world: World
  readonly #checks: Checks
  readonly #dice: Dice
  readonly #setting: Setting
  readonly #model: Model
  /** A copy that is damaged and was not mended yet. */
  #damage: Damage | null = null
  /** In the end somebody gives the disk what it needs. */
  #isFinishing = false
  #damagedWals = 0
  #takeovers = 0
  #reconciled = 0

  constructor(world: World, checks: Checks, dice: Dice) {
    this.#world = world
    this.#checks = checks
    this.#dice = dice.fork('workload')
    this.#setting = chooseSetting(dice.fork('setting'))
    this.#model = new Model(this.#setting.specs, world)
  }

  async run(): Promise<void> {
    const { lives } = this.#setting
    for (let life = 1; life <= lives; life++) {
      const isCompared = life > 1 && this.#dice.chance(0.15)
      // What is retired meanwhile, one of both may have still.
      const isRetained = this.#model.logs.some((log) => log.isRetained)
      if (isCompared && this.#damage === null && !isRetained) await this.#compareRecoveries()
      await this.#damageCopy(life)
      if (life > 1) await this.#damageWal(life)
      if (life > 1) await this.#takeOver(life)
      await this.#live()
      if (this.#checks.violation !== null) return
    }
    await this.#finish()
  }

  report(seed: number, traceLines: number): SeedReport {
    const { violation } = this.#checks
    const { trace, scheduler, tally } = this.#world
    return {
      seed,
      traceHash: trace.hash(),
      events: scheduler.eventCount,
      lives: this.#model.life,
      acknowledged: this.#model.acknowledged,
      submitted: this.#model.counts.submitted,
      rowsRead: this.#model.counts.rowsRead,
      pastRecoveryPoint: this.#model.counts.pastRecoveryPoint,
      deletedLogs: this.#model.counts.deletedLogs,
      restoredSnapshots: this.#model.restoredSnapshots,
      replays: this.#model.counts.replays,
      damagedWals: this.#damagedWals,
      takeovers: this.#takeovers,
      reconciled: this.#reconciled,
      retired: this.#model.counts.retired,
      detachedLogs: this.#model.counts.detachedLogs,
      pauses: this.#model.counts.pauses,
      moments: this.#model.counts.moments,
      steps: tally.toJSON(),
      violation:
        violation === null ? null : { invariant: violation.invariant, message: violation.message },
      trace: violation === null ? [] : trace.last(traceLines),
    }
  }

  /** Now and then, of what the archive has by then; the engine goes on moving records there meanwhile. */
  async #checkReplay(life: Life): Promise<void> {
    const { archive } = this.#setting
    const dice = this.#dice.fork(`replay ${this.#model.life}`)
    if (archive === null || !dice.chance(0.3)) return
    this.#world.faults.isPaused = true
    await checkReplay(life, archive, dice)
    this.#world.faults.isPaused = false
  }

  /** From the start of a process to its end, by a crash or in order. */
  async #live(): Promise<void> {
    const dice = this.#dice
    this.#model.life++
    const process = this.#world.startProcess(chooseCrash(dice, this.#setting, this.#model.life))
    const { setBackMs } = this.#world
    const life = await this.#open(process)
    let isRefused = false
    if (life !== null && (await this.#checkRecovered(life)) && (await this.#mend(life))) {
      await this.#checkReplay(life)
      const clients = Array.from({ length: dice.int(1, 4) }, (_, index) =>
        new Client(life, dice.fork(`client ${process.number} ${index}`)).work(
          isRare(process.focus) ? dice.int(20, 60) : dice.magnitude(60),
        ),
      )
      await Promise.all(clients)
      isRefused = isArchiveRefused(life.db)
      await this.#end(life)
    }
    if (life !== null) isRefused ||= isArchiveRefused(life.db)
    if (process.isAlive) process.die('kill')
    this.#model.processDied({
      startedAt: process.startedAt,
      diedAt: process.endedAt,
      // What waits for room on disk is not there yet, however long ago it was acknowledged.
      troubleUntil:
        this.#checks.isDiskBounded || isRefused
          ? Infinity
          : Math.max(this.#world.faults.troubleUntil, this.#model.pauses.until),
      setBackMs: this.#world.setBackMs - setBackMs,
    })
  }

  /** Now and then a copy rots between two lives; one at a time, so that nothing is lost by it. */
  async #damageCopy(life: number): Promise<void> {
    const dice = this.#dice.fork(`damage ${life}`)
    if (!this.#setting.isDamaged || this.#damage !== null || !dice.chance(0.6)) return
    this.#damage = await damageCopy(this.#world, this.#setting, dice)
  }

  /** False when the process died of it. */
  async #mend(life: Life): Promise<boolean> {
    if (this.#damage === null) return true
    if (!(await mend(life, this.#setting, this.#damage))) return false
    this.#damage = null
    return true
  }

  /** Opens the engine, again and again while that fails for a reason; null when the process died of it. */
  async #open(process: SimulatedProcess): Promise<Life | null> {
    const world = this.#world
    const { archive, maxMemoryBytes, shape, scrubInterval } = this.#setting
    const maxDiskBytes = this.#isFinishing ? null : this.#setting.maxDiskBytes
    this.#checks.isDiskBounded = maxDiskBytes !== null
    let isPoisoned = false
    const watch = {
      started: () => {
        isPoisoned = false
      },
      syncFailed: () => {
        isPoisoned = true
      },
    }
    const options = {
      dataDir: DATA_DIR,
      maxMemoryBytes,
      scrubInterval,
      ...(archive === null ? {} : { archive }),
      ...(maxDiskBytes === null ? {} : { maxDiskBytes }),
    }
    for (let attempt = 1; process.isAlive; attempt++) {
      const wasPaused = world.faults.isPaused
      world.faults.isPaused = wasPaused || attempt > OPENING_ATTEMPTS
      try {
        const opening = Stratalog.open(options, simulatedPorts(world, process, shape, watch))
        const db = await this.#checks.patiently(process, 'opening', opening)
        world.faults.isPaused = wasPaused
        if (db === 'dead') return null
        process.phase = 'running'
        world.trace.add(`p${process.number} is open`)
        return {
          world,
          process,
          db,
          model: this.#model,
          checks: this.#checks,
          hasArchive: archive !== null,
          setting: this.#isFinishing ? QUIET : this.#setting,
          options,
          portsOf: (other) => simulatedPorts(world, other, shape, NOT_WATCHED),
          besides: new Mutex(),
          isPoisoned: () => isPoisoned,
        }
      } catch (error) {
        this.#checks.explain(error, 'opening')
        if (attempt > 2 * OPENING_ATTEMPTS)
          throw new Violation('I12', `opening fails though nothing is wrong: ${String(error)}`)
        world.faults.isPaused = wasPaused
        await process.outlive(new Promise<void>((resolve) => process.after(2_000, resolve)))
      }
    }
    return null
  }

  /** What recovery gives is what was acknowledged, and nothing that was not submitted. False when the process died. */
  async #checkRecovered(life: Life): Promise<boolean> {
    const { world, process, db, model } = life
    world.faults.isPaused = true
    try {
      const names = new Set(db.logs().map(({ name }) => name))
      for (const log of [...model.logs]) {
        const isThere = names.has(log.spec.name)
        if (log.isDeleting && !isThere) {
          model.deleted(log, null)
          continue
        }
        log.isDeleting = false
        if (isFoundAway(log, isThere)) continue
        if (log.isCreated && !isThere)
          throw new Violation('I1', `log ${log.spec.name} was created and is not there`)
        if (isThere && !log.isAsked)
          throw new Violation('I2', `log ${log.spec.name} is there, and nobody created it since`)
        log.isCreated = isThere
        if (!log.isCreated) continue
        log.foundPolicy(db.log(log.spec.name).describe().policy)
        const ends = await lookAtLog(life, log, true)
        if (ends === null) return false
        model.recovered(log, ends)
      }
      model.pauses.found(db.status())
      return process.isAlive
    } finally {
      world.faults.isPaused = false
    }
  }

  async #end(life: Life): Promise<void> {
    const { process, db } = life
    if (!process.isAlive) return
    const how =
      process.focus === 'closing' ? 'close' : this.#dice.weighted({ close: 4, kill: 2, power: 2 })
    if (how !== 'close') {
      if (this.#model.life % 2 === 0) await this.#waitForRecoveryPoint(process)
      process.die(how)
      return
    }
    process.phase = 'closing'
    await this.#checks.patiently(process, 'closing', db.close())
    if (process.isAlive && this.#dice.chance(0.5)) process.die('power')
  }

  /** Until what RAM alone has acknowledged has to outlive the process; nothing goes wrong meanwhile. */
  async #waitForRecoveryPoint(process: SimulatedProcess): Promise<void> {
    const ages = this.#model.logs.flatMap(({ spec }) => recoveryPointMs(spec) ?? [])
    if (ages.length === 0) return
    const { faults, setBackMs } = this.#world
    const waitMs = Math.max(...ages) + MARGIN_MS + pauseMs(process.startedAt, faults.troubleUntil)
    const wasPaused = faults.isPaused
    faults.isPaused = true
    await process.outlive(
      new Promise<void>((resolve) => process.after(waitMs + setBackMs, resolve)),
    )
    faults.isPaused = wasPaused
  }

  async #compareRecoveries(): Promise<void> {
    const dice = this.#dice.fork(`twins ${this.#model.life}`)
    await this.#world.scheduler.standStill(compareRecoveries(this.#world, this.#setting, dice))
  }

  /** On a copy, so that nothing is lost by it. */
  async #damageWal(life: number): Promise<void> {
    const dice = this.#dice.fork(`wal damage ${life}`)
    if (this.#damage !== null || !dice.chance(0.1)) return
    const isCostly = await this.#world.scheduler.standStill(
      damageWal(this.#world, this.#setting, dice),
    )
    if (isCostly) this.#damagedWals++
  }

  /** On copies, so that both machines may do what they like. */
  async #takeOver(life: number): Promise<void> {
    const dice = this.#dice.fork(`two machines ${life}`)
    if (this.#damage !== null || !dice.chance(0.15)) return
    const found = await this.#world.scheduler.standStill(
      twoMachines(this.#world, this.#setting, dice),
    )
    if (found === null) return
    this.#takeovers++
    this.#reconciled += found.reconciled
  }

  async #finish(): Promise<void> {
    const world = this.#world
    world.faults.isPaused = true
    this.#isFinishing = true
    this.#model.life++
    const process = world.startProcess(null)
    const life = await this.#open(process)
    if (life === null) return
    if ((await this.#checkRecovered(life)) && (await this.#mend(life))) {
      world.faults.isPaused = true
      await finish(life, this.#setting, this.#dice.fork('finish'))
    }
  }
}
