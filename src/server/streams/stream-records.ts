/** Messages of streams as records of logs: `value` as JSON for JSON streams, `data` as bytes for all others. */
import type { Log } from '../../engine/log.ts'
import type { AppendResult } from '../../log/live-log.ts'
import type { ColumnInput } from '../../log/row-appender.ts'
import { StratalogError, isStratalogError } from '../../base/errors.ts'
import { columnReader } from '../../format/column-values.ts'
import type { ColumnData } from '../../format/column.ts'
import type { ColumnType, Field } from '../../format/schema.ts'
import { RequestProblem } from '../http-error.ts'
import { STREAM_CHUNK_BYTES } from '../limits.ts'
import { jsonMessages } from './json-messages.ts'
import type { ProducerStamp, Stream, StreamPart } from './stream.ts'

const SEQUENCE_COLUMN = 'stream_seq'

export function streamSchema(isJson: boolean): Readonly<Record<string, ColumnType>> {
  return isJson ? { value: 'json' } : { data: 'binary' }
}

/** A body as messages. @throws RequestProblem `request_invalid` for a JSON stream's body that is not JSON. */
export function messagesOf(body: Buffer, isJson: boolean): readonly Uint8Array[] {
  return isJson ? jsonMessages(body).map((text) => Buffer.from(text)) : [body]
}

/** What a message is in the log. */
const MESSAGE_FIELDS: Readonly<Record<'json' | 'binary', readonly Field[]>> = {
  json: [{ name: 'value', type: 'json', nullable: true }],
  binary: [{ name: 'data', type: 'binary', nullable: true }],
}

export interface AppendExtras {
  readonly seq?: string
  readonly producer?: ProducerStamp
}

export function appendMessages(
  log: Log,
  isJson: boolean,
  messages: readonly Uint8Array[],
  { seq, producer }: AppendExtras = {},
): Promise<AppendResult> {
  const { length } = messages
  const [only] = messages
  // One record by itself goes the shortest way.
  if (!isJson && length === 1 && seq === undefined && producer === undefined)
    return log.append({ data: only })
  const type = isJson ? 'json' : 'binary'
  let fields = MESSAGE_FIELDS[type]
  const columns = [variableColumn(type, messages)]
  if (seq !== undefined) {
    fields = [...fields, { name: SEQUENCE_COLUMN, type: 'utf8', nullable: true }]
    columns.push(variableColumn('utf8', Array<Uint8Array>(length).fill(Buffer.from(seq))))
  }
  const input: ColumnInput = { fields, columns, length }
  return log.append(input, producer === undefined ? undefined : { producer })
}

function variableColumn(type: ColumnType, values: readonly Uint8Array[]): ColumnData {
  const offsets = new Int32Array(values.length + 1)
  for (const [index, value] of values.entries())
    offsets[index + 1] = (offsets[index] ?? 0) + value.length
  const only = values.length === 1 ? values[0] : undefined
  return {
    type,
    length: values.length,
    nullCount: 0,
    validity: null,
    offsets,
    values: only ?? Buffer.concat(values),
    dictionary: null,
  }
}

export interface Chunk {
  readonly messages: readonly Buffer[]
  /** The offset after the last message. */
  readonly next: number
  /** Nothing was there beyond `next` when it was read. */
  readonly isUpToDate: boolean
}

/**
 * Messages from an offset on, as many as an answer holds; of JSON streams, their texts.
 * @throws RequestProblem `stream_gone` where records were let go of.
 */
export async function readChunk(stream: Stream, from: number, signal: AbortSignal): Promise<Chunk> {
  const { tail } = stream
  const messages: Buffer[] = []
  let next = from
  let bytes = 0
  for (const part of stream.parts(from, tail)) {
    for await (const message of partMessages(part, stream.isJson, signal)) {
      messages.push(message)
      bytes += message.length
      next++
      if (bytes >= STREAM_CHUNK_BYTES) return { messages, next, isUpToDate: next >= tail }
    }
  }
  return { messages, next, isUpToDate: next >= tail }
}

async function* partMessages(
  { log, from, to }: StreamPart,
  isJson: boolean,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const columns = [isJson ? 'value' : 'data']
  try {
    for await (const batch of log.read({ partition: 0, from, to, columns, signal })) {
      const [column] = batch.columns
      if (column === undefined) return
      const read = columnReader(isJson ? asText(column) : column)
      for (let row = 0; row < batch.length; row++) yield messageOf(read(row))
    }
  } catch (error) {
    if (isStratalogError(error) && error.code === 'offset_gap')
      throw new RequestProblem('stream_gone', 'The records at this offset are gone.')
    throw error
  }
}

/** The texts of JSON values, not the values. */
function asText(column: ColumnData): ColumnData {
  return { ...column, type: 'utf8' }
}

/** A copy: what the batch holds is leased. A null is the value null of a record that was appended otherwise. */
function messageOf(value: unknown): Buffer {
  if (typeof value === 'string') return Buffer.from(value)
  if (value instanceof Uint8Array) return Buffer.from(value)
  return Buffer.from('null')
}

/** The newest `Stream-Seq` of a stream's own log; null where none was ever given. */
export async function newestSeq(log: Log): Promise<string | null> {
  if (!log.describe().schema.some(({ name }) => name === SEQUENCE_COLUMN)) return null
  let newest: string | null = null
  const columns = [SEQUENCE_COLUMN]
  for await (const batch of log.read({ partition: 0, columns, onGap: 'skip' })) {
    const column = batch.column(SEQUENCE_COLUMN)
    for (let row = batch.length - 1; row >= 0; row--) {
      const seq = column.get(row)
      if (typeof seq !== 'string') continue
      newest = seq
      break
    }
  }
  return newest
}

/**
 * What a fork has of the messages of its source from `from` on when it takes `count` of them, or for bytes, `count`
 * bytes: how many whole ones, and what of the next one.
 * @throws RequestProblem `request_invalid` where the source has less.
 */
export async function forkPoint(
  source: Stream,
  from: number,
  count: number,
): Promise<{ readonly offset: number; readonly rest: Buffer | null }> {
  const { tail } = source
  const beyond = new RequestProblem('request_invalid', 'The sub-offset lies beyond the source.')
  if (source.isJson) {
    if (from + count > tail) throw beyond
    return { offset: from + count, rest: null }
  }
  let offset = from
  let left = count
  for (const part of source.parts(from, tail)) {
    for await (const message of partMessages(part, false, new AbortController().signal)) {
      if (left < message.length)
        return { offset, rest: left === 0 ? null : message.subarray(0, left) }
      left -= message.length
      offset++
    }
  }
  if (left > 0) throw beyond
  return { offset, rest: null }
}

/** An append whose fate nobody knows was asked for again and is not there. */
export function appendUnknown(): StratalogError {
  return new StratalogError('aborted', 'The append that this one repeats was not applied.')
}
