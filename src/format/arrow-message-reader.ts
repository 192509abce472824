/**
 * Reads the metadata of record batch and dictionary messages against what their holder expects of
 * them. No count and no length is taken from the bytes: each is compared, so that hostile bytes
 * cannot ask for loops or memory.
 */
import { BodyCompressionMethod } from 'apache-arrow/fb/body-compression-method'
import { CompressionType } from 'apache-arrow/fb/compression-type'
import { DictionaryBatch } from 'apache-arrow/fb/dictionary-batch'
import { Message } from 'apache-arrow/fb/message'
import { MessageHeader } from 'apache-arrow/fb/message-header'
import { MetadataVersion } from 'apache-arrow/fb/metadata-version'
import { RecordBatch } from 'apache-arrow/fb/record-batch'
import { ByteBuffer } from 'flatbuffers'
import { CONTINUATION, MESSAGE_PREFIX_BYTES } from './arrow-message.ts'
import type { Fail } from './json-fields.ts'

/** Where a stored buffer lies in a message's body, its compression prefix included. */
export interface BufferPlace {
  readonly position: number
  readonly length: number
}

/** One column of a message: every buffer lies inside the body. */
export interface ColumnPlace {
  readonly length: number
  readonly nullCount: number
  readonly buffers: readonly BufferPlace[]
  readonly children: readonly ColumnPlace[]
}

/** What a column has to be made of. */
export interface ColumnShape {
  readonly bufferCount: number
  /** Columns inside. Those of a list have as many rows as the message says and its offsets will tell. */
  readonly children: readonly ColumnShape[]
  readonly isList: boolean
}

export interface ExpectedMessage {
  readonly bodyLength: number
  /** Rows. */
  readonly length: number
  /** Null for a record batch. */
  readonly dictionaryId: number | null
  readonly columns: readonly ColumnShape[]
}

/** @param metadata the message up to its body. */
export function parseBatchMessage(
  metadata: Uint8Array,
  expected: ExpectedMessage,
  fail: Fail,
): readonly ColumnPlace[] {
  const view = new DataView(metadata.buffer, metadata.byteOffset, metadata.byteLength)
  if (metadata.length <= MESSAGE_PREFIX_BYTES || view.getUint32(0, true) !== CONTINUATION)
    fail('a message has no beginning')
  if (view.getUint32(4, true) !== metadata.length - MESSAGE_PREFIX_BYTES)
    fail('a message has another length')
  const message = Message.getRootAsMessage(new ByteBuffer(metadata.subarray(MESSAGE_PREFIX_BYTES)))
  if (message.version() !== MetadataVersion.V5) fail('a message has another version')
  if (message.bodyLength() !== BigInt(expected.bodyLength))
    fail('a message has another body length')
  const batch =
    expected.dictionaryId === null
      ? recordBatch(message)
      : dictionaryData(message, expected.dictionaryId)
  if (batch === null) return fail('a message is not of the kind that belongs here')
  const compression = batch.compression()
  if (
    compression?.codec() !== CompressionType.LZ4_FRAME ||
    compression.method() !== BodyCompressionMethod.BUFFER
  ) {
    fail('a message is compressed in another way')
  }
  return parseColumns(batch, expected, fail)
}

function recordBatch(message: Message): RecordBatch | null {
  return message.headerType() === MessageHeader.RecordBatch
    ? (message.header(new RecordBatch()) as RecordBatch)
    : null
}

function dictionaryData(message: Message, id: number): RecordBatch | null {
  if (message.headerType() !== MessageHeader.DictionaryBatch) return null
  const batch = message.header(new DictionaryBatch()) as DictionaryBatch | null
  return batch === null || batch.id() !== BigInt(id) || batch.isDelta() ? null : batch.data()
}

function parseColumns(
  batch: RecordBatch,
  expected: ExpectedMessage,
  fail: Fail,
): readonly ColumnPlace[] {
  const { columns, length } = expected
  const shapes = columns.flatMap(withInside)
  const bufferCount = shapes.reduce((sum, shape) => sum + shape.bufferCount, 0)
  if (batch.length() !== BigInt(length)) fail('a message has another row count')
  if (batch.nodesLength() !== shapes.length) fail('a message has another column count')
  if (batch.buffersLength() !== bufferCount) fail('a message has another buffer count')
  const parser = new ColumnParser(batch, expected.bodyLength, fail)
  return columns.map((shape) => parser.next(shape, length))
}

function withInside(shape: ColumnShape): readonly ColumnShape[] {
  return [shape, ...shape.children.flatMap(withInside)]
}

/** Nodes and buffers in their order: a column's own, then those of the columns inside. */
class ColumnParser {
  readonly #batch: RecordBatch
  readonly #bodyLength: number
  readonly #fail: Fail
  #node = 0
  #buffer = 0

  constructor(batch: RecordBatch, bodyLength: number, fail: Fail) {
    this.#batch = batch
    this.#bodyLength = bodyLength
    this.#fail = fail
  }

  /** @param expected rows; null where only the offsets of a list will tell. */
  next(shape: ColumnShape, expected: number | null): ColumnPlace {
    const node = this.#batch.nodes(this.#node++)
    const length = Number(node?.length() ?? -1n)
    const nullCount = Number(node?.nullCount() ?? -1n)
    if (!(length >= 0 && length <= 2 ** 31 - 8) || (expected !== null && length !== expected))
      this.#fail('a column has another row count')
    if (!(nullCount >= 0 && nullCount <= length))
      this.#fail('a column has an impossible null count')
    const buffers: BufferPlace[] = []
    for (let count = 0; count < shape.bufferCount; count++)
      buffers.push(parseBuffer(this.#batch, this.#buffer++, this.#bodyLength, this.#fail))
    const children = shape.children.map((child) => this.next(child, shape.isList ? null : length))
    return { length, nullCount, buffers, children }
  }
}

function parseBuffer(
  batch: RecordBatch,
  index: number,
  bodyLength: number,
  fail: Fail,
): BufferPlace {
  const buffer = batch.buffers(index)
  const position = Number(buffer?.offset() ?? -1n)
  const length = Number(buffer?.length() ?? -1n)
  const isInside = position >= 0 && length >= 0 && position + length <= bodyLength
  return isInside && position % 8 === 0
    ? { position, length }
    : fail('a buffer lies outside of its message')
}
