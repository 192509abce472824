/**
 * A simulated machine and what is around it: time, one disk, one bucket, what goes wrong with them, and the processes
 * that run one after the other; a process may have another disk, and runs on another machine then. One seed decides all
 * of it.
 */
import type { Dice } from './dice.ts'
import { DiskImage } from './disk-image.ts'
import { FaultPlan, type Fault, type FaultProfile } from './faults.ts'
import { type CrashPlan, type Death, SimulatedProcess, describeCall } from './process.ts'
import { Scheduler } from './scheduler.ts'
import { type PortCall, type Step, StepTally, isChange, stepsOf } from './steps.ts'
import { SimulatedBucket } from './bucket.ts'
import { Trace } from './trace.ts'

const START_MS = 1_700_000_000_000

export interface WallClock {
  now(): number
  monotonic(): number
}

/** What becomes of a port call. */
export interface Verdict {
  readonly death: 'before' | 'within' | 'after' | null
  readonly fault: Fault | null
  readonly latencyMs: number
  /** How much of it is done where it is done in part, in [0, 1). */
  readonly part: number
  readonly steps: readonly Step[]
}

export class World implements WallClock {
  readonly scheduler: Scheduler
  readonly trace: Trace
  readonly disk: DiskImage
  readonly bucket: SimulatedBucket
  readonly faults: FaultPlan
  readonly tally: StepTally = new StepTally()
  readonly #dice: Dice
  #wallOffsetMs = START_MS
  /** How far the wall clock was set back, in all. */
  setBackMs = 0
  #latestMs = 0
  #processCount = 0
  #engineCount = 0
  /** By disk and path. */
  readonly #lockHolders = new Map<DiskImage, Map<string, SimulatedProcess>>()
  /** The stretch of events in which a process died last. */
  #lastDeath = -1

  constructor(
    dice: Dice,
    profile: FaultProfile,
    onError: (error: unknown) => void,
    disk: DiskImage = new DiskImage(),
    bucket: SimulatedBucket | null = null,
  ) {
    this.#dice = dice.fork('calls')
    this.scheduler = new Scheduler(dice.fork('schedule'), onError)
    this.trace = new Trace(() => this.scheduler.now)
    this.disk = disk
    this.bucket = bucket ?? new SimulatedBucket()
    this.faults = new FaultPlan(dice.fork('faults'), profile)
  }

  get dice(): Dice {
    return this.#dice
  }

  now(): number {
    return Math.floor(this.#wallOffsetMs + this.scheduler.now)
  }

  monotonic(): number {
    return this.scheduler.now
  }

  /** The latest that the wall clock has ever said. */
  get latestMs(): number {
    return Math.max(this.#latestMs, this.now())
  }

  /** Somebody sets the wall clock. */
  jumpWallClock(deltaMs: number): void {
    this.#latestMs = this.latestMs
    this.#wallOffsetMs += deltaMs
    this.setBackMs += Math.max(0, -deltaMs)
    this.trace.add(`the wall clock jumps by ${deltaMs} ms`)
  }

  startProcess(plan: CrashPlan | null, disk: DiskImage = this.disk): SimulatedProcess {
    const number = ++this.#processCount
    const die = (death: Death, steps: readonly Step[]): void => {
      this.tally.count(steps, 'crashed')
      this.#lastDeath = this.scheduler.stretch
      this.trace.add(`p${number} dies: ${death}`)
      for (const path of [...this.#locksOf(disk).keys()]) this.unlock(path, made)
      if (death === 'power') disk.cutPower(this.#dice)
    }
    const made = new SimulatedProcess(number, this.scheduler, plan, die, disk)
    const words = plan === null ? '' : ` dies in call ${plan.call} of ${plan.step ?? 'any'}`
    this.trace.add(`p${number} starts${words}`)
    return made
  }

  /** Random numbers for one engine: no two get the same. */
  engineRandom(): Dice {
    return this.#dice.fork(`engine ${++this.#engineCount}`)
  }

  /** Whether what runs now may be the rest of a process that has just died. */
  get isDeathFresh(): boolean {
    return this.#lastDeath === this.scheduler.stretch
  }

  /** False when the lock is held, by whatever engine. */
  tryLock(path: string, process: SimulatedProcess): boolean {
    const locks = this.#locksOf(process.disk)
    if (locks.has(path)) return false
    locks.set(path, process)
    return true
  }

  unlock(path: string, process: SimulatedProcess): void {
    if (this.lockHolder(path, process.disk) === process) this.#locksOf(process.disk).delete(path)
  }

  lockHolder(path: string, disk: DiskImage): SimulatedProcess | null {
    return this.#locksOf(disk).get(path) ?? null
  }

  #locksOf(disk: DiskImage): Map<string, SimulatedProcess> {
    const locks = this.#lockHolders.get(disk) ?? new Map<string, SimulatedProcess>()
    this.#lockHolders.set(disk, locks)
    return locks
  }

  /** Every port call begins here. */
  judge(process: SimulatedProcess, call: PortCall): Verdict {
    const steps = stepsOf(call, process.phase)
    this.tally.count(steps, 'calls')
    if (isChange(call)) process.changes?.push(describeCall(call))
    const death = process.deathIn(steps, this.#dice)
    const fault = death === null ? this.faults.faultOf(call, this.scheduler.now) : null
    if (fault !== null) this.tally.count(steps, 'failed')
    this.trace.add(
      `p${process.number} ${describeCall(call)}${fault === null ? '' : ` ${fault}`}${death === null ? '' : ` dies ${death}`}`,
    )
    const latencyMs = this.faults.latencyMs(call.port)
    this.faults.noteCall(fault, this.scheduler.now, latencyMs)
    return {
      death,
      fault,
      latencyMs,
      part: this.#dice.fraction(),
      steps,
    }
  }
}
