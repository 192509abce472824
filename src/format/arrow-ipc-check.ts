/**
 * Looks through Arrow IPC bytes before apache-arrow does. That one believes every count in their metadata: one damaged
 * byte makes it read two billion buffers, one after the other, and whoever waits for it waits for minutes.
 */
import { DictionaryBatch } from 'apache-arrow/fb/dictionary-batch'
import { Field } from 'apache-arrow/fb/field'
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
    let position = isFile ? padded(ARROW_MAGIC.length) : 0
    while (position !== -1) position = nextMessage(bytes, view, position)
    if (isFile) checkFooter(bytes, view)
    return null
  } catch (error) {
    return error instanceof RangeError || error instanceof TypeError ? error.message : String(error)
  }
}

/** Checks the message at a position; returns where the next begins, -1 behind the last. */
function nextMessage(bytes: Uint8Array, view: DataView, position: number): number {
  if (position + MESSAGE_PREFIX_BYTES > bytes.length) return -1
  // Before version 0.15 there was no mark in front of the length.
  const isMarked = view.getUint32(position, true) === CONTINUATION
  const start = position + (isMarked ? MESSAGE_PREFIX_BYTES : 4)
  const length = view.getUint32(start - 4, true)
  if (length === 0 || start + length > bytes.length) return -1
  const metadata = bytes.subarray(start, start + length)
  const message = Message.getRootAsMessage(new ByteBuffer(metadata))
  checkHeader(message, length)
  const bodyLength = Number(message.bodyLength())
  return bodyLength >= 0 ? start + length + bodyLength : -1
}

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

function checkFooter(bytes: Uint8Array, view: DataView): void {
  const end = bytes.length - ARROW_MAGIC.length - 4
  if (end < 0) return
  const length = view.getUint32(end, true)
  if (length > end) return
  const footer = Footer.getRootAsFooter(new ByteBuffer(bytes.subarray(end - length, end)))
  checkCount(footer.customMetadataLength(), 4, length)
  checkCount(footer.dictionariesLength(), 24, length)
  checkCount(footer.recordBatchesLength(), 24, length)
  checkSchema(footer.schema(), length)
  for (let index = 0; index < footer.dictionariesLength(); index++)
    nextMessage(bytes, view, Number(footer.dictionaries(index)?.offset() ?? -1n))
  for (let index = 0; index < footer.recordBatchesLength(); index++)
    nextMessage(bytes, view, Number(footer.recordBatches(index)?.offset() ?? -1n))
}

/** So many entries of that size lie in metadata of that length at most. */
function checkCount(count: number | undefined, entryBytes: number, length: number): void {
  if (count === undefined || count * entryBytes <= length) return
  throw new RangeError('its metadata counts more than it holds')
}
