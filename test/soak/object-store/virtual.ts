/**
 * The moves on a simulated machine, where an hour takes no time: with one toxic at one call of one operation of the
 * store, in memory or in a directory, and in processes that die at one call of any port.
 */
import { settled } from '../../simulation/scheduler.ts'
import { Dice } from '../../simulation/dice.ts'
import { NO_FAULTS } from '../../simulation/faults.ts'
import { DATA_DIR, NOT_WATCHED, simulatedPorts } from '../../simulation/ports.ts'
import { type CrashPlan, ProcessCrash, type SimulatedProcess } from '../../simulation/process.ts'
import { World } from '../../simulation/world.ts'
import type { EnginePorts } from '../../../src/engine/ports.ts'
import { type OpenedObjectStore, overNetwork } from '../../../src/storage/open-object-store.ts'
import { SimulatedClock } from '../../simulation/clock.ts'
import type { StoragePorts } from '../../../src/engine/storage-ports.ts'
import { present } from '../../../src/base/assert.ts'
import { ToxicObjectStore } from '../../support/toxic-object-store.ts'
import type { ProxiedCall, StoreOperation, Toxic } from '../../support/toxic-proxy.ts'
import { Moves, type Stage } from './moves.ts'
import type { PlannedToxic } from './toxics.ts'

export type VirtualPlace = 'memory' | 'directory'

export interface VirtualRun {
  readonly acknowledged: number
  /** How often each operation was called before the check. */
  readonly calls: ReadonlyMap<StoreOperation, number>
  /** Calls of any port in the first process. */
  readonly portCalls: number
  readonly wasPoisoned: boolean
  /** What was going on when a process died, for each that did. */
  readonly diedIn: readonly string[]
}

const SHAPE = {
  ringBytes: 65_536,
  sizes: { fileBytesMin: 16_384, fileBytesMax: 65_536, zeroAheadBytes: 4_096 },
}
const AGES_MS = 120_000
const ARCHIVES: Readonly<Record<VirtualPlace, string>> = {
  memory: 's3://bucket/archive',
  directory: 'file:///archive',
}
/** What lands late has landed after so long. */
const SETTLE_MS = 300_000

/** @throws BrokenPromise, DeadlockError. */
export async function runVirtually(
  place: VirtualPlace,
  plan: { readonly toxic?: PlannedToxic; readonly crashes?: readonly CrashPlan[] },
  seed = 1,
): Promise<VirtualRun> {
  const uncaught = Promise.withResolvers<never>()
  uncaught.promise.catch(() => {})
  const world = new World(new Dice(seed), NO_FAULTS, (error) => {
    if (!(error instanceof ProcessCrash)) uncaught.reject(error)
  })
  const onUncaught = (error: unknown): void => {
    if (!(error instanceof ProcessCrash) && !world.isDeathFresh) uncaught.reject(error)
  }
  process.on('unhandledRejection', onUncaught)
  try {
    const run = new Run(world, place, plan.toxic ?? null)
    return await world.scheduler.runUntil(
      Promise.race([run.run(plan.crashes ?? []), uncaught.promise]),
    )
  } finally {
    await settled()
    process.off('unhandledRejection', onUncaught)
  }
}

class Run {
  readonly #world: World
  readonly #place: VirtualPlace
  readonly #planned: PlannedToxic | null
  readonly #calls = new Map<StoreOperation, number>()
  #wasPoisoned = false
  #isOver = false

  constructor(world: World, place: VirtualPlace, planned: PlannedToxic | null) {
    this.#world = world
    this.#place = place
    this.#planned = planned
  }

  async run(crashes: readonly CrashPlan[]): Promise<VirtualRun> {
    const world = this.#world
    const moves = new Moves()
    const plans = [...crashes]
    let portCalls: number | null = null
    const diedIn: string[] = []
    for (;;) {
      const life = world.startProcess(plans.shift() ?? null)
      const outcome = await life.outlive(moves.goOn(this.#stage(life)))
      portCalls ??= life.calls
      if (outcome !== 'dead') {
        life.die('kill')
        break
      }
      diedIn.push(moves.step)
    }
    this.#isOver = true
    const calls = new Map(this.#calls)
    const last = world.startProcess(null)
    await new Promise<void>((resolve) => last.after(SETTLE_MS, resolve))
    await moves.check(this.#stage(last))
    last.die('kill')
    return {
      acknowledged: moves.acknowledged,
      calls,
      portCalls,
      wasPoisoned: this.#wasPoisoned,
      diedIn,
    }
  }

  #stage(life: SimulatedProcess): Stage {
    const ports = simulatedPorts(this.#world, life, SHAPE, NOT_WATCHED)
    return {
      dataDir: DATA_DIR,
      archive: ARCHIVES[this.#place],
      restoredDir: (number) => `/restored-${life.number}-${number}`,
      isReal: false,
      clock: new SimulatedClock(life, this.#world),
      ports: this.#withToxics(ports),
      agesMs: AGES_MS,
      rounds: 9,
      bigBytes: null,
      openBare: () => this.#openBare(ports),
    }
  }

  /** The archive, as if nothing were wrong with it. */
  async #openBare({ storage, ...ports }: EnginePorts): Promise<OpenedObjectStore> {
    return present(storage, 'storage').openObjectStore(ARCHIVES[this.#place], ports)
  }

  #withToxics(ports: EnginePorts): EnginePorts {
    const script = (call: ProxiedCall): Toxic | null => this.#toxicOf(call)
    const openObjectStore: StoragePorts['openObjectStore'] = async (_, options) => {
      const bare = await this.#openBare(ports)
      const toxic = new ToxicObjectStore(bare, ports.clock, script)
      if (this.#place === 'memory') return overNetwork(toxic, options)
      return Object.assign(toxic, { requests: () => bare.requests(), circuit: () => null })
    }
    return { ...ports, storage: { ...present(ports.storage, 'storage'), openObjectStore } }
  }

  #toxicOf({ operation }: ProxiedCall): Toxic | null {
    if (this.#isOver) return null
    const index = this.#calls.get(operation) ?? 0
    this.#calls.set(operation, index + 1)
    const planned = this.#planned
    if (planned?.operation !== operation || planned.index !== index) return null
    this.#wasPoisoned = true
    return planned.toxic
  }
}
