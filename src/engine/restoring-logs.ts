/**
 * Where a log of a running engine is until all of it has been restored: under a name that no client can append to. It
 * comes under its own name in one commit, as a fork, which shares its files and copies nothing.
 *
 * 1. its own name is taken, so that nobody makes a log of that name meanwhile;
 * 2. the log is filled under the other name; (a crash here leaves that one, which the next start of a server deletes)
 * 3. one commit makes the fork; (a crash here leaves both)
 * 4. the other one is deleted.
 */
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { randomHex } from '../base/random.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { Engine } from './engine.ts'
import type { LogRegistry } from './log-registry.ts'
import type { LowerTiers } from './lower-tiers.ts'
import { type Stratalog, engineOf } from './stratalog.ts'

const RESTORING_PREFIX = 'stratalog.restoring.'

export class RestoringLogs {
  readonly #engine: Engine
  readonly #lowerTiers: LowerTiers
  /** By the name of the log. */
  readonly #hidden: ReadonlyMap<string, string>

  /** @throws StratalogError `log_exists`. */
  static take(engine: Engine, lowerTiers: LowerTiers, names: readonly string[]): RestoringLogs {
    reserveAll(engine.registry, names)
    return new RestoringLogs(engine, lowerTiers, names)
  }

  private constructor(engine: Engine, lowerTiers: LowerTiers, names: readonly string[]) {
    this.#engine = engine
    this.#lowerTiers = lowerTiers
    const { random } = engine.ports
    this.#hidden = new Map(names.map((name) => [name, RESTORING_PREFIX + randomHex(random, 16)]))
  }

  nameHere(name: string): string {
    return this.#hidden.get(name) ?? name
  }

  /** From here on they are there, one after the other. @throws StratalogError those of `Stratalog.fork`. */
  async publish(): Promise<void> {
    for (const [name, hidden] of this.#hidden) {
      this.#engine.registry.release(name)
      await this.#lowerTiers.fork(this.#engine, hidden, name, {})
    }
  }

  /** Takes away what is not wanted any more, and gives up the names that no log has got. */
  async end(): Promise<void> {
    const { registry } = this.#engine
    for (const [name, hidden] of this.#hidden) {
      if (registry.has(hidden)) await removeRestored(this.#engine, registry.get(hidden))
      registry.release(name)
    }
  }
}

/** Deletes what restores left that were killed; to be called before any begins. */
export async function removeUnfinishedRestores(db: Stratalog): Promise<void> {
  const engine = engineOf(db)
  if (engine.isReadOnly) return
  for (const log of [...engine.registry.all()])
    if (log.name.startsWith(RESTORING_PREFIX)) await removeRestored(engine, log)
}

/** What cannot be taken away now is there still, and its error tells less than the one of the restore. */
export async function removeRestored(engine: Engine, log: LiveLog): Promise<void> {
  try {
    await engine.deleteLog(log)
  } catch (error) {
    engine.ports.logger.error('A log of a restore is still there.', {
      log: log.name,
      error: isStratalogError(error) ? error.code : String(error),
    })
  }
}

/** Takes all of the names, or none. @throws StratalogError `log_exists`. */
export function reserveAll(registry: LogRegistry, names: readonly string[]): void {
  const taken: string[] = []
  for (const name of names) {
    if (registry.reserve(name)) {
      taken.push(name)
      continue
    }
    for (const other of taken) registry.release(other)
    throw nameTaken(name)
  }
}

function nameTaken(log: string): StratalogError {
  return new StratalogError(
    'log_exists',
    `There is a log '${log}'; give it another name by rename.`,
    { details: { log } },
  )
}
