/**
 * What an engine knows of itself as SQL: `stratalog_logs()`, `stratalog_segments()` and `stratalog_snapshots()`. The
 * columns are part of the interface; docs/sql.md lists them.
 */
import { type Range, intersectRanges, rangeLength } from '../base/range.ts'
import { assert } from '../base/assert.ts'
import { createColumnBuilder } from '../format/column-builder.ts'
import { HEAP_BUFFERS } from '../format/growing-column.ts'
import type { LogDefinition, SegmentEntry } from '../format/manifest.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import type { ColumnType, Schema } from '../format/schema.ts'
import { recordsIn, recordsWithin } from '../format/segment-entry.ts'
import type { TableColumn } from './table-columns.ts'

export interface LogFacts {
  readonly definition: LogDefinition
  readonly partitions: readonly PartitionFacts[]
}

export interface PartitionFacts {
  readonly partition: number
  readonly startOffset: number
  readonly endOffset: number
  /** Offsets that nothing holds, in order; some may lie outside. */
  readonly gaps: readonly Range[]
  /** Those that hold some of the offsets, in order. */
  readonly segments: Iterable<SegmentEntry> & { readonly length: number }
}

export interface SnapshotFacts {
  readonly name: string
  readonly id: string
  /** ISO 8601, UTC. */
  readonly time: string
  readonly logs: readonly {
    readonly name: string
    readonly partitions: readonly {
      readonly partition: number
      readonly startOffset: number
      readonly endOffset: number
    }[]
  }[]
  readonly bytes: number
  readonly newBytes: number
}

/** A table as a statement has it: called like a function without arguments. */
export interface InformationTable {
  readonly name: string
  readonly columns: readonly TableColumn[]
  readonly rowCount: number
  readonly rows: () => RecordBatch
}

type InfoRow = Readonly<Record<string, unknown>>

const RANGES = 'partition:int32,start_offset:int64,end_offset:int64'

const LOG_COLUMNS = {
  name: 'utf8',
  id: 'int64',
  mode: 'utf8',
  partitions: 'int32',
  time_column: 'utf8',
  key_column: 'utf8',
  created_at: 'timestamp[us]',
  records: 'int64',
  segments: 'int64',
  bytes: 'int64',
  ranges: `list<struct<${RANGES}>>`,
  policy: 'json',
} as const

const SEGMENT_COLUMNS = {
  log: 'utf8',
  partition: 'int32',
  start_offset: 'int64',
  end_offset: 'int64',
  records: 'int64',
  format: 'utf8',
  bytes: 'int64',
  raw_bytes: 'int64',
  time_min: 'timestamp[us]',
  time_max: 'timestamp[us]',
  appended_min: 'timestamp[us]',
  appended_max: 'timestamp[us]',
  disk_file: 'utf8',
  object_key: 'utf8',
  sha256: 'utf8',
} as const

const SNAPSHOT_COLUMNS = {
  name: 'utf8',
  id: 'utf8',
  time: 'timestamp[us]',
  records: 'int64',
  bytes: 'int64',
  new_bytes: 'int64',
  ranges: `list<struct<log:utf8,${RANGES}>>`,
} as const

const LOGS = 'stratalog_logs'
const SEGMENTS = 'stratalog_segments'
const SNAPSHOTS = 'stratalog_snapshots'

/** Whether a statement of these words may ask for logs or segments. */
export function namesLogFacts(words: ReadonlySet<string>): boolean {
  return words.has(LOGS) || words.has(SEGMENTS)
}

export function namesSnapshots(words: ReadonlySet<string>): boolean {
  return words.has(SNAPSHOTS)
}

/** The tables that words of a statement name. Rows are made when they are asked for, of what there is now. */
export function informationTables(
  words: ReadonlySet<string>,
  logFacts: () => readonly LogFacts[],
  snapshots: readonly SnapshotFacts[],
): readonly InformationTable[] {
  const logs = namesLogFacts(words) ? logFacts() : []
  const tables = [
    table(LOGS, LOG_COLUMNS, logs.length, () => logs.map(logRow)),
    table(SEGMENTS, SEGMENT_COLUMNS, segmentCount(logs), () => logs.flatMap(segmentRows)),
    table(SNAPSHOTS, SNAPSHOT_COLUMNS, snapshots.length, () => snapshots.map(snapshotRow)),
  ]
  return tables.filter(({ name }) => words.has(name))
}

function table<Columns extends Readonly<Record<string, ColumnType>>>(
  name: string,
  types: Columns,
  rowCount: number,
  rows: () => readonly Readonly<Record<keyof Columns, unknown>>[],
): InformationTable {
  const fields = Object.entries(types).map(([column, type]) => ({
    name: column,
    type,
    nullable: true,
  }))
  const columns = fields.map((field): TableColumn => ({
    name: field.name,
    origin: { kind: 'field', field },
  }))
  return { name, columns, rowCount, rows: () => batchOf({ id: 0, fields }, rows()) }
}

function batchOf(schema: Schema, rows: readonly InfoRow[]): RecordBatch {
  const columns = schema.fields.map(({ name, type }) => {
    const builder = createColumnBuilder(type, HEAP_BUFFERS)
    for (const row of rows)
      assert(builder.push(row[name]) === 'ok', `${name} takes what is known of it`)
    return builder.slice(0, rows.length)
  })
  const times = { appendTimeMin: 0, appendTimeMax: 0 }
  return { schema, baseOffset: 0, length: rows.length, columns, ...times }
}

function segmentCount(logs: readonly LogFacts[]): number {
  return sum(logs, ({ partitions }) => sum(partitions, ({ segments }) => segments.length))
}

function logRow({ definition, partitions }: LogFacts): Record<keyof typeof LOG_COLUMNS, unknown> {
  const segments = partitions.flatMap((partition) => [...partition.segments])
  return {
    name: definition.name,
    id: definition.id,
    mode: definition.policy.mode,
    partitions: definition.partitions,
    time_column: definition.timeColumn,
    key_column: definition.keyColumn,
    created_at: micros(definition.createdAt),
    records: sum(partitions, recordCount),
    segments: segments.length,
    bytes: sum(segments, ({ length }) => length),
    ranges: partitions.map(rangeRow),
    policy: definition.policy,
  }
}

function segmentRows({
  definition,
  partitions,
}: LogFacts): readonly Record<keyof typeof SEGMENT_COLUMNS, unknown>[] {
  return partitions.flatMap(({ partition, segments }) =>
    Array.from(segments, (segment) => ({
      log: definition.name,
      partition,
      start_offset: segment.baseOffset,
      end_offset: segment.endOffset,
      records: recordsIn(segment),
      format: segment.format,
      bytes: segment.length,
      raw_bytes: segment.rawBytes,
      time_min: micros(segment.timeMin),
      time_max: micros(segment.timeMax),
      appended_min: micros(segment.appendTimeMin),
      appended_max: micros(segment.appendTimeMax),
      disk_file: segment.disk?.object ?? null,
      object_key: segment.object?.object ?? null,
      sha256: segment.sha256,
    })),
  )
}

function snapshotRow(snapshot: SnapshotFacts): Record<keyof typeof SNAPSHOT_COLUMNS, unknown> {
  const ranges = snapshot.logs.flatMap(({ name, partitions }) =>
    partitions.map((partition) => ({ log: name, ...rangeRow(partition) })),
  )
  return {
    name: snapshot.name,
    id: snapshot.id,
    time: micros(Date.parse(snapshot.time)),
    records: sum(ranges, (range) => range.end_offset - range.start_offset),
    bytes: snapshot.bytes,
    new_bytes: snapshot.newBytes,
    ranges,
  }
}

function rangeRow({
  partition,
  startOffset,
  endOffset,
}: Pick<PartitionFacts, 'partition' | 'startOffset' | 'endOffset'>): {
  readonly partition: number
  readonly start_offset: number
  readonly end_offset: number
} {
  return { partition, start_offset: startOffset, end_offset: endOffset }
}

function recordCount({ startOffset, endOffset, gaps, segments }: PartitionFacts): number {
  const range = { start: startOffset, end: endOffset }
  const missing = sum(gaps, (gap) => {
    const inside = intersectRanges(gap, range)
    return inside === null ? 0 : rangeLength(inside)
  })
  const compacted = sum(segments, (segment) => {
    if (segment.sparse === undefined) return 0
    const inside = intersectRanges({ start: segment.baseOffset, end: segment.endOffset }, range)
    if (inside === null) return 0
    return rangeLength(inside) - recordsWithin(segment, inside.start, inside.end)
  })
  return rangeLength(range) - missing - compacted
}

/** Null for what there is not, as the times of a segment without any. */
function micros(ms: number): bigint | null {
  return Number.isFinite(ms) ? BigInt(Math.floor(ms)) * 1000n : null
}

function sum<T>(items: Iterable<T>, valueOf: (item: T) => number): number {
  let total = 0
  for (const item of items) total += valueOf(item)
  return total
}
