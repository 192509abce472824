/**
 * A process of a simulated world: what an engine runs in, until it is killed. It dies at a planned call of one of its
 * ports, before the call does anything, in the middle, or after; or when the workload says so. From then on nothing of
 * it happens: its events are passed over, an asynchronous call never settles, and a synchronous one throws
 * `ProcessCrash`, so that no code of a dead process can reach the disk. Calls that are under way when it dies reject,
 * so that what waits for them is let go of; nobody hears what comes of that.
 */
import type { Dice } from './dice.ts'
import type { DiskImage } from './disk-image.ts'
import type { ScheduledEvent, Scheduler } from './scheduler.ts'
import type { Phase, PortCall, Step } from './steps.ts'

/** How much of a death the machine shares: a killed process leaves the page cache, a power cut does not. */
export type Death = 'kill' | 'power'

export interface CrashPlan {
  readonly death: Death
  /** The n-th call of any port from now on, or the n-th that is part of a step. */
  readonly call: number
  readonly step: Step | null
}

/** Ends the synchronous stretch in which a process died. */
export class ProcessCrash extends Error {
  override readonly name = 'ProcessCrash'
}

export class SimulatedProcess {
  readonly number: number
  /** Of the machine that it runs on. */
  readonly disk: DiskImage
  readonly #scheduler: Scheduler
  readonly #onDeath: (death: Death, steps: readonly Step[]) => void
  readonly #died = Promise.withResolvers<void>()
  #plan: CrashPlan | null
  #callsLeft: number
  #isAlive = true
  readonly #underWay = new Set<(error: ProcessCrash) => void>()
  phase: Phase = 'opening'
  readonly startedAt: number
  #diedAt: number | null = null
  /** Of its ports. */
  calls = 0
  /** Files opened and not closed. */
  openFiles = 0
  /** The calls that changed something, of a process that only reads; null of one that writes. */
  changes: string[] | null = null

  constructor(
    number: number,
    scheduler: Scheduler,
    plan: CrashPlan | null,
    onDeath: (death: Death, steps: readonly Step[]) => void,
    disk: DiskImage,
  ) {
    this.number = number
    this.disk = disk
    this.#scheduler = scheduler
    this.startedAt = scheduler.now
    this.#plan = plan
    this.#callsLeft = plan?.call ?? 0
    this.#onDeath = onDeath
  }

  /** The step that it is to die in; null when any will do. */
  get focus(): Step | null {
    return this.#plan?.step ?? null
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  /** When it died, or now. */
  get endedAt(): number {
    return this.#diedAt ?? this.#scheduler.now
  }

  /** Resolves when it dies. */
  get died(): Promise<void> {
    return this.#died.promise
  }

  /** It lives on, whatever was planned. */
  spare(): void {
    this.#plan = null
  }

  /** Where in this call the process dies; null when it does not. */
  deathIn(steps: readonly Step[], dice: Dice): 'before' | 'within' | 'after' | null {
    this.calls++
    const plan = this.#plan
    if (plan === null || (plan.step !== null && !steps.includes(plan.step))) return null
    if (--this.#callsLeft > 0) return null
    return dice.pick(['before', 'within', 'after'] as const)
  }

  /** Dies as planned. */
  crash(steps: readonly Step[]): void {
    this.die(this.#plan?.death ?? 'kill', steps)
  }

  die(death: Death, steps: readonly Step[] = []): void {
    if (!this.#isAlive) return
    this.#isAlive = false
    this.#diedAt = this.#scheduler.now
    this.#onDeath(death, steps)
    this.#died.resolve()
    for (const reject of this.#underWay) reject(new ProcessCrash('the process is gone'))
    this.#underWay.clear()
  }

  /** Runs later, when the process still lives. */
  after(delayMs: number, run: () => void): ScheduledEvent {
    return this.#scheduler.after(delayMs, () => {
      if (this.#isAlive) run()
    })
  }

  /** A call of a port: `make` settles it, unless the process dies before. */
  call<T>(make: (resolve: (value: T) => void, reject: (error: Error) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!this.#isAlive) return
      this.#underWay.add(reject)
      make(
        (value) => {
          this.#underWay.delete(reject)
          resolve(value)
        },
        (error) => {
          this.#underWay.delete(reject)
          reject(error)
        },
      )
    })
  }

  /** What `work` comes to, or `dead` when the process dies first. */
  async outlive<T>(work: Promise<T>): Promise<T | 'dead'> {
    try {
      const result = await Promise.race([work, this.#died.promise.then(() => 'dead' as const)])
      return this.#isAlive ? result : 'dead'
    } catch (error) {
      if (this.#isAlive) throw error
      return 'dead'
    }
  }
}

export function describeCall({ port, operation, path, length }: PortCall): string {
  return `${port} ${operation} ${path}${length > 0 ? ` ${length} B` : ''}`
}
