/**
 * The records of a table, block after block in the order of its sources: hot batches as they are, segments decoded one
 * block at a time. A block that the bounds exclude is not decoded, and of the others only the wanted columns are.
 */
import { present } from '../base/assert.ts'
import { StratalogError, isStratalogError } from '../base/errors.ts'
import { type ColumnData, bitmapBytes, columnBytes } from '../format/column.ts'
import { castColumn } from '../format/column-values.ts'
import type { Tier } from '../format/manifest.ts'
import { type Field, type Schema, fieldIndex } from '../format/schema.ts'
import { type BatchFacts, blockEnd } from '../format/segment.ts'
import { type OffsetRows, rowAt } from '../format/sparse-rows.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { OffsetSet } from '../log/offset-set.ts'
import type { SyncFileSystem } from '../storage/file-system.ts'
import type { BatchSource, RemoteBatchSource, ScanSource, SegmentFileSource } from './protocol.ts'
import type { ColumnCache } from './column-cache.ts'
import { isNeeded, timeRange } from './prune.ts'
import type { RemoteColumns } from './remote-columns.ts'
import type { ScanBounds } from './scan-bounds.ts'
import { SegmentFile } from './segment-file.ts'
import type { TableColumn } from './table-columns.ts'

/** Records with the wanted fields; rows `[start, end)` of it are the table's. */
export interface ScanBlock {
  /** The same for the same records in every scan of the query. */
  readonly id: string
  readonly tier: Tier
  readonly partition: number
  /** Of row 0. */
  readonly baseOffset: number
  /** By row; null where they follow one another. */
  readonly offsets: Float64Array | null
  readonly start: number
  readonly end: number
  /** Stored bytes that were read for it. */
  readonly bytes: number
  /** In the order of the wanted fields; null where the records have no such field. */
  readonly columns: readonly (ColumnData | null)[]
  /** A bit per row, from row 0 on: whether it is the newest of its key. Null where all rows are read. */
  readonly live: Uint8Array | null
}

export interface BlockRequest {
  readonly files: SyncFileSystem
  /** Null where no source is remote. */
  readonly remote: RemoteColumns | null
  readonly kept: ColumnCache
  readonly query: number
  readonly sources: readonly ScanSource[]
  readonly fields: readonly Field[]
  readonly columns: readonly TableColumn[]
  readonly bounds: readonly ScanBounds[] | null
}

export function* scanBlocks(request: BlockRequest): Generator<ScanBlock, void, undefined> {
  for (const source of request.sources) {
    if (source.kind === 'segment') yield* segmentBlocks(source, request)
    else if (source.kind === 'batch') yield batchBlock(source, source.batch, request.fields)
    else yield batchBlock(source, fetched(source, request), request.fields)
  }
}

/** Records of a batch, of which only the columns in `columns` are there. */
type BatchColumns = Pick<RecordBatch, 'schema' | 'baseOffset' | 'length' | 'columns'>

/** A batch with the wanted columns only. */
function fetched(source: RemoteBatchSource, { fields, remote }: BlockRequest): BatchColumns {
  const { schema, baseOffset, length } = source
  const wanted = schema.fields.filter((known) => fields.some(({ name }) => name === known.name))
  const positions = wanted.map(({ name }) => fieldIndex(schema, name))
  const columns = present(remote, 'where batches come from').columns(source, positions)
  return { schema: { ...schema, fields: wanted }, baseOffset, length, columns }
}

function batchBlock(
  source: BatchSource | RemoteBatchSource,
  batch: BatchColumns,
  fields: readonly Field[],
): ScanBlock {
  const columns = fields.map((field) => conformed(batch.schema, batch.columns, field))
  return {
    id: source.id,
    tier: 'memory',
    partition: source.partition,
    baseOffset: batch.baseOffset,
    offsets: null,
    start: 0,
    end: batch.length,
    bytes: columns.reduce((sum, column) => sum + (column === null ? 0 : columnBytes(column)), 0),
    columns,
    live:
      source.live === undefined
        ? null
        : OffsetSet.of(source.live).bitmap(batch.baseOffset, batch.baseOffset + batch.length),
  }
}

function* segmentBlocks(
  source: SegmentFileSource,
  request: BlockRequest,
): Generator<ScanBlock, void, undefined> {
  try {
    yield* fileBlocks(source, request)
  } catch (error) {
    throw located(error, source)
  }
}

/** Says of damage in which file it is and which records it costs. */
function located(error: unknown, source: SegmentFileSource): unknown {
  if (!isStratalogError(error) || error.kind !== 'corrupt') return error
  const { path, tier, partition, from, to } = source
  return new StratalogError(
    error.code,
    `${path}: ${error.message} It holds partition ${partition}, offsets [${from}, ${to}); a query bounded to other offsets can be answered.`,
    { details: { ...error.details, path, tier, partition, from, to } },
  )
}

function* fileBlocks(
  source: SegmentFileSource,
  request: BlockRequest,
): Generator<ScanBlock, void, undefined> {
  const file = SegmentFile.open(request.files, source)
  try {
    const { schema, batches } = file.facts
    const positions = request.fields.map((field) => fieldIndex(schema, field.name))
    const wanted = positions.filter((position) => position >= 0)
    const live = source.live === undefined ? null : OffsetSet.of(source.live)
    for (const [index, facts] of batches.entries()) {
      const from = Math.max(source.from, facts.baseOffset)
      const to = Math.min(source.to, blockEnd(facts))
      if (from >= to || !isBlockNeeded(facts, file.facts.timeColumn, request)) continue
      if (live?.count(from, to) === 0) continue
      const { batch, offsets } = keptBlock(file, index, wanted, source, request)
      const { baseOffset } = facts
      const rowOf = (offset: number): number =>
        offsets === null ? offset - baseOffset : rowAt(offsets, offset)
      const [start, end] = [rowOf(from), rowOf(to)]
      if (start >= end) continue
      yield {
        id: `${source.id}/${index}`,
        tier: source.tier,
        partition: source.partition,
        baseOffset,
        offsets,
        start,
        end,
        bytes: file.blockBytes(index, wanted),
        columns: request.fields.map((field) => conformed(batch.schema, batch.columns, field)),
        live: live === null ? null : liveRows(live, facts, offsets),
      }
    }
  } finally {
    file.close()
  }
}

/**
 * A block with the wanted columns only: those that are kept, and the others decoded; the offsets of a sparse one are
 * decoded each time.
 */
function keptBlock(
  file: SegmentFile,
  index: number,
  wanted: readonly number[],
  { content }: SegmentFileSource,
  { kept, query }: BlockRequest,
): { readonly batch: Pick<RecordBatch, 'schema' | 'columns'> } & Pick<OffsetRows, 'offsets'> {
  const { schema, sparse } = file.facts
  const nameOf = (column: number): string => `segment ${content}/${index}/${column}`
  const found = new Map<number, ColumnData>()
  for (const column of wanted) {
    const known = kept.take(nameOf(column), query)
    if (known !== null) found.set(column, known)
  }
  const missing = wanted.filter((column) => !found.has(column))
  const isRead = missing.length > 0 || sparse !== undefined
  const decoded = isRead ? file.readBlock(index, missing) : null
  for (const [place, column] of missing.entries()) {
    const data = present(decoded?.batch.columns[place], 'a decoded column')
    found.set(column, data)
    kept.keep(nameOf(column), data, query)
  }
  const fields = wanted.map((column) => present(schema.fields[column], 'a field'))
  const columns = wanted.map((column) => present(found.get(column), 'a column'))
  return { batch: { schema: { ...schema, fields }, columns }, offsets: decoded?.offsets ?? null }
}

/** A bit per row. */
function liveRows(
  live: OffsetSet,
  { baseOffset, length }: BatchFacts,
  offsets: Float64Array | null,
): Uint8Array {
  if (offsets === null) return live.bitmap(baseOffset, baseOffset + length)
  const all = live.bitmap(baseOffset, (offsets[length - 1] ?? baseOffset) + 1)
  const bits = new Uint8Array(bitmapBytes(length))
  for (const [row, offset] of offsets.entries()) {
    const bit = offset - baseOffset
    if ((((all[bit >> 3] ?? 0) >> (bit & 7)) & 1) === 1)
      bits[row >> 3] = (bits[row >> 3] ?? 0) | (1 << (row & 7))
  }
  return bits
}

/** The column of a field, widened where its records are of an older schema. */
function conformed(
  schema: Schema,
  columns: readonly ColumnData[],
  field: Field,
): ColumnData | null {
  const position = fieldIndex(schema, field.name)
  return position === -1 ? null : castColumn(present(columns[position], 'a column'), field.type)
}

/** Whether rows of a block can pass the bounds. */
export function isBlockNeeded(
  facts: BatchFacts,
  timeColumn: string,
  request: Pick<BlockRequest, 'bounds' | 'columns'>,
): boolean {
  return isNeeded(request.bounds, request.columns, ({ origin }) => {
    if (origin.kind === 'offset') return { min: facts.baseOffset, max: blockEnd(facts) - 1 }
    if (origin.kind !== 'time' || origin.field.name !== timeColumn) return null
    return timeRange(facts.timeMin, facts.timeMax)
  })
}
