/**
 * Arrow IPC messages (format version V5): what segments and Arrow streams are made of. Pure; bytes
 * out.
 *
 * ```
 * 0xFFFFFFFF u32 | metadata length u32 | metadata (flatbuffers Message, padded to 8) | body: buffers, each padded to 8
 * a compressed buffer:  uncompressed length i64, or -1 = stored as is | LZ4 frame or the bytes
 * ```
 */
import { Block } from 'apache-arrow/fb/block'
import { BodyCompression } from 'apache-arrow/fb/body-compression'
import { BodyCompressionMethod } from 'apache-arrow/fb/body-compression-method'
import { Buffer as ArrowBuffer } from 'apache-arrow/fb/buffer'
import { CompressionType } from 'apache-arrow/fb/compression-type'
import { DictionaryBatch } from 'apache-arrow/fb/dictionary-batch'
import { FieldNode } from 'apache-arrow/fb/field-node'
import { Footer } from 'apache-arrow/fb/footer'
import { Message } from 'apache-arrow/fb/message'
import { MessageHeader } from 'apache-arrow/fb/message-header'
import { MetadataVersion } from 'apache-arrow/fb/metadata-version'
import { RecordBatch } from 'apache-arrow/fb/record-batch'
import { Builder, type Offset } from 'flatbuffers'
import { type WrittenField, writeMetadata, writeSchema } from './arrow-schema.ts'
import { listItems, valueRange, tidyBitmap } from './column-concat.ts'
import { type ColumnData, bitmapBytes } from './column.ts'
import { compressFrame } from './lz4.ts'
import { columnLayout } from './schema.ts'

export const ARROW_MAGIC: Uint8Array = Buffer.from('ARROW1')
export const CONTINUATION = 0xffff_ffff
export const MESSAGE_PREFIX_BYTES = 8
export const END_OF_STREAM: Uint8Array = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)

/** Smaller buffers gain nothing from a frame of 19 bytes and a call. */
const COMPRESSED_BYTES_MIN = 64

/**
 * One column of a record batch as Arrow writes it: bitmap, offsets and values as the type asks,
 * bare.
 */
export interface WrittenColumn {
  readonly length: number
  readonly nullCount: number
  readonly buffers: readonly Uint8Array[]
  /** Columns inside of a list or a struct. */
  readonly children?: readonly WrittenColumn[]
}

/** A message and how long its parts are, as in a footer's Block. */
export interface EncodedMessage {
  readonly bytes: Uint8Array
  /** Of the buffers as they are stored, in their order, without padding. */
  readonly bufferLengths: readonly number[]
  readonly metadataLength: number
  readonly bodyLength: number
}

export function encodeSchema(fields: readonly WrittenField[]): Uint8Array {
  const builder = new Builder(256)
  finishMessage(builder, MessageHeader.Schema, writeSchema(builder, fields), 0)
  return framed(builder.asUint8Array(), 0).bytes
}

/** A column without a dictionary in Arrow's buffers. Offsets begin at 0; spare bits are 0. */
export function writtenColumn(column: ColumnData): WrittenColumn {
  const { length } = column
  const validity =
    tidyBitmap(column.nullCount === 0 ? null : column.validity, length) ?? new Uint8Array(0)
  const layout = columnLayout(column.type)
  const shape = { length, nullCount: column.nullCount }
  if (layout.kind === 'bits') return { ...shape, buffers: [validity, tidyBits(column)] }
  if (layout.kind === 'fixed')
    return { ...shape, buffers: [validity, column.values.subarray(0, length * layout.byteWidth)] }
  if (layout.kind === 'struct')
    return { ...shape, buffers: [validity], children: (column.children ?? []).map(writtenColumn) }
  const { start, end } = valueRange(column)
  if (layout.kind === 'list') {
    const buffers = [validity, offsetBytes(column, start)]
    return { ...shape, buffers, children: [writtenColumn(listItems(column))] }
  }
  return {
    ...shape,
    buffers: [validity, offsetBytes(column, start), column.values.subarray(start, end)],
  }
}

function tidyBits(column: ColumnData): Uint8Array {
  const byteCount = bitmapBytes(column.length)
  const spare = byteCount * 8 - column.length
  if (spare === 0) return column.values.subarray(0, byteCount)
  const bits = new Uint8Array(column.values.subarray(0, byteCount))
  bits[byteCount - 1] = (bits[byteCount - 1] ?? 0) & (0xff >> spare)
  return bits
}

function offsetBytes(column: ColumnData, start: number): Uint8Array {
  const offsets = column.offsets?.subarray(0, column.length + 1) ?? new Int32Array(1)
  const rebased = start === 0 ? offsets : offsets.map((offset) => offset - start)
  return new Uint8Array(rebased.buffer, rebased.byteOffset, rebased.byteLength)
}

export interface BatchMessageOptions {
  readonly compress: boolean
  /** Makes it the dictionary batch with this id. */
  readonly dictionaryId?: number
}

/** A column, then all that lie inside of it, each before those inside of itself: Arrow's order of nodes. */
function withInside(column: WrittenColumn): readonly WrittenColumn[] {
  return [column, ...(column.children ?? []).flatMap(withInside)]
}

export function encodeBatch(
  topColumns: readonly WrittenColumn[],
  length: number,
  options: BatchMessageOptions,
): EncodedMessage {
  const columns = topColumns.flatMap(withInside)
  const buffers = columns.flatMap((column) => column.buffers)
  const stored = buffers.map((buffer) =>
    options.compress ? storedBuffer(buffer) : plainBuffer(buffer),
  )
  let bodyLength = 0
  const places = stored.map((buffer) => {
    const position = bodyLength
    bodyLength += padded(buffer.length)
    return { position, length: buffer.length }
  })
  const builder = new Builder(256 + 16 * (buffers.length + columns.length))
  const batch = writeBatch(builder, columns, length, places, options.compress)
  if (options.dictionaryId === undefined) {
    finishMessage(builder, MessageHeader.RecordBatch, batch, bodyLength)
  } else {
    const header = writeDictionaryBatch(builder, options.dictionaryId, batch)
    finishMessage(builder, MessageHeader.DictionaryBatch, header, bodyLength)
  }
  const message = framed(builder.asUint8Array(), bodyLength)
  stored.forEach((buffer, index) => {
    const position = message.metadataLength + (places[index]?.position ?? 0)
    message.bytes.set(buffer.head, position)
    message.bytes.set(buffer.bytes, position + buffer.head.length)
  })
  return { ...message, bufferLengths: places.map((place) => place.length) }
}

/** Bytes of the columns' buffers before compression. */
export function writtenBytes(columns: readonly WrittenColumn[]): number {
  return columns
    .flatMap(withInside)
    .reduce(
      (sum, column) => sum + column.buffers.reduce((bytes, buffer) => bytes + buffer.length, 0),
      0,
    )
}

/** A message's place in the file. */
export interface MessagePlace {
  readonly position: number
  readonly metadataLength: number
  readonly bodyLength: number
}

export function encodeFooter(
  fields: readonly WrittenField[],
  dictionaries: readonly MessagePlace[],
  batches: readonly MessagePlace[],
  metadata: readonly (readonly [string, string])[],
): Uint8Array {
  const builder = new Builder(1024)
  const schema = writeSchema(builder, fields)
  const custom = writeMetadata(builder, metadata)
  Footer.startDictionariesVector(builder, dictionaries.length)
  const dictionaryBlocks = writeBlocks(builder, dictionaries)
  Footer.startRecordBatchesVector(builder, batches.length)
  const batchBlocks = writeBlocks(builder, batches)
  Footer.startFooter(builder)
  Footer.addVersion(builder, MetadataVersion.V5)
  Footer.addSchema(builder, schema)
  Footer.addDictionaries(builder, dictionaryBlocks)
  Footer.addRecordBatches(builder, batchBlocks)
  Footer.addCustomMetadata(builder, custom)
  Footer.finishFooterBuffer(builder, Footer.endFooter(builder))
  return builder.asUint8Array()
}

interface StoredBuffer {
  readonly head: Uint8Array
  readonly bytes: Uint8Array
  readonly length: number
}

const NO_BYTES = new Uint8Array(0)
const STORED_AS_IS = new Uint8Array(8).fill(0xff)

function plainBuffer(bytes: Uint8Array): StoredBuffer {
  return { head: NO_BYTES, bytes, length: bytes.length }
}

/** Empty buffers have no prefix; ones that LZ4 does not make smaller are stored as they are. */
function storedBuffer(bytes: Uint8Array): StoredBuffer {
  if (bytes.length === 0) return plainBuffer(bytes)
  if (bytes.length >= COMPRESSED_BYTES_MIN) {
    const frame = compressFrame(bytes)
    if (frame.length < bytes.length)
      return { head: int64Bytes(bytes.length), bytes: frame, length: 8 + frame.length }
  }
  return { head: STORED_AS_IS, bytes, length: 8 + bytes.length }
}

function int64Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigInt64(0, BigInt(value), true)
  return bytes
}

function writeBatch(
  builder: Builder,
  columns: readonly WrittenColumn[],
  length: number,
  places: readonly { readonly position: number; readonly length: number }[],
  isCompressed: boolean,
): Offset {
  // Flatbuffers are built back to front.
  RecordBatch.startNodesVector(builder, columns.length)
  for (const column of columns.toReversed()) {
    FieldNode.createFieldNode(builder, BigInt(column.length), BigInt(column.nullCount))
  }
  const nodes = builder.endVector()
  RecordBatch.startBuffersVector(builder, places.length)
  for (const place of places.toReversed()) {
    ArrowBuffer.createBuffer(builder, BigInt(place.position), BigInt(place.length))
  }
  const buffers = builder.endVector()
  const compression = isCompressed
    ? BodyCompression.createBodyCompression(
        builder,
        CompressionType.LZ4_FRAME,
        BodyCompressionMethod.BUFFER,
      )
    : null
  RecordBatch.startRecordBatch(builder)
  RecordBatch.addLength(builder, BigInt(length))
  RecordBatch.addNodes(builder, nodes)
  RecordBatch.addBuffers(builder, buffers)
  if (compression !== null) RecordBatch.addCompression(builder, compression)
  return RecordBatch.endRecordBatch(builder)
}

function writeDictionaryBatch(builder: Builder, id: number, batch: Offset): Offset {
  DictionaryBatch.startDictionaryBatch(builder)
  DictionaryBatch.addId(builder, BigInt(id))
  DictionaryBatch.addData(builder, batch)
  return DictionaryBatch.endDictionaryBatch(builder)
}

function writeBlocks(builder: Builder, places: readonly MessagePlace[]): Offset {
  for (const place of places.toReversed()) {
    Block.createBlock(
      builder,
      BigInt(place.position),
      place.metadataLength,
      BigInt(place.bodyLength),
    )
  }
  return builder.endVector()
}

function finishMessage(
  builder: Builder,
  headerType: MessageHeader,
  header: Offset,
  bodyLength: number,
): void {
  Message.startMessage(builder)
  Message.addVersion(builder, MetadataVersion.V5)
  Message.addHeaderType(builder, headerType)
  Message.addHeader(builder, header)
  Message.addBodyLength(builder, BigInt(bodyLength))
  Message.finishMessageBuffer(builder, Message.endMessage(builder))
}

/** Metadata behind its prefix, with room for the body. */
function framed(metadata: Uint8Array, bodyLength: number): Omit<EncodedMessage, 'bufferLengths'> {
  const metadataLength = padded(MESSAGE_PREFIX_BYTES + metadata.length)
  const bytes = new Uint8Array(metadataLength + bodyLength)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, CONTINUATION, true)
  view.setUint32(4, metadataLength - MESSAGE_PREFIX_BYTES, true)
  bytes.set(metadata, MESSAGE_PREFIX_BYTES)
  return { bytes, metadataLength, bodyLength }
}

export function padded(length: number): number {
  return (length + 7) & ~7
}
