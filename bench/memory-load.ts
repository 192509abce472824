/**
 * What the benchmarks of the memory tier share: the load as columns, the engine in its steady state, and the proof that
 * what it kept is what it was given.
 */
import {
  type Data,
  Dictionary,
  Float64,
  Int32,
  Table,
  TimestampMillisecond,
  Utf8,
  type Vector,
  makeData,
  makeVector,
} from 'apache-arrow'
import { present } from '../src/base/assert.ts'
import { Stratalog, type Log } from '../src/index.ts'
import type { ColumnData } from '../src/format/column.ts'
import type { AppendLoad } from './append-load.ts'
import { checksumOf, type BenchRecord } from './records.ts'

/** Small enough that every run goes round in it, and bigger than the caches of a processor. */
export const STEADY_BUDGET_BYTES: number = 64 * 1024 * 1024

/** A log whose memory has been through eviction: each buffer that an append takes was used before. */
export interface SteadyLog extends AsyncDisposable {
  readonly log: Log
  /** Records that were appended to get there, a multiple of the load. */
  readonly warmed: number
}

const CODED_TEXT = new Dictionary(new Utf8(), new Int32())

const LOG_OPTIONS = { timeColumn: 'ts', keyColumn: 'key' } as const

export async function openSteadyLog(
  load: AppendLoad,
  append: (log: Log) => Promise<void>,
): Promise<SteadyLog> {
  const db = await Stratalog.memoryOnly({
    maxMemoryBytes: STEADY_BUDGET_BYTES,
    evictionPolicy: 'fifo',
  })
  const log = await db.createLog('events', LOG_OPTIONS)
  let warmed = 0
  while (db.memoryMetrics().evictionCount < 2) {
    await append(log)
    warmed += load.count
  }
  return { log, warmed, [Symbol.asyncDispose]: () => db.close() }
}

/** A log that has no budget to keep to; its memory is new. */
export async function openFreshLog(): Promise<{ readonly db: Stratalog; readonly log: Log }> {
  const db = await Stratalog.memoryOnly()
  return { db, log: await db.createLog('events', LOG_OPTIONS) }
}

/**
 * The load's checksum when everything that is still there is what was appended, the load `passes` times, up to the last
 * record, with no gap in it; else a text that is no checksum.
 */
export async function retainedChecksum(
  { log, warmed }: SteadyLog,
  load: AppendLoad,
  passes = 1,
): Promise<string> {
  const retained: BenchRecord[] = []
  let first = -1
  let next = -1
  for await (const row of log.read({ onGap: 'skip' }).rows()) {
    const offset = Number(row['_offset'])
    if (first === -1) first = next = offset
    if (offset !== next) return `offset ${offset} follows ${next - 1}`
    next++
    retained.push(row as unknown as BenchRecord)
  }
  const end = warmed + passes * load.count
  if (next !== end) return `the log ends at ${next}, not at ${end}`
  const expected = Array.from(
    { length: retained.length },
    (_, index) => load.records[(first + index) % load.count] as BenchRecord,
  )
  return checksumOf(retained) === checksumOf(expected) ? load.checksum : 'other records'
}

export interface LoadColumns {
  readonly fields: readonly { name: string; type: ColumnData['type']; nullable: boolean }[]
  readonly columns: readonly ColumnData[]
  readonly length: number
}

/** One batch in Arrow's layout: texts as bytes with offsets, the event as codes into a dictionary. */
export function loadColumns(batch: readonly BenchRecord[]): LoadColumns {
  const named: Readonly<Record<keyof BenchRecord, ColumnData>> = {
    ts: fixedColumn(
      'timestamp[ms]',
      BigInt64Array.from(batch, ({ ts }) => BigInt(ts)),
    ),
    key: textColumn(batch.map(({ key }) => key)),
    amount: fixedColumn(
      'int32',
      Int32Array.from(batch, ({ amount }) => amount),
    ),
    price: fixedColumn(
      'float64',
      Float64Array.from(batch, ({ price }) => price),
    ),
    event: codedColumn(batch.map(({ event }) => event)),
    text: textColumn(batch.map(({ text }) => text)),
  }
  return {
    fields: Object.entries(named).map(([name, { type }]) => ({ name, type, nullable: true })),
    columns: Object.values(named),
    length: batch.length,
  }
}

/** The buffers that a copy of the batch has to move; the dictionary is not counted, an engine may know it already. */
export function loadBuffers({ columns }: LoadColumns): Uint8Array[] {
  return columns.flatMap(({ values, offsets }) =>
    offsets === null
      ? [values]
      : [values, new Uint8Array(offsets.buffer, offsets.byteOffset, offsets.byteLength)],
  )
}

/** The same batch as an `apache-arrow` Table, over the same memory. */
export function arrowTable({ fields, columns }: LoadColumns): Table {
  const vectors = columns.map((column) => makeVector(arrowData(column)))
  return new Table(
    Object.fromEntries(fields.map(({ name }, index) => [name, present(vectors[index], name)])),
  )
}

function arrowData({ type, length, values, offsets, dictionary }: ColumnData): Data {
  const { buffer, byteOffset } = values
  if (dictionary !== null) {
    const known = makeVector(arrowData(dictionary)) as Vector<Utf8>
    const codes = new Int32Array(buffer, byteOffset, length)
    return makeData({ type: CODED_TEXT, length, data: codes, dictionary: known })
  }
  if (offsets !== null)
    return makeData({ type: new Utf8(), length, valueOffsets: offsets, data: values })
  if (type === 'int32')
    return makeData({ type: new Int32(), length, data: new Int32Array(buffer, byteOffset, length) })
  if (type === 'float64') {
    const data = new Float64Array(buffer, byteOffset, length)
    return makeData({ type: new Float64(), length, data })
  }
  const data = new BigInt64Array(buffer, byteOffset, length)
  return makeData({ type: new TimestampMillisecond(), length, data })
}

function fixedColumn(
  type: ColumnData['type'],
  elements: BigInt64Array | Int32Array | Float64Array,
): ColumnData {
  const values = new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength)
  return plain({ type, length: elements.length, values })
}

function textColumn(texts: readonly string[]): ColumnData {
  const offsets = new Int32Array(texts.length + 1)
  texts.forEach((text, index) => {
    offsets[index + 1] = (offsets[index] ?? 0) + Buffer.byteLength(text)
  })
  const values = new Uint8Array(offsets.at(-1) ?? 0)
  texts.forEach((text, index) => values.set(Buffer.from(text), offsets[index] ?? 0))
  return plain({ type: 'utf8', length: texts.length, values, offsets })
}

function codedColumn(texts: readonly string[]): ColumnData {
  const known = [...new Set(texts)].toSorted()
  const codes = Int32Array.from(texts, (text) => known.indexOf(text))
  const values = new Uint8Array(codes.buffer)
  return plain({ type: 'utf8', length: texts.length, values, dictionary: textColumn(known) })
}

function plain(
  column: Pick<ColumnData, 'type' | 'length' | 'values'> & Partial<ColumnData>,
): ColumnData {
  return { nullCount: 0, validity: null, offsets: null, dictionary: null, ...column }
}
