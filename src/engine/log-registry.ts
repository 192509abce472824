/** The live logs of an engine, by name and by id, and how one is made from what the manifest says of it. */
import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import { parseLogName } from '../base/log-name.ts'
import type { LogState } from '../format/manifest.ts'
import { STAMPED_TIME_COLUMN } from '../format/schema.ts'
import { LatestViews } from '../log/latest-views.ts'
import { LiveLog, type LiveLogPorts } from '../log/live-log.ts'
import { MemoryAccount } from '../log/memory-account.ts'
import { Partition, type PartitionPorts } from '../log/partition.ts'
import { liveLogFacts } from './log-facts.ts'
import { nearestName } from './nearest-name.ts'
import type { QueriedLogs } from './open-queries.ts'

export class LogRegistry {
  /** Null for one that is being created. */
  readonly #byName = new Map<string, LiveLog | null>()
  readonly #byId = new Map<number, LiveLog>()
  readonly #partitionPorts: PartitionPorts
  readonly #logPorts: LiveLogPorts
  /** Of its logs with a key. */
  readonly latest: LatestViews

  constructor(
    partitionPorts: PartitionPorts,
    logPorts: LiveLogPorts,
    clock: Pick<Clock, 'yield' | 'setTimer'>,
  ) {
    this.#partitionPorts = partitionPorts
    this.#logPorts = logPorts
    this.latest = new LatestViews({ clock })
  }

  /** What queries take from it. */
  get queried(): Pick<QueriedLogs, 'viewOf' | 'hasLog' | 'logFacts' | 'latest'> {
    return {
      viewOf: (name) => this.get(name).view(),
      hasLog: (name) => this.has(name),
      logFacts: () => liveLogFacts(this.all()),
      latest: this.latest,
    }
  }

  get byId(): ReadonlyMap<number, LiveLog> {
    return this.#byId
  }

  /** In the order they were created. */
  all(): Iterable<LiveLog> {
    return this.#byId.values()
  }

  has(name: string): boolean {
    return (this.#byName.get(name) ?? null) !== null
  }

  /** Keeps a name for one creation, which ends in `add` or `release`; false when a log has it or is getting it. */
  reserve(name: string): boolean {
    if (this.#byName.has(name)) return false
    this.#byName.set(name, null)
    return true
  }

  /** Gives up a name that was reserved. */
  release(name: string): void {
    if (this.#byName.get(name) === null) this.#byName.delete(name)
  }

  /** @throws StratalogError `log_name_invalid`; `log_not_found`, with the nearest name there is. */
  get(name: string): LiveLog {
    // As a rule the name is as it is kept.
    const log = this.#byName.get(name) ?? this.#byName.get(parseLogName(name)) ?? null
    if (log !== null) return log
    const nearest = nearestName(name, this.#names())
    const hint = nearest === null ? 'Create it with createLog.' : `Did you mean '${nearest}'?`
    throw new StratalogError('log_not_found', `There is no log '${name}'. ${hint}`, {
      details: { log: name, nearest },
    })
  }

  /** Makes a log live; its data is what `state` lists. */
  add(state: LogState): LiveLog {
    const log = this.make(state)
    this.publish([log])
    return log
  }

  /** From here on they are found, all at once. */
  publish(logs: Iterable<LiveLog>): void {
    for (const log of logs) {
      this.#byName.set(log.name, log)
      this.#byId.set(log.id, log)
    }
  }

  /** A log that nobody finds before it is published; its name is kept by `reserve` meanwhile. */
  make(state: LogState): LiveLog {
    const { definition, schemas } = state
    const { ack, maxMemoryBytes, evictionWatermark } = definition.policy
    const memory = new MemoryAccount(this.#partitionPorts.pool)
    memory.setBudget(maxMemoryBytes, evictionWatermark)
    const partitions = state.partitions.map(
      ({ startOffset, segments, producers, denseFrom }, partition) =>
        new Partition(
          {
            logId: definition.id,
            partition,
            timeColumn: definition.timeColumn ?? STAMPED_TIME_COLUMN,
            startOffset,
            segments,
            producers,
            denseFrom,
            memory,
          },
          ack,
          this.#partitionPorts,
        ),
    )
    return new LiveLog(definition, schemas, partitions, this.#logPorts)
  }

  /** Of a log that has ended; where that is not sure its name stays taken. */
  remove({ id, name }: LiveLog, isSure: boolean): void {
    if (isSure) this.#byName.delete(name)
    else this.#byName.set(name, null)
    this.#byId.delete(id)
  }

  *#names(): Iterable<string> {
    for (const log of this.#byId.values()) yield log.name
  }

  close(): void {
    this.latest.close()
    for (const log of this.#byId.values()) log.close()
    this.#byName.clear()
    this.#byId.clear()
  }
}

export function logExists(name: string): StratalogError {
  return new StratalogError(
    'log_exists',
    `There is a log '${name}' already. Open it with log('${name}').`,
    { details: { log: name } },
  )
}
