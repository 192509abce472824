/** Which errors an engine may give, by what went wrong around it, and whether what it is asked for ever ends. */
import { type ErrorCode, type StratalogError, isStratalogError } from '../../src/base/errors.ts'
import { type Invariant, Violation } from './violation.ts'
import { ProcessCrash, type SimulatedProcess } from './process.ts'
import type { World } from './world.ts'

/** Nothing takes longer than this, ms: the longest are retries of a store that is away. */
const PATIENCE_MS = 30 * 60_000

const DISK_CODES: readonly ErrorCode[] = ['disk_full', 'disk_failed', 'file_system_failed']
/** With a budget for the disk: appends find no room, and those that are to be archived have none to go through. */
const BOUNDED_CODES: readonly ErrorCode[] = ['disk_budget_full', 'store_unavailable']
const STORE_CODES: readonly ErrorCode[] = ['store_unavailable', 'store_denied']
const WRONG_BYTES_CODES: readonly ErrorCode[] = [
  'object_corrupt',
  'segment_corrupt',
  'manifest_corrupt',
  'store_unavailable',
]

/** The new policy may not have what an append asked for that waited. */
export const CHANGED_CODES: readonly ErrorCode[] = ['argument_invalid', 'store_unavailable']

export class Checks {
  /** Whether the engine that runs has a budget for its disk. */
  isDiskBounded = false
  /** Of logs whose deletion was asked for. */
  readonly deletedNames: Set<string> = new Set()
  readonly #world: World
  readonly #failed = Promise.withResolvers<never>()
  #violation: Violation | null = null

  constructor(world: World) {
    this.#world = world
    this.#failed.promise.catch(() => {})
  }

  /** Rejects with the first violation. */
  get failed(): Promise<never> {
    return this.#failed.promise
  }

  get violation(): Violation | null {
    return this.#violation
  }

  fail(invariant: Invariant, message: string): void {
    this.failWith(new Violation(invariant, message))
  }

  failWith(violation: Violation): void {
    if (this.#violation !== null) return
    this.#violation = violation
    this.#world.trace.add(`VIOLATION ${violation.message}`)
    this.#failed.reject(violation)
  }

  /** What an event or a promise of the engine threw that nobody caught. */
  uncaught(error: unknown): void {
    if (error instanceof ProcessCrash) return
    if (error instanceof Violation) this.failWith(error)
    else if (!this.#world.isDeathFresh) this.fail('I7', `nobody caught ${describe(error)}`)
  }

  /** Holds an error of the engine against what could have caused it. */
  explain(error: unknown, doing: string, alsoAllowed: readonly ErrorCode[] = []): void {
    if (error instanceof Violation) throw error
    if (!isStratalogError(error)) throw new Violation('I7', `${doing} threw ${describe(error)}`)
    this.#world.trace.add(`${doing}: ${error.code}: ${error.message}`)
    const { disk, sync, store, wrongBytes, slow } = this.#world.faults.counts
    const { code } = error
    const isExplained =
      alsoAllowed.includes(code) ||
      (code === 'log_deleted' && this.deletedNames.has(String(error.details['log']))) ||
      (this.isDiskBounded && BOUNDED_CODES.includes(code)) ||
      (disk + sync > 0 && (DISK_CODES.includes(code) || STORE_CODES.includes(code))) ||
      (slow > 0 && code === 'disk_stuck') ||
      (store > 0 && STORE_CODES.includes(code)) ||
      (store + disk + sync > 0 && isOpenedWithoutArchive(error)) ||
      (wrongBytes > 0 && WRONG_BYTES_CODES.includes(code))
    if (!isExplained)
      throw new Violation('I7', `${doing} threw ${describe(error)}, without a cause`)
  }

  /** What `work` comes to, or `dead` when its process dies first. Fails the run when it does not end. */
  async patiently<T>(
    process: SimulatedProcess,
    doing: string,
    work: Promise<T>,
  ): Promise<T | 'dead'> {
    const timer = this.#world.scheduler.after(PATIENCE_MS, () =>
      this.fail('I12', `${doing} does not end`),
    )
    try {
      return await process.outlive(work)
    } finally {
      timer.cancel()
    }
  }
}

/** What the archive has learnt and the directory has not is compared when an engine is opened, not later. */
function isOpenedWithoutArchive({ code, message }: StratalogError): boolean {
  return code === 'archive_diverged' && message.includes('was away when the engine opened')
}

function describe(error: unknown): string {
  if (isStratalogError(error)) return `${error.code}: ${error.message}`
  return error instanceof Error
    ? `${error.name}: ${error.message} ${error.stack ?? ''}`
    : String(error)
}
