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
import { StratalogError } from '../base/errors.ts'
import type { Range } from '../base/range.ts'
import { APPEND_BYTES_MAX, APPEND_ROWS_MAX } from '../format/limits.ts'
import type { AckLevel, LogDefinition, StoragePolicy } from '../format/manifest.ts'
import { mergeFields, sameFields, storedSchema, userFields } from '../format/schema-evolution.ts'
import { type Row, inferFields } from '../format/schema-inference.ts'
import { type Schema, STAMPED_TIME_COLUMN, timestampUnit } from '../format/schema.ts'
import {
  appendPayloadBytes,
  encodeSchemaPayload,
  writeAppendPayload,
} from '../format/wal-payload.ts'
import type { AckQueue } from './ack-queue.ts'
import type { HotBatch } from './hot-batch.ts'
import type { LogView } from './log-view.ts'
import type { Partition } from './partition.ts'
import {
  type ColumnInput,
  appendTooLarge,
  explainMismatch,
  pushColumns,
  pushRows,
} from './row-appender.ts'
import type { Wal } from './wal.ts'

export interface RowInput {
  readonly kind: 'rows'
  readonly rows: readonly Row[]
}

export type AppendInput = RowInput | ({ readonly kind: 'columns' } & ColumnInput)

/** Where an append landed: `count` records at `[offset, offset + count)` of one partition. */
export interface AppendResult {
  readonly partition: number
  readonly offset: number
  readonly count: number
}

export interface LiveLogPorts {
  /** Null for an engine without a data directory. */
  readonly wal: Wal | null
  readonly acks: AckQueue
}

/** What an append came to in its synchronous stretch; `acked` is null when it is acknowledged already. */
interface Applied {
  readonly result: AppendResult
  readonly acked: Promise<void> | null
}

/** Of an append that is in no WAL. */
const NO_LSNS = { start: Infinity, end: Infinity }

export class LiveLog {
  // Fixed at construction.
  readonly partitions: readonly Partition[]
  /**
   * How many of the schemas came from the manifest; those after them may be in the WAL only, and not yet durable there.
   */
  readonly givenSchemas: number
  readonly #ports: LiveLogPorts

  // Owned by the append loop.
  #definition: LogDefinition
  #schemas: Schema[]
  #nextPartition = 0
  #isApplying = false

  constructor(
    definition: LogDefinition,
    schemas: readonly Schema[],
    partitions: readonly Partition[],
    ports: LiveLogPorts,
  ) {
    this.#definition = definition
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
   * Appends, and resolves once `ack` is reached. All of the input or nothing is applied.
   * @throws StratalogError `schema_mismatch`, `record_invalid`, `record_too_large`, `append_too_large`, and the failure
   * of the WAL (`disk_failed`, `disk_full`), after which the fate of the append is unknown.
   */
  async append(
    partition: Partition,
    input: AppendInput,
    ack: AckLevel,
    appendTime: number,
  ): Promise<AppendResult> {
    assertSize(input)
    // Others may append while this waits, so look again until there is room in this very stretch.
    for (let room = this.#backpressure; room !== null; room = this.#backpressure) await room
    if (this.#isApplying) {
      throw new StratalogError(
        'record_invalid',
        `A record that is being appended to '${this.name}' cannot append to it.`,
      )
    }
    this.#isApplying = true
    let applied: Applied
    try {
      applied = partition.staging(() => this.#apply(partition, input, ack, appendTime))
    } finally {
      this.#isApplying = false
    }
    const { result, acked } = applied
    if (acked !== null) await acked
    return result
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
    facts: { appendTime: number; lsn: number },
  ): void {
    const batch = partition.openBatch(schema)
    pushColumns(batch, columns, facts.appendTime)
    partition.applied(batch.commit(facts), false)
  }

  setPolicy(policy: StoragePolicy): void {
    this.#definition = { ...this.#definition, policy }
    for (const partition of this.partitions) partition.setAck(policy.ack)
  }

  close(): void {
    for (const partition of this.partitions) partition.close()
  }

  get #backpressure(): Promise<void> | null {
    return this.hasWal ? (this.#ports.wal?.backpressure ?? null) : null
  }

  /** Stages, logs and commits in one synchronous stretch. */
  #apply(partition: Partition, input: AppendInput, ack: AckLevel, appendTime: number): Applied {
    const { batch, schema, isNew } = this.#stage(partition, input, appendTime)
    if (!this.hasWal && batch.bytes > APPEND_BYTES_MAX) assertStagedBytes(partition, batch)
    const offset = partition.nextOffset
    const lsns = this.hasWal
      ? this.#logFrames(partition, batch, isNew ? schema : null, appendTime)
      : NO_LSNS
    if (isNew) this.#schemas.push(schema)
    const count = batch.commit({ appendTime, lsn: lsns.start })
    partition.applied(count, this.hasWal)
    const acked = this.hasWal
      ? this.#ports.acks.add(lsns.end, partition, offset + count, ack !== 'memory')
      : null
    return { result: { partition: partition.partition, offset, count }, acked }
  }

  /** Writes the staged rows to the WAL, after their schema where it is new; on failure nothing is staged any more. */
  #logFrames(
    partition: Partition,
    batch: HotBatch,
    newSchema: Schema | null,
    appendTime: number,
  ): { start: number; end: number } {
    const wal = present(this.#ports.wal, 'a log with a WAL has one')
    const start = batch.length
    const end = batch.builders[0]?.length ?? start
    const columns = batch.builders.map((builder) => builder.slice(0, end))
    const length = appendPayloadBytes(columns, start, end)
    const fields = { logId: this.id, partition: partition.partition, appendTime }
    const startLsn = wal.appendedLsn
    try {
      if (length > APPEND_BYTES_MAX) throw appendTooLarge(length)
      if (newSchema !== null) {
        const payload = encodeSchemaPayload(newSchema)
        wal.append(
          { ...fields, kind: 'schema', baseOffset: 0, recordCount: 0 },
          payload.length,
          (into, position) => {
            into.set(payload, position)
          },
        )
      }
      const frame = {
        ...fields,
        kind: 'append',
        baseOffset: partition.nextOffset,
        recordCount: end - start,
      } as const
      const endLsn = wal.append(frame, length, (into, position) => {
        writeAppendPayload(into, position, batch.schema.id, columns, start, end)
      })
      return { start: startLsn, end: endLsn }
    } catch (error) {
      partition.discardStaged(batch)
      throw error
    }
  }

  /** Puts the input behind the committed rows of a batch of a schema that holds it. */
  #stage(
    partition: Partition,
    input: AppendInput,
    appendTime: number,
  ): { batch: HotBatch; schema: Schema; isNew: boolean } {
    const current = this.schema
    if (input.kind === 'columns') return this.#stageColumns(partition, input, appendTime, current)
    if (current !== null) {
      const batch = partition.openBatch(current)
      if (pushRows(batch, input.rows, appendTime) === 'ok')
        return { batch, schema: current, isNew: false }
    }
    const fields = inferFields(input.rows, current, this.#definition.timeColumn)
    const schema = this.#nextSchema(fields)
    const batch = partition.openBatch(schema)
    if (current !== null && schema.id === current.id)
      throw explainMismatch(input.rows, schema, batch)
    try {
      if (pushRows(batch, input.rows, appendTime) !== 'ok')
        throw explainMismatch(input.rows, schema, batch)
    } catch (error) {
      partition.discardStaged(batch)
      throw error
    }
    return { batch, schema, isNew: true }
  }

  #stageColumns(
    partition: Partition,
    input: ColumnInput,
    appendTime: number,
    current: Schema | null,
  ): { batch: HotBatch; schema: Schema; isNew: boolean } {
    const given = input.fields.filter((field) => field.name !== STAMPED_TIME_COLUMN)
    const schema = this.#nextSchema(
      mergeFields(current === null ? null : userFields(current), given),
    )
    const batch = partition.openBatch(schema)
    try {
      pushColumns(batch, input, appendTime)
    } catch (error) {
      partition.discardStaged(batch)
      throw error
    }
    return { batch, schema, isNew: schema.id !== current?.id }
  }

  /** The current schema when it has these fields, else the next one. */
  #nextSchema(fields: Schema['fields']): Schema {
    const current = this.schema
    if (current !== null && sameFields(userFields(current), fields)) return current
    const { timeColumn, keyColumn } = this.#definition
    for (const [role, name] of Object.entries({ timeColumn, keyColumn })) {
      if (name !== null && !fields.some((field) => field.name === name)) {
        throw new StratalogError(
          'schema_mismatch',
          `The first records of '${this.name}' lack ${role} '${name}'.`,
          {
            details: { log: this.name, column: name },
          },
        )
      }
    }
    return storedSchema(this.#schemas.length, withTimeColumn(fields, timeColumn), timeColumn)
  }
}

/** A time column is of times and is never null: every record has its place in time. */
function withTimeColumn(fields: Schema['fields'], timeColumn: string | null): Schema['fields'] {
  return fields.map((field) => {
    if (field.name !== timeColumn) return field
    if (timestampUnit(field.type) === null) {
      throw new StratalogError(
        'schema_mismatch',
        `Column ${JSON.stringify(field.name)} is the time column and needs to be a timestamp; got ${field.type}.`,
        { details: { column: field.name, expected: 'timestamp[ms]', given: field.type } },
      )
    }
    return { ...field, nullable: false }
  })
}

/** What fits no WAL frame fits no block of a segment either; a log without a WAL would not be told otherwise. */
function assertStagedBytes(partition: Partition, batch: HotBatch): void {
  const start = batch.length
  const end = batch.builders[0]?.length ?? start
  const columns = batch.builders.map((builder) => builder.slice(0, end))
  const bytes = appendPayloadBytes(columns, start, end)
  if (bytes <= APPEND_BYTES_MAX) return
  partition.discardStaged(batch)
  throw appendTooLarge(bytes)
}

function assertSize(input: AppendInput): void {
  const count = input.kind === 'rows' ? input.rows.length : input.length
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new StratalogError(
      'argument_invalid',
      `An append has a whole number of records; got ${String(count)}.`,
    )
  }
  if (count === 0)
    throw new StratalogError('argument_invalid', 'An append needs at least one record; got none.')
  if (count > APPEND_ROWS_MAX) {
    throw new StratalogError(
      'append_too_large',
      `One append takes at most ${APPEND_ROWS_MAX} records; got ${count}. Split it.`,
      { details: { count, limit: APPEND_ROWS_MAX } },
    )
  }
}
