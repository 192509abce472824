/** The hash of the latest view of offsets of a log, made of them alone: a report says it, and two sides compare it. */
import { type StratalogError, isStratalogError } from '../base/errors.ts'
import type { Range } from '../base/range.ts'
import { TOMBSTONE_COLUMN, type Schema, fieldIndex } from '../format/schema.ts'
import { LatestKeys } from './latest-keys.ts'
import { hashLatest } from './latest-reader.ts'
import type { LogView } from './log-view.ts'
import type { OffsetSet } from './offset-set.ts'
import { readPartition, readableRange } from './view-reader.ts'

export interface LatestHashOptions {
  /** By partition; all of the view when absent. */
  readonly ranges?: ReadonlyMap<number, Range>
  /** The records are brought to it; the view's own when absent. */
  readonly schema?: Schema
  readonly signal?: AbortSignal | undefined
}

/**
 * Null for a log without a key column, and where the view cannot be had: with more keys than it takes, and with damage.
 * @throws what else reading throws.
 */
export async function latestHashOf(
  given: LogView,
  { ranges, schema = given.schema, signal }: LatestHashOptions = {},
): Promise<string | null> {
  const view = { ...given, schema }
  const { keyColumn } = view.definition
  if (keyColumn === null) return null
  try {
    const latest = await latestOffsets(view, keyColumn, ranges, signal)
    return await hashLatest(view, latest, signal)
  } catch (error) {
    if (isStratalogError(error) && isKnownNot(error)) return null
    throw error
  }
}

async function latestOffsets(
  view: LogView,
  keyColumn: string,
  ranges: ReadonlyMap<number, Range> | undefined,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<number, OffsetSet>> {
  const { schema } = view
  const field = schema.fields[fieldIndex(schema, keyColumn)]
  const latest = new Map<number, OffsetSet>()
  if (field === undefined) return latest
  const columns = [keyColumn, TOMBSTONE_COLUMN].filter((name) => fieldIndex(schema, name) !== -1)
  for (const partition of view.partitions) {
    const { start: from, end: to } = ranges?.get(partition.partition) ?? NOTHING
    const { start, end } = readableRange(partition, ranges === undefined ? {} : { from, to })
    const keys = new LatestKeys(field.type, start)
    const options = { from: start, to: end, columns, schema, signal, onGap: 'skip' } as const
    for await (const { batch } of readPartition(view, partition.partition, options))
      keys.add(batch, keyColumn)
    keys.skipTo(end)
    latest.set(partition.partition, keys.offsets(start, end))
  }
  return latest
}

function isKnownNot({ code, kind }: StratalogError): boolean {
  return code === 'query_limit' || kind === 'corrupt'
}

const NOTHING: Range = { start: 0, end: 0 }
