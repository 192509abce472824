/**
 * `produce`, `consume` and `produceWithTtl`: one call each, for programs that do not want to hold logs.
 *
 * A log is created when it is first produced to. First uses of one name that meet create it once: the first decides
 * how, and the others wait for it, also for one that `createLog` is creating.
 */
import { StratalogError } from '../base/errors.ts'
import { parseLogName } from '../base/log-name.ts'
import { type Duration, parseDuration } from '../base/units.ts'
import type { AppendResult } from '../log/live-log.ts'
import type { RecordRow } from './batch.ts'
import { assertObject, assertWhole } from './check-arguments.ts'
import type { CreateLogOptions } from './create-log.ts'
import type { Appendable } from './appended-records.ts'
import type { Log } from './log.ts'
import type { ReadOptions } from './read-options.ts'

export type ConsumeOptions = Pick<ReadOptions, 'partition' | 'columns' | 'onGap' | 'signal'>

/** What first uses need of the engine. */
export interface FirstUsePorts {
  readonly has: (name: string) => boolean
  readonly open: (name: string) => Log
  readonly create: (name: string, options: CreateLogOptions) => Promise<Log>
}

export class FirstUse {
  readonly #ports: FirstUsePorts
  readonly #creating = new Map<string, Promise<Log>>()

  constructor(ports: FirstUsePorts) {
    this.#ports = ports
  }

  /** Creates a log so that first uses of the same name wait for it. */
  create(name: string, options: CreateLogOptions): Promise<Log> {
    const creation = this.#ports.create(name, options)
    const key = typeof name === 'string' ? name.normalize('NFC').toLowerCase() : name
    // A creation that meets another one fails, and must not take its place.
    if (!this.#creating.has(key)) {
      this.#creating.set(key, creation)
      void this.#forget(key, creation)
    }
    return creation
  }

  /** The log of that name, created with `options` when there is none. */
  async openOrCreate(name: string, options: CreateLogOptions): Promise<Log> {
    const logName = parseLogName(name)
    for (;;) {
      const pending = this.#creating.get(logName)
      if (pending === undefined) {
        if (this.#ports.has(logName)) return this.#ports.open(logName)
        // Awaited here, so that who came first also goes on first.
        return await this.create(logName, options)
      }
      // That creation may fail for reasons of its own; then this one tries.
      await pending.catch(() => {})
    }
  }

  async #forget(key: string, creation: Promise<Log>): Promise<void> {
    try {
      await creation
    } catch {
      // Its caller has the error.
    }
    this.#creating.delete(key)
  }
}

/** Reads up to `limit` records from an offset on. @throws StratalogError what reading throws. */
export function consumeRecords(
  log: Log,
  from: number,
  limit: number,
  options: ConsumeOptions,
): Promise<RecordRow[]> {
  assertWhole(from, 'from')
  assertWhole(limit, 'limit')
  assertObject(options, 'The options of consume are an object')
  return log.read({ ...options, from, limit }).toArray()
}

/**
 * Appends to a log of mode `memory`, created so on first use, what is gone `ttl` after the append.
 * @throws StratalogError `argument_invalid` for a log of another mode or a bad duration, and what appending throws.
 */
export async function produceExpiring(
  firstUse: FirstUse,
  name: string,
  records: Appendable,
  ttl: Duration,
): Promise<AppendResult> {
  // Before the log is created: a call that is wrong leaves nothing.
  parseDuration(ttl, 'ttl')
  const log = await firstUse.openOrCreate(name, { storage: { mode: 'memory' } })
  const { mode } = log.describe().policy
  if (mode !== 'memory') {
    throw new StratalogError(
      'argument_invalid',
      `Log '${log.name}' has mode '${mode}', and records of their own ttl need mode 'memory'. Append without one: memoryTtl of its policy says how long records stay in RAM.`,
      { details: { log: log.name, mode } },
    )
  }
  return log.append(records, { ttl })
}
