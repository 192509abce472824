/** An Arrow IPC stream, decoded as it comes: no more of it is held than one message. */
import { Message } from 'apache-arrow/fb/message'
import { MessageHeader } from 'apache-arrow/fb/message-header'
import { ByteBuffer } from 'flatbuffers'
import { StratalogError } from '../base/errors.ts'
import { type ArrowColumns } from './arrow-input.ts'
import { parseArrowIpc } from './arrow-ipc.ts'
import { CONTINUATION, END_OF_STREAM, MESSAGE_PREFIX_BYTES } from './arrow-message.ts'

/**
 * The batches of a stream as `encodeIpcStream` writes it, without dictionaries; a stream without any gives one of no
 * rows. @throws StratalogError `input_invalid` for anything else, and for a stream that breaks off.
 */
export async function* decodeArrowStream(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<ArrowColumns, void, undefined> {
  const source = new Taken(chunks)
  let schema: Uint8Array | null = null
  let count = 0
  for (;;) {
    const prefix = await source.take(MESSAGE_PREFIX_BYTES)
    const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength)
    if (view.getUint32(0, true) !== CONTINUATION) throw broken('a message has no mark')
    const metadataLength = view.getUint32(4, true)
    if (metadataLength === 0) break
    const metadata = await source.take(metadataLength)
    const { kind, bodyLength } = headOf(metadata)
    const body = await source.take(bodyLength)
    if (kind === MessageHeader.Schema && schema === null) {
      schema = Buffer.concat([prefix, metadata, body])
      continue
    }
    if (kind !== MessageHeader.RecordBatch || schema === null)
      throw broken('it is not a schema and batches behind it')
    count++
    yield* await parseArrowIpc(Buffer.concat([schema, prefix, metadata, body, END_OF_STREAM]))
  }
  if (schema === null) throw broken('it has no schema')
  if (count === 0) yield* await parseArrowIpc(Buffer.concat([schema, END_OF_STREAM]))
}

function headOf(metadata: Uint8Array): {
  readonly kind: MessageHeader
  readonly bodyLength: number
} {
  try {
    const message = Message.getRootAsMessage(new ByteBuffer(metadata))
    const bodyLength = Number(message.bodyLength())
    if (bodyLength >= 0) return { kind: message.headerType(), bodyLength }
  } catch (error) {
    throw broken('the head of a message cannot be read', error)
  }
  throw broken('a message has less than no bytes')
}

/** Bytes of chunks, taken in the lengths that are asked for. */
class Taken {
  readonly #chunks: AsyncIterator<Uint8Array>
  #held: Uint8Array[] = []
  #bytes = 0

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  async take(length: number): Promise<Uint8Array> {
    while (this.#bytes < length) {
      const next = await this.#chunks.next()
      if (next.done === true) throw broken('it breaks off')
      this.#held.push(next.value)
      this.#bytes += next.value.length
    }
    const all = this.#held.length === 1 ? this.#held[0] : Buffer.concat(this.#held)
    const bytes = all ?? new Uint8Array(0)
    this.#bytes = bytes.length - length
    this.#held = this.#bytes === 0 ? [] : [bytes.subarray(length)]
    return bytes.subarray(0, length)
  }
}

function broken(reason: string, cause?: unknown): StratalogError {
  const options = cause === undefined ? {} : { cause }
  return new StratalogError('input_invalid', `This is no Arrow IPC stream: ${reason}.`, options)
}
