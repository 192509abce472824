/**
 * One log of a running engine: its schema, its partitions, and the only way in.
 *
 * Invariants:
 * - rows are staged behind the committed ones of the open batch, written to the WAL, and committed in one synchronous
 *   stretch; what fails on the way leaves no trace, in RAM or in the WAL;
 * - a schema is in the WAL before the first frame that uses it, and in the manifest before the WAL lets go of that
 *   frame.
 */
import { assert, present } from '../base/assert.ts'
import { StratalogError, rejected, throwIfAborted } from '../base/errors.ts'
import type { Range } from '../base/range.ts'
import { APPEND_BYTES_MAX } from '../format/limits.ts'
import type { AckLevel, LogDefinition, StoragePolicy } from '../format/manifest.ts'
import { type Producer, encodeProducer } from '../format/producer.ts'
import { storedSchema } from '../format/schema-evolution.ts'
import { type Schema, STAMPED_TIME_COLUMN } from '../format/schema.ts'
import { appendPayloadBytes, limitedPayloadBytes } from '../format/wal-payload.ts'
import type { AckQueue } from './ack-queue.ts'
import type { AlteredPolicy } from './altered-policy.ts'
import { type AppendInput, assertSize, inputLength, leastBytes } from './append-input.ts'
import type { Append, AppendTerms } from './append-terms.ts'
import { DEFAULT_TERMS, assertExpected, assertStillFits } from './append-terms.ts'
import type { AppendFacts, HotBatch } from './hot-batch.ts'
import { NO_STAMP, logRows, logSchema, rowsOf } from './log-rows.ts'
import type { LogView } from './log-view.ts'
import { type Patience, assertHeld, flushedTo, isOnlyInRam } from './only-in-ram.ts'
import type { Partition } from './partition.ts'
import type { KnownAppend } from './producer-table.ts'
import { type ColumnInput, appendTooLarge, pushColumns, pushRow } from './row-appender.ts'
import { BudgetExceeded } from './slab-pool.ts'
import { stageInput } from './stage-input.ts'
import { type Staged, assertStagedBytes, discardStaged, stagedColumns } from './staged.ts'
import { TURN_BYTES_MAX, TurnRows } from './turn-rows.ts'
import type { Wal } from './wal.ts'

/** Where an append landed: `count` records at `[offset, offset + count)` of one partition. */
export interface AppendResult {
  readonly partition: number
  readonly offset: number
  readonly count: number
  /** There and true for an append of a producer that was applied before: nothing was applied now. */
  readonly isDuplicate?: true
}

export interface LiveLogPorts {
  /** Null for an engine without a data directory. */
  readonly wal: Wal | null
  readonly acks: AckQueue<Partition>
  /** Null where memory has no limit, as in recovery. */
  readonly room: MemoryRoom | null
}

/** Where an append that found memory full gets room. */
export interface MemoryRoom {
  /**
   * Reclaims what can be at once, for an append that takes `least` bytes or more and lacked `bytes`; whether it is
   * worth trying again. @throws StratalogError `append_too_large`.
   */
  makeRoom(log: LiveLog, bytes: number, least: number): boolean
  /** Resolves when it is worth trying again. @throws StratalogError `memory_full`, `aborted`. */
  waitForRoom(log: LiveLog, bytes: number, signal: AbortSignal | undefined): Promise<void>
  /** Of who waits for records of the log to come to the disk. */
  patienceFor(log: LiveLog): Patience
}

/** An append that was given room this often without a wait, and still did not fit, waits. */
const ROOM_TRIES_MAX = 3

export class LiveLog {
  // Fixed at construction.
  readonly partitions: readonly Partition[]
  /**
   * How many of the schemas came from the manifest; those after them may be in the WAL only, and not yet durable there.
   */
  readonly givenSchemas: number
  readonly #ports: LiveLogPorts

  // Changed by `alter` only.
  #definition: LogDefinition
  #altering: Promise<void> | null = null
  /** Whether the WAL may have frames of it: it has one, had one in this life, or recovery has found some. */
  usesWal: boolean

  // Owned by the append loop.
  #schemas: Schema[]
  /** Where the frames end of the schemas behind the given ones, by their order. */
  #schemaLsns: number[] | null = null
  #nextPartition = 0
  #isApplying = false
  readonly #turnRows = new TurnRows()

  constructor(
    definition: LogDefinition,
    schemas: readonly Schema[],
    partitions: readonly Partition[],
    ports: LiveLogPorts,
  ) {
    this.#definition = definition
    this.usesWal = definition.policy.wal
    this.#schemas = [...schemas]
    this.givenSchemas = schemas.length
    this.partitions = partitions
    this.#ports = ports
  }

  get definition(): LogDefinition {
    return this.#definition
  }
  get id(): number {
    return this.#definition.id
  }
  get name(): string {
    return this.#definition.name
  }
  get policy(): StoragePolicy {
    return this.#definition.policy
  }
  get schemas(): readonly Schema[] {
    return this.#schemas
  }
  /** The newest schema; null before the first append of a log that was created without one. */
  get schema(): Schema | null {
    return this.#schemas.at(-1) ?? null
  }
  /** The name of the column that holds each record's time. */
  get timeColumn(): string {
    return this.#definition.timeColumn ?? STAMPED_TIME_COLUMN
  }
  get hasWal(): boolean {
    return this.policy.wal && this.#ports.wal !== null
  }

  /** Why it takes no appends any more, and is read no further; null while it is there. */
  get closed(): StratalogError | null {
    return this.partitions[0]?.closed ?? null
  }
  /** Why its records and its policy stay as they are; null while they need not. */
  get refusal(): StratalogError | null {
    return this.partitions[0]?.refusal ?? null
  }
  /** Resolves when a change of the policy is done; null when there is none. */
  get altering(): Promise<void> | null {
    return this.#altering
  }

  /** @throws StratalogError `partition_not_found`. */
  partition(number: number): Partition {
    const partition = this.partitions[number]
    if (partition !== undefined) return partition
    throw new StratalogError(
      'partition_not_found',
      `Log '${this.name}' has partitions 0 to ${this.partitions.length - 1}; there is no partition ${number}.`,
      { details: { log: this.name, partition: number, partitions: this.partitions.length } },
    )
  }

  /** The partition for an append that names none: the next one in turn. */
  nextPartition(): Partition {
    const partition = present(this.partitions[this.#nextPartition], 'a partition')
    this.#nextPartition = (this.#nextPartition + 1) % this.partitions.length
    return partition
  }

  /**
   * Appends, and resolves once `ack` is reached. All of the input or nothing is applied; what needs no waiting is
   * applied before the promise is returned.
   * @throws through the promise StratalogError `schema_mismatch`, `record_invalid`, `record_too_large`,
   * `append_too_large`, `memory_full`, `aborted`, those of `assertExpected` and `ProducerTable.find`, and of the WAL
   * (`disk_full`, `disk_read_only`, `disk_failed`, `disk_stuck`, `writer_fenced`), whose `details.fate` says what
   * became of the append.
   */
  append(
    partition: Partition,
    input: AppendInput,
    ack: AckLevel,
    appendTime: number,
    terms: AppendTerms = DEFAULT_TERMS,
  ): Promise<AppendResult> {
    let exceeded: BudgetExceeded | null = null
    try {
      assertSize(input)
      if (this.#backpressure === null)
        return this.#appendNow(partition, input, ack, appendTime, terms)
    } catch (error) {
      if (!(error instanceof BudgetExceeded)) return rejected(error)
      exceeded = error
    }
    return this.#appendLater({ partition, input, ack, appendTime, terms }, exceeded)
  }

  /**
   * Appends one record as `append` does. Null, with nothing applied, where more than the record itself would have to be
   * looked at: then `append` takes it. A single append spends its time in layers, not on its bytes, so this way has as
   * few as there can be.
   * @throws what a getter of the record throws and the failure of the WAL, with nothing applied.
   */
  appendRow(
    partition: Partition,
    row: object,
    ack: AckLevel,
    appendTime: number,
  ): Promise<AppendResult> | null {
    const batch = partition.batchForRow(this.schema)
    if (batch === null || this.#isApplying || this.#backpressure !== null) return null
    partition.beginStaging()
    this.#isApplying = true
    try {
      const { hasWal } = this
      if (!pushRow(batch, row, appendTime, hasWal ? TURN_BYTES_MAX : APPEND_BYTES_MAX)) return null
      const offset = partition.nextOffset
      const lsn = hasWal ? this.#turnRows.add(this.#wal, partition, batch, appendTime) : Infinity
      batch.commitRow(appendTime)
      partition.applied(1, hasWal)
      const result = { partition: partition.partition, offset, count: 1 }
      return hasWal ? this.#acknowledge(lsn, partition, ack, result) : Promise.resolve(result)
    } catch (error) {
      batch.rollback()
      if (error instanceof BudgetExceeded) return null
      throw error
    } finally {
      this.#isApplying = false
      partition.endStaging()
    }
  }

  /** A pinned view of every partition, or of `ranges` by partition; the caller releases it. */
  view(ranges?: ReadonlyMap<number, Range>): LogView {
    const pinned = this.partitions.map((partition) => {
      const range = ranges?.get(partition.partition)
      return ranges !== undefined && range === undefined
        ? partition.view({ start: 0, end: 0 })
        : partition.view(range)
    })
    let isReleased = false
    return {
      definition: this.#definition,
      schema: this.schema ?? storedSchema(0, [], this.#definition.timeColumn),
      schemas: [...this.#schemas],
      partitions: pinned.map(({ view }) => view),
      release: () => {
        assert(!isReleased, 'a view is released once')
        isReleased = true
        for (const { release } of pinned) release()
      },
    }
  }

  /** Recovery and replay: takes a schema that was logged before. Known ids are passed over. */
  restoreSchema(schema: Schema): void {
    if (schema.id < this.#schemas.length) return
    assert(schema.id === this.#schemas.length, 'schema ids count up by one')
    this.#schemas.push(schema)
  }

  /** Recovery and replay: takes records that have their offsets and times already. Nothing is written to the WAL. */
  restoreColumns(
    partition: Partition,
    schema: Schema,
    columns: ColumnInput,
    facts: { appendTime: number; lsn: number; isDurable: boolean },
  ): void {
    partition.logMemory.withoutLimit(() => {
      const batch = partition.openBatch(schema)
      pushColumns(batch, columns, facts.appendTime)
      const count = batch.commit({ ...facts, expiresAt: Infinity, priority: 0 })
      partition.applied(count, !facts.isDurable)
    })
  }

  /** The schemas that are in no WAL below `lsn`, nor came from the manifest. */
  schemasAbove(lsn: number): readonly Schema[] {
    return this.#schemas
      .slice(this.givenSchemas)
      .filter((_, index) => (this.#schemaLsns?.[index] ?? 0) > lsn)
  }

  /** Writes a schema to the WAL, before the first frame that uses it. */
  logSchema(schema: Schema, appendTime: number): void {
    const lsn = logSchema(this.#wal, this.id, schema, appendTime)
    this.#schemaLsns ??= []
    this.#schemaLsns[schema.id - this.givenSchemas] = lsn
  }

  /** Writes records that are in RAM, and in no WAL any more, to the WAL. Returns the LSN that they end at. */
  logAgain(partition: Partition, from: number, to: number): number {
    const batch = present(partition.batchAt(from), 'what is logged again is in RAM')
    return logRows(this.#wal, rowsOf(partition, batch, from, to))
  }

  /**
   * Changes the policy. Nothing is appended while `commit` makes the change durable, and what it returns holds from
   * then on. Changes of one log come one after the other. @throws what `commit` throws; then nothing has changed here.
   */
  async alter(commit: () => Promise<AlteredPolicy>): Promise<void> {
    while (this.#altering !== null) await this.#altering
    if (this.closed !== null) throw this.closed
    const gate = Promise.withResolvers<void>()
    this.#altering = gate.promise
    try {
      // An append whose getter asked for this ends first.
      await Promise.resolve()
      const { policy, isDenseFromHere, isOwed } = await commit()
      this.#definition = { ...this.#definition, policy }
      this.usesWal ||= policy.wal
      for (const partition of this.partitions) {
        partition.logMemory.setBudget(policy.maxMemoryBytes, policy.evictionWatermark)
        partition.setLevel(policy.ack, isDenseFromHere)
        if (isOwed) partition.owe()
      }
    } finally {
      this.#altering = null
      gate.resolve()
    }
  }

  /** Appends are refused with `reason` from here on, those that wait too. */
  close(reason: StratalogError = new StratalogError('engine_closed', 'The log is closed.')): void {
    for (const partition of this.partitions) partition.close(reason)
  }

  get #wal(): Wal {
    return present(this.#ports.wal, 'a log with a WAL has one')
  }

  get #backpressure(): Promise<void> | null {
    if (this.#altering !== null) return this.#altering
    return this.hasWal ? (this.#ports.wal?.backpressure ?? null) : null
  }

  /** What `append` does once nothing stands in the way; everything it throws leaves no trace. */
  #appendNow(
    partition: Partition,
    input: AppendInput,
    ack: AckLevel,
    appendTime: number,
    terms: AppendTerms,
  ): Promise<AppendResult> {
    if (this.#isApplying) {
      throw new StratalogError(
        'record_invalid',
        `A record that is being appended to '${this.name}' cannot append to it.`,
      )
    }
    if (partition.refusal !== null) throw partition.refusal
    const { producer } = terms
    if (producer !== undefined) {
      const known = partition.producers.find(producer, inputLength(input), appendTime)
      if (known !== null) return this.#acknowledgeAgain(partition, known, ack)
    }
    assertExpected(this.#definition, partition, terms.expectedOffset)
    const refusal = this.hasWal ? this.#wal.failure : null
    if (refusal !== null) throw refusal
    if (this.hasWal) this.#wal.endOpen()
    partition.beginStaging()
    this.#isApplying = true
    try {
      const facts = {
        appendTime,
        lsn: this.hasWal ? this.#wal.appendedLsn : Infinity,
        expiresAt: terms.expiresAt,
        priority: terms.priority,
      }
      return this.#publish(
        partition,
        stageInput(this.#definition, this.schema, partition, input, facts),
        ack,
        facts,
        producer,
      )
    } finally {
      this.#isApplying = false
      partition.endStaging()
    }
  }

  /** Waits for the WAL and for memory. Others may append meanwhile, so it looks again until there is room. */
  async #appendLater(append: Append, exceeded: BudgetExceeded | null): Promise<AppendResult> {
    const { room } = this.#ports
    const { signal } = append.terms
    const least = exceeded === null ? 0 : leastBytes(append.input)
    for (let tries = 0, lack = exceeded; ; tries++) {
      if (lack !== null) {
        if (room === null) throw lack
        const isWorthIt = tries < ROOM_TRIES_MAX && room.makeRoom(this, lack.bytes, least)
        if (!isWorthIt) await room.waitForRoom(this, lack.bytes, signal)
      }
      for (let wait = this.#backpressure; wait !== null; wait = this.#backpressure) await wait
      throwIfAborted(signal)
      assertStillFits(this.definition, append.ack, append.terms)
      try {
        const { partition, input, ack, appendTime, terms } = append
        return await this.#appendNow(partition, input, ack, appendTime, terms)
      } catch (error) {
        if (!(error instanceof BudgetExceeded)) throw error
        lack = error
      }
    }
  }

  /** Logs what is staged, and lets readers see it. */
  #publish(
    partition: Partition,
    staged: Staged,
    ack: AckLevel,
    facts: AppendFacts,
    producer: Producer | undefined,
  ): Promise<AppendResult> {
    const { batch, schema, isNew, isAdopted } = staged
    const offset = partition.nextOffset
    const { hasWal } = this
    if (!hasWal && batch.bytes > APPEND_BYTES_MAX) assertStagedBytes(partition, staged)
    const endLsn = hasWal
      ? this.#logFrames(partition, staged, facts.appendTime, producer)
      : Infinity
    const count = isAdopted ? batch.length : this.#commit(partition, batch, facts)
    if (isAdopted) partition.addAdopted(batch)
    if (isNew) this.#schemas.push(schema)
    if (producer !== undefined)
      partition.producers.note(producer, { offset, count }, facts.appendTime)
    partition.applied(count, hasWal)
    const result = { partition: partition.partition, offset, count }
    return hasWal ? this.#acknowledge(endLsn, partition, ack, result) : Promise.resolve(result)
  }

  #acknowledge(
    lsn: number,
    partition: Partition,
    ack: AckLevel,
    result: AppendResult,
  ): Promise<AppendResult> {
    const { acks } = this.#ports
    const end = result.offset + result.count
    if (ack !== 'memory') return acks.wait(lsn, partition, end, result)
    acks.note(lsn, partition, end)
    return Promise.resolve(result)
  }

  /** The first append may still be on its way to the disk: who waits for it waits as long. */
  #acknowledgeAgain(
    partition: Partition,
    { offset, count }: KnownAppend,
    ack: AckLevel,
  ): Promise<AppendResult> {
    const end = offset + count
    const result = { partition: partition.partition, offset, count, isDuplicate: true } as const
    const { wal, acks } = this.#ports
    if (ack === 'memory' || wal === null) return Promise.resolve(result)
    assertHeld(partition, offset, end)
    const isInRam = isOnlyInRam(partition, offset)
    if (!isInRam && end <= partition.durableEnd) return Promise.resolve(result)
    if (wal.failure !== null) throw wal.failure
    const patience = isInRam ? (this.#ports.room?.patienceFor(this) ?? null) : null
    if (isInRam) return flushedTo(partition, end, acks.failing, patience).then(() => result)
    // All that was appended so far is durable together.
    wal.endOpen()
    return acks.wait(wal.appendedLsn, partition, partition.nextOffset, result)
  }

  /** @throws BudgetExceeded where the terms of the rows find no room; with a WAL rows have none. */
  #commit(partition: Partition, batch: HotBatch, facts: AppendFacts): number {
    try {
      return batch.commit(facts)
    } catch (error) {
      partition.discardStaged()
      throw error
    }
  }

  /**
   * Writes the staged rows to the WAL, after their schema where it is new, and returns the LSN they end at; on failure
   * nothing is staged any more.
   */
  #logFrames(
    partition: Partition,
    staged: Staged,
    appendTime: number,
    producer: Producer | undefined,
  ): number {
    const { batch, schema } = staged
    const { start, end, columns } = stagedColumns(staged)
    try {
      const payloadBytes = appendPayloadBytes(columns, start, end)
      const stamp = producer === undefined ? NO_STAMP : encodeProducer(producer)
      const bytes = limitedPayloadBytes(columns, start, end, payloadBytes) + stamp.length
      if (bytes > APPEND_BYTES_MAX) throw appendTooLarge(bytes)
      if (staged.isNew) this.logSchema(schema, appendTime)
      const { logId, nextOffset: baseOffset } = partition
      const place = { logId, partition: partition.partition, baseOffset, appendTime }
      return logRows(this.#wal, { ...place, batch, columns, start, end, payloadBytes, stamp })
    } catch (error) {
      discardStaged(partition, staged)
      throw error
    }
  }
}
