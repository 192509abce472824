/**
 * Looks through Arrow IPC bytes before apache-arrow does. That one believes every count in their metadata: one damaged
 * byte makes it read two billion buffers, one after the other, and whoever waits for it waits for minutes.
 */
import type { Block } from 'apache-arrow/fb/block'
import { DictionaryBatch } from 'apache-arrow/fb/dictionary-batch'
import type { Field } from 'apache-arrow/fb/field'
import { Footer } from 'apache-arrow/fb/footer'
import { Message } from 'apache-arrow/fb/message'
import { MessageHeader } from 'apache-arrow/fb/message-header'
import { RecordBatch } from 'apache-arrow/fb/record-batch'
import { Schema } from 'apache-arrow/fb/schema'
import { ByteBuffer } from 'flatbuffers'
import { ARROW_MAGIC, CONTINUATION, MESSAGE_PREFIX_BYTES, padded } from './arrow-message.ts'

/** What is wrong with the counts in a stream or a file, or null; bytes that are none of these have no counts. */
export function ipcProblem(bytes: Uint8Array): string | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isFile = Buffer.compare(bytes.subarray(0, ARROW_MAGIC.length), ARROW_MAGIC) === 0
  try {
    const end = isFile ? checkFooter(bytes, view) : bytes.length
    let position = isFile ? padded(ARROW_MAGIC.length) : 0
    while (position !== -1 && position + MESSAGE_PREFIX_BYTES <= end)
      position = nextMessage(bytes, view, position)
    return null
  } catch (error) {
    return error instanceof RangeError || error instanceof TypeError ? error.message : String(error)
  }
}

/** Checks the message at a position; returns where the next begins, -1 behind the last. */
function nextMessage(
  bytes: Uint8Array,
  view: DataView,
  position: number,
  expected: MessageHeader | null = null,
): number {
  // Before version 0.15 there was no mark in front of the length.
  const isMarked = view.getUint32(position, true) === CONTINUATION
  const start = position + (isMarked ? MESSAGE_PREFIX_BYTES : 4)
  const length = view.getUint32(start - 4, true)
  if (length === 0) return -1
  if (start + length > bytes.length) throw new RangeError(CUT_OFF)
  const metadata = bytes.subarray(start, start + length)
  const message = Message.getRootAsMessage(new ByteBuffer(metadata))
  // A reader of files asks for the same message again until it is of the right kind.
  if (expected !== null && message.headerType() !== expected)
    throw new RangeError('its footer names a message of another kind')
  checkHeader(message, length)
  const bodyLength = Number(message.bodyLength())
  if (!(bodyLength >= 0 && start + length + bodyLength <= bytes.length))
    throw new RangeError(CUT_OFF)
  return start + length + bodyLength
}

const CUT_OFF = 'a message ends behind its last byte'

function checkHeader(message: Message, length: number): void {
  const type = message.headerType()
  if (type === MessageHeader.RecordBatch)
    checkBatch(message.header(new RecordBatch()) as RecordBatch | null, length)
  if (type === MessageHeader.DictionaryBatch) {
    const dictionary = message.header(new DictionaryBatch()) as DictionaryBatch | null
    checkBatch(dictionary?.data() ?? null, length)
  }
  if (type === MessageHeader.Schema)
    checkSchema(message.header(new Schema()) as Schema | null, length)
}

function checkBatch(batch: RecordBatch | null, length: number): void {
  checkCount(batch?.nodesLength(), 16, length)
  checkCount(batch?.buffersLength(), 16, length)
  checkCount(batch?.variadicBufferCountsLength(), 8, length)
}

function checkSchema(schema: Schema | null, length: number): void {
  checkCount(schema?.customMetadataLength(), 4, length)
  checkCount(schema?.fieldsLength(), 4, length)
  const fields: (Field | null)[] = []
  for (let index = 0; index < (schema?.fieldsLength() ?? 0); index++)
    fields.push(schema?.fields(index) ?? null)
  // Fields inside of fields follow; each takes some bytes of its own, unless several claim the same.
  for (let next = 0; next < fields.length; next++) {
    const field = fields[next]
    checkCount(field?.customMetadataLength(), 4, length)
    checkCount(field?.childrenLength(), 4, length)
    checkCount(fields.length, 4, length)
    for (let index = 0; index < (field?.childrenLength() ?? 0); index++)
      fields.push(field?.children(index) ?? null)
  }
}

/** Returns where the footer begins. */
function checkFooter(bytes: Uint8Array, view: DataView): number {
  const end = bytes.length - ARROW_MAGIC.length - 4
  const length = view.getUint32(end, true)
  if (length > end) throw new RangeError('its footer is longer than the file')
  const footer = Footer.getRootAsFooter(new ByteBuffer(bytes.subarray(end - length, end)))
  checkCount(footer.customMetadataLength(), 4, length)
  checkCount(footer.dictionariesLength(), 24, length)
  checkCount(footer.recordBatchesLength(), 24, length)
  checkSchema(footer.schema(), length)
  const check = (block: Block | null, kind: MessageHeader): unknown =>
    nextMessage(bytes, view, Number(block?.offset() ?? -1n), kind)
  for (let index = 0; index < footer.dictionariesLength(); index++)
    check(footer.dictionaries(index), MessageHeader.DictionaryBatch)
  for (let index = 0; index < footer.recordBatchesLength(); index++)
    check(footer.recordBatches(index), MessageHeader.RecordBatch)
  return end - length
}

/** So many entries of that size lie in metadata of that length at most. */
function checkCount(count: number | undefined, entryBytes: number, length: number): void {
  if (count === undefined || count * entryBytes <= length) return
  throw new RangeError('its metadata counts more than it holds')
}
