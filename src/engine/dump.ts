/**
 * The whole state as JSON Lines, for debugging: a header, a line for each log, then the records, log by log. See
 * docs/api.md for the layout and how each type is written.
 *
 * Where every log ends is taken at one instant, when the dump is asked for; records that are appended after it are not
 * in it. Nothing is held from then on but the partition that is being written: what the engine lets go of before its
 * turn comes is a line that names the gap.
 */
import { isStratalogError, throwIfAborted } from '../base/errors.ts'
import { columnReader } from '../format/column-values.ts'
import type { ColumnData } from '../format/column.ts'
import type { LiveLog } from '../log/live-log.ts'
import type { OffsetGap } from '../log/view-reader.ts'
import { jsonValueReader } from '../query/result-values.ts'
import type { Batch } from './batch.ts'
import { NAMES, SIGNAL, assertOptions } from './check-arguments.ts'
import type { LogDescription } from './log-description.ts'
import type { Log } from './log.ts'
import type { ReadOptions } from './read-options.ts'
import type { RecordStream } from './record-stream.ts'
import type { PartitionStatus } from './status.ts'
import { PACKAGE_VERSION } from './version.ts'

export interface DumpOptions {
  /** Names of logs; default every log. */
  readonly logs?: readonly string[]
  readonly signal?: AbortSignal
}

/** A log that can be dumped, and where each of its partitions begins and ends at the instant of the dump. */
export interface DumpedLog {
  readonly description: LogDescription
  readonly partitions: readonly { readonly startOffset: number; readonly endOffset: number }[]
  read(options: ReadOptions): RecordStream
}

export interface DumpSource {
  readonly source: 'engine' | 'archive'
  /** ms since 1970. */
  readonly time: number
  readonly logs: readonly DumpedLog[]
}

/** Changes with the layout of the lines. */
const DUMP_FORMAT_VERSION = 1

/** The logs of a running engine, as they are in this very stretch. */
export function liveDumpSource(
  logs: Iterable<LiveLog>,
  time: number,
  open: (log: LiveLog) => Log,
): DumpSource {
  const dumped = [...logs].map((live) => {
    const log = open(live)
    return {
      description: log.describe(),
      partitions: live.partitions.map(({ startOffset, readableEnd }) => ({
        startOffset,
        endOffset: readableEnd,
      })),
      read: (options: ReadOptions) => log.read(options),
    }
  })
  return { source: 'engine', time, logs: dumped }
}

/** The logs of an archive, as it was when it was opened. */
export function archiveDumpSource(
  logs: Iterable<Pick<Log, 'name' | 'describe' | 'read'>>,
  time: number,
  partitionsOf: (name: string) => readonly PartitionStatus[] | undefined,
): DumpSource {
  const dumped = [...logs].map((log) => ({
    description: log.describe(),
    partitions: (partitionsOf(log.name) ?? []).map(({ startOffset, endOffset }) => ({
      startOffset,
      endOffset,
    })),
    read: (options: ReadOptions) => log.read(options),
  }))
  return { source: 'archive', time, logs: dumped }
}

/** Each text is one line with its line feed. @throws StratalogError `aborted`, and what reading throws. */
export async function* dumpLines(
  source: DumpSource,
  signal?: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  throwIfAborted(signal)
  yield headerLine(source)
  for (const log of source.logs) {
    throwIfAborted(signal)
    yield logLine(log)
  }
  for (const log of source.logs) {
    for (const [partition, { startOffset, endOffset }] of log.partitions.entries()) {
      if (endOffset > startOffset) yield* partitionLines(log, partition, signal)
    }
  }
}

/** @throws StratalogError `argument_invalid` for options that a dump does not know. */
export function checkDumpOptions(options: DumpOptions): DumpOptions {
  assertOptions(options, { logs: NAMES, signal: SIGNAL }, 'dump')
  return options
}

function headerLine({ source, time, logs }: DumpSource): string {
  const header = {
    type: 'header',
    format: 'stratalog-dump',
    formatVersion: DUMP_FORMAT_VERSION,
    version: PACKAGE_VERSION,
    source,
    time: new Date(time).toISOString(),
    logs: logs.length,
  }
  return `${JSON.stringify(header)}\n`
}

function logLine({ description, partitions }: DumpedLog): string {
  const { name, schema, policy, timeColumn, keyColumn } = description
  const line = {
    type: 'log',
    name,
    schema,
    policy,
    timeColumn,
    keyColumn,
    partitions: partitions.map((bounds, partition) => ({ partition, ...bounds })),
  }
  return `${JSON.stringify(line)}\n`
}

async function* partitionLines(
  log: DumpedLog,
  partition: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<string, void, undefined> {
  const { startOffset, endOffset } = log.partitions[partition] ?? { startOffset: 0, endOffset: 0 }
  const { name, schema } = log.description
  const gaps: OffsetGap[] = []
  let next = startOffset
  try {
    const stream = log.read({
      partition,
      from: startOffset,
      to: endOffset,
      columns: [...schema.map((field) => field.name), '_time'],
      // One that goes on behind the end is told whole.
      onGap: (gap) => gaps.push({ ...gap, to: Math.min(gap.to, endOffset) }),
      ...(signal === undefined ? {} : { signal }),
    })
    for await (const batch of stream) {
      for (const gap of gaps.splice(0)) yield gapLine(name, gap)
      yield* recordLines(name, batch)
      next = batch.baseOffset + batch.length
    }
  } catch (error) {
    // The other logs are there still.
    if (!isStratalogError(error) || error.code !== 'log_deleted') throw error
    if (next < endOffset) gaps.push({ partition, from: next, to: endOffset, cause: 'retired' })
  }
  for (const gap of gaps) yield gapLine(name, gap)
}

function gapLine(log: string, gap: OffsetGap): string {
  return `${JSON.stringify({ type: 'gap', log, ...gap })}\n`
}

/** The columns of the batch are the user's, then the time. */
function* recordLines(log: string, batch: Batch): Generator<string, void, undefined> {
  const head = `{"type":"record","log":${JSON.stringify(log)},"partition":${batch.partition},"offset":`
  const tier = `,"tier":"${batch.tier}","time":`
  const writers = batch.columns.map(valueWriter)
  const time = writers.pop()
  const keys = batch.fields
    .slice(0, -1)
    .map(({ name }, index) => `${index === 0 ? '' : ','}${JSON.stringify(name)}:`)
  for (let row = 0; row < batch.length; row++) {
    let record = ''
    for (let index = 0; index < writers.length; index++) {
      record += (keys[index] ?? '') + (writers[index]?.(row) ?? 'null')
    }
    yield `${head}${batch.baseOffset + row}${tier}${time?.(row) ?? 'null'},"record":{${record}}}\n`
  }
}

/** The JSON text of a column's values; with the type of the column, each value comes back as it was. */
function valueWriter(column: ColumnData): (row: number) => string {
  if (column.type !== 'json') {
    const read = jsonValueReader(column, '')
    return (row) => valueText(read(row))
  }
  // The text itself: parsed, whole numbers beyond 2^53 would lose digits. A line break in it is between tokens.
  const read = columnReader({ ...column, type: 'utf8' })
  return (row) => {
    const text = read(row)
    return typeof text === 'string' ? text.replace(/[\r\n]/g, ' ') : 'null'
  }
}

/** JSON of a value that has one. */
function valueText(value: unknown): string {
  // JSON has a name for this number, but the writer of JavaScript drops its sign.
  if (Object.is(value, -0)) return '-0'
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null)
  if (Array.isArray(value)) return `[${value.map(valueText).join(',')}]`
  const fields = Object.entries(value).map(
    ([name, field]) => `${JSON.stringify(name)}:${valueText(field)}`,
  )
  return `{${fields.join(',')}}`
}
