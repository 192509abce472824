/** The latest view of one log: its records, its hash, and single keys. */
import { StratalogError } from '../base/errors.ts'
import type { ColumnData } from '../format/column.ts'
import { createColumnBuilder } from '../format/column-builder.ts'
import { HEAP_BUFFERS } from '../format/growing-column.ts'
import { sliceRecordBatch } from '../format/record-batch.ts'
import { fieldIndex } from '../format/schema.ts'
import type { LatestItem } from '../log/latest-reader.ts'
import { type LatestOffsets, type LatestViews, keyColumnOf } from '../log/latest-views.ts'
import type { LogView } from '../log/log-view.ts'
import { OffsetSet } from '../log/offset-set.ts'
import { timeColumnOf } from '../log/view-reader.ts'
import type { AsOf } from './as-of.ts'
import { Batch, type RecordRow } from './batch.ts'
import { BatchCursor } from './batch-cursor.ts'
import type { BatchReader, Step } from './batch-reader.ts'
import { BatchLayout } from './batch-layout.ts'
import { BatchStream } from './batch-stream.ts'
import { assertKnownKeys, assertSignal } from './check-arguments.ts'

export interface LatestMoment {
  /** As it was at a snapshot, by name or id, or when the engine's clock showed a time. Default: now. */
  readonly asOf?: AsOf
  readonly signal?: AbortSignal
}

export interface LatestOptions extends LatestMoment {
  /** Names of columns, the user's and the system's, in the order wanted. */
  readonly columns?: readonly string[]
}

export interface LatestReadOptions extends LatestOptions {
  /** Default: every partition, one after the other. */
  readonly partition?: number
  /** At most this many records. */
  readonly limit?: number
}

/** What a latest view is made of: a log of a running engine, or one in an archive. */
export interface LatestSource {
  readonly latest: LatestViews
  /** All of the log, now or as of a moment; the caller releases it. */
  readonly pin: (moment: LatestMoment) => Promise<LogView>
}

/** The newest record of each key, partition by partition in offset order. @throws StratalogError `argument_invalid`. */
export function latestStream(source: LatestSource, options: LatestReadOptions): BatchStream {
  assertOptions(options, { ...MOMENT_KEYS, columns: true, partition: true, limit: true })
  const { partition, limit } = options
  for (const [name, value] of Object.entries({ partition, limit })) {
    if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) continue
    throw new StratalogError(
      'argument_invalid',
      `${name} is a whole number, 0 or more; got ${String(value)}.`,
    )
  }
  return new BatchStream(() => new BatchCursor(() => new LatestReader(source, options)))
}

export async function latestHash(source: LatestSource, moment: LatestMoment): Promise<string> {
  assertOptions(moment, MOMENT_KEYS)
  const { hashLatest } = await import('../log/latest-reader.ts')
  return withView(source, moment, async (view) => {
    const offsets = await source.latest.select(view, moment.signal)
    return hashLatest(view, offsets, moment.signal)
  })
}

/** The newest record of one key; null where there is none. */
export async function latestRecord(
  source: LatestSource,
  partition: number,
  key: unknown,
  options: LatestOptions,
): Promise<RecordRow | null> {
  assertOptions(options, { ...MOMENT_KEYS, columns: true })
  return withView(source, options, async (view) => {
    const pinned = view.partitions.find((candidate) => candidate.partition === partition)
    const held = keyIn(view, key)
    if (held === null || pinned === undefined) return null
    const offset = await source.latest.find(view, pinned, held, options.signal)
    if (offset === null) return null
    const only = new OffsetSet(offset)
    only.add(offset)
    for await (const batch of batchesOf(view, new Map([[partition, only]]), options, null))
      return batch.toRows()[0] ?? null
    return null
  })
}

/** A column that holds the key; null for none. @throws StratalogError `argument_invalid` for one of another type. */
function keyIn(view: LogView, key: unknown): ColumnData | null {
  const name = keyColumnOf(view)
  const field = view.schema.fields[fieldIndex(view.schema, name)]
  if (field === undefined || key === null || key === undefined) return null
  const builder = createColumnBuilder(field.type, HEAP_BUFFERS)
  if (builder.push(key) === 'ok') return builder.slice(0, 1)
  throw new StratalogError(
    'argument_invalid',
    `The key column ${JSON.stringify(name)} is ${field.type}, and takes no such key.`,
    { details: { column: name, type: field.type } },
  )
}

async function withView<T>(
  { pin }: LatestSource,
  moment: LatestMoment,
  use: (view: LogView) => Promise<T>,
): Promise<T> {
  const view = await pin(moment)
  try {
    return await use(view)
  } finally {
    view.release()
  }
}

/** Of a view, what was asked for. @throws StratalogError `partition_not_found`. */
function partitionOf(view: LogView, number: number | undefined): LogView {
  const { partitions, definition } = view
  if (number === undefined) return view
  const asked = partitions.filter(({ partition }) => partition === number)
  if (number < definition.partitions) return { ...view, partitions: asked }
  throw new StratalogError(
    'partition_not_found',
    `Log '${definition.name}' has partitions 0 to ${definition.partitions - 1}; there is no partition ${number}.`,
    { details: { log: definition.name, partition: number } },
  )
}

/** Pins the log when reading begins; each batch is right until the next one is asked for. */
class LatestReader implements BatchReader {
  readonly #batches: (holder: object) => AsyncGenerator<Batch, void, undefined>
  #reading: AsyncGenerator<Batch, void, undefined> | null = null
  #isOver = false

  constructor({ latest, pin }: LatestSource, options: LatestReadOptions) {
    this.#batches = async function* (holder): AsyncGenerator<Batch, void, undefined> {
      const view = await pin(options)
      try {
        const asked = partitionOf(view, options.partition)
        yield* batchesOf(asked, await latest.select(asked, options.signal), options, holder)
      } finally {
        view.release()
      }
    }
  }

  step(): Step {
    return this.#isOver ? 'end' : 'wait'
  }

  async advance(holder: object): Promise<Batch | null> {
    if (this.#isOver) return null
    this.#reading ??= this.#batches(holder)
    const next = await this.#reading.next()
    if (next.done === true) this.#isOver = true
    return next.done === true ? null : next.value
  }

  async fail(error: unknown): Promise<null> {
    await this.end()
    throw error
  }

  async end(): Promise<void> {
    this.#isOver = true
    await this.#reading?.return()
  }
}

async function* batchesOf(
  view: LogView,
  offsets: LatestOffsets,
  { columns, limit = Infinity, signal }: LatestReadOptions,
  holder: object | null,
): AsyncGenerator<Batch, void, undefined> {
  const { readLatest } = await import('../log/latest-reader.ts')
  const layout = new BatchLayout({
    log: view.definition.name,
    schema: view.schema,
    timeColumn: timeColumnOf(view),
    keyColumn: keyColumnOf(view),
    columns: columns ?? null,
  })
  const read = columns === undefined ? undefined : layout.sourcesIn(view.schema)
  let left = limit
  if (left === 0) return
  for await (const item of readLatest(view, offsets, { columns: read, signal })) {
    const { batch, offsets: rowOffsets } = firstRows(item, left)
    const { partition, tier } = item
    left -= batch.length
    yield new Batch({ batch, layout, partition, tier, holder, offsets: rowOffsets })
    if (left <= 0) return
  }
}

function firstRows(item: LatestItem, count: number): Pick<LatestItem, 'batch' | 'offsets'> {
  const { batch, offsets } = item
  if (batch.length <= count) return item
  // Rows are sliced by place, wherever they were.
  const cut = sliceRecordBatch(batch, batch.baseOffset, batch.baseOffset + count)
  return { batch: cut, offsets: offsets?.subarray(0, count) ?? null }
}

const MOMENT_KEYS = { asOf: true, signal: true } as const

function assertOptions(options: LatestOptions, keys: Readonly<Record<string, true>>): void {
  assertKnownKeys(options, keys, 'latest')
  if (options.signal !== undefined) assertSignal(options.signal)
  if (options.columns !== undefined && !Array.isArray(options.columns))
    throw new StratalogError('argument_invalid', 'columns is an array of names of columns.')
}
