/**
 * Arrow IPC streams whose schema was read before, as programs send them one after the other: their batches are read
 * where they lie, in a tenth of the time that apache-arrow takes to make its objects.
 *
 * Only what most programs write: uncompressed batches of plain columns and dictionaries of those. Of anything else, and
 * of anything that is not as it should be, this says nothing, and apache-arrow reads it or says what is wrong.
 */
import { Buffer as BufferPlace } from 'apache-arrow/fb/buffer'
import { DictionaryBatch } from 'apache-arrow/fb/dictionary-batch'
import { FieldNode } from 'apache-arrow/fb/field-node'
import { Message } from 'apache-arrow/fb/message'
import { MessageHeader } from 'apache-arrow/fb/message-header'
import { RecordBatch } from 'apache-arrow/fb/record-batch'
import { ByteBuffer } from 'flatbuffers'
import type { ArrowData } from './arrow-column.ts'
import { CONTINUATION, MESSAGE_PREFIX_BYTES } from './arrow-message.ts'
import { ARROW_TYPE, type ArrowBatch, type ArrowField, type ArrowType } from './arrow-types.ts'

/** A schema as apache-arrow read it; `id` is that of a dictionary's type. */
export interface ReadSchema {
  readonly fields: readonly (ArrowField & { readonly type: ArrowType & { readonly id?: number } })[]
}

interface KnownSchema {
  /** The bytes of its message, from the start of the stream. */
  readonly message: Uint8Array
  readonly schema: ReadSchema
}

/** A program has few, each is small. */
const SCHEMAS_MAX = 16
const SCHEMA_BYTES_MAX = 64 * 1024

export class KnownStreams {
  /** The one that came last is the first. */
  readonly #known: KnownSchema[] = []

  /** Takes note of the schema that a stream begins with, as apache-arrow read it. */
  note(bytes: Uint8Array, schema: ReadSchema): void {
    const length = schemaBytes(bytes)
    if (length === 0 || length > SCHEMA_BYTES_MAX || !schema.fields.every(isPlain)) return
    if (this.#find(bytes) !== null) return
    if (this.#known.unshift({ message: bytes.slice(0, length), schema }) > SCHEMAS_MAX)
      this.#known.pop()
  }

  /** The batches of a stream; null where this cannot tell. They lie in `bytes`. */
  read(bytes: Uint8Array): readonly ArrowBatch[] | null {
    const known = this.#find(bytes)
    if (known === null) return null
    try {
      const batches = new StreamReader(bytes, known.schema).read(known.message.length)
      return batches?.length === 0 ? null : batches
    } catch {
      // Positions of damaged metadata lie anywhere.
      return null
    }
  }

  #find(bytes: Uint8Array): KnownSchema | null {
    const at = this.#known.findIndex(
      ({ message }) =>
        bytes.length >= message.length &&
        Buffer.compare(message, bytes.subarray(0, message.length)) === 0,
    )
    const [known] = at === -1 ? [] : this.#known.splice(at, 1)
    if (known === undefined) return null
    this.#known.unshift(known)
    return known
  }
}

/** 0 for what is no stream. */
function schemaBytes(bytes: Uint8Array): number {
  if (bytes.length < MESSAGE_PREFIX_BYTES) return 0
  const view = new DataView(bytes.buffer, bytes.byteOffset, MESSAGE_PREFIX_BYTES)
  if (view.getUint32(0, true) !== CONTINUATION) return 0
  const length = MESSAGE_PREFIX_BYTES + view.getUint32(4, true)
  return length <= bytes.length ? length : 0
}

const FIXED: ReadonlySet<number> = new Set([
  ARROW_TYPE.int,
  ARROW_TYPE.float,
  ARROW_TYPE.bool,
  ARROW_TYPE.decimal,
  ARROW_TYPE.date,
  ARROW_TYPE.timestamp,
  ARROW_TYPE.fixedSizeBinary,
  ARROW_TYPE.dictionary,
])
const VARIABLE: ReadonlySet<number> = new Set([
  ARROW_TYPE.utf8,
  ARROW_TYPE.binary,
  ARROW_TYPE.largeUtf8,
  ARROW_TYPE.largeBinary,
])

function isPlain({ type }: ReadSchema['fields'][number]): boolean {
  const { typeId, dictionary } = type
  if (typeId !== ARROW_TYPE.dictionary) return FIXED.has(typeId) || VARIABLE.has(typeId)
  if (dictionary === undefined || type.id === undefined) return false
  return (
    dictionary.typeId !== ARROW_TYPE.dictionary &&
    isPlain({ name: '', nullable: true, type: dictionary })
  )
}

class StreamReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #schema: ReadSchema
  readonly #node = new FieldNode()
  /** By id: the dictionary so far, in its parts. */
  readonly #dictionaries = new Map<number, readonly ArrowData[]>()

  constructor(bytes: Uint8Array, schema: ReadSchema) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#schema = schema
  }

  read(start: number): readonly ArrowBatch[] | null {
    const batches: ArrowBatch[] = []
    let position = start
    while (position + MESSAGE_PREFIX_BYTES <= this.#bytes.length) {
      if (this.#view.getUint32(position, true) !== CONTINUATION) return null
      const metadata = position + MESSAGE_PREFIX_BYTES
      const body = metadata + this.#view.getUint32(metadata - 4, true)
      if (body === metadata) return batches
      if (body > this.#bytes.length) return null
      const message = Message.getRootAsMessage(new ByteBuffer(this.#bytes.subarray(metadata, body)))
      position = body + Number(message.bodyLength())
      if (!(position >= body && position <= this.#bytes.length)) return null
      const batch = this.#take(message, this.#bytes.subarray(body, position))
      if (batch === null) return null
      if (batch !== 'dictionary') batches.push(batch)
    }
    return position === this.#bytes.length ? batches : null
  }

  #take(message: Message, body: Uint8Array): ArrowBatch | 'dictionary' | null {
    if (message.headerType() === MessageHeader.DictionaryBatch)
      return this.#takeDictionary(message.header(new DictionaryBatch()) as DictionaryBatch, body)
    if (message.headerType() !== MessageHeader.RecordBatch) return null
    const batch = message.header(new RecordBatch()) as RecordBatch
    const { fields } = this.#schema
    const children = this.#columns(
      batch,
      body,
      fields.map(({ type }) => type),
    )
    return children && { schema: this.#schema, data: { length: Number(batch.length()), children } }
  }

  #takeDictionary(batch: DictionaryBatch, body: Uint8Array): 'dictionary' | null {
    const id = Number(batch.id())
    const type = this.#schema.fields.find((field) => field.type.id === id)?.type.dictionary
    const data = batch.data()
    const columns = type === undefined || data === null ? null : this.#columns(data, body, [type])
    if (columns === null) return null
    const before = batch.isDelta() ? (this.#dictionaries.get(id) ?? []) : []
    this.#dictionaries.set(id, [...before, ...columns])
    return 'dictionary'
  }

  #columns(
    batch: RecordBatch,
    body: Uint8Array,
    types: readonly (ArrowType & { readonly id?: number })[],
  ): readonly ArrowData[] | null {
    if (batch.compression() !== null || batch.nodesLength() !== types.length) return null
    const buffers = new BufferPlaces(batch, body)
    const columns: ArrowData[] = []
    for (const [index, type] of types.entries()) {
      const node = batch.nodes(index, this.#node)
      const length = firstOf(node)
      if (!(length >= 0 && length < 2 ** 31)) return null
      const bitmap = buffers.next()
      // Where nothing is null a writer may leave anything there.
      const nullBitmap = secondOf(node) === 0 ? null : bitmap
      const valueOffsets = VARIABLE.has(type.typeId) ? buffers.next() : null
      const values = buffers.next()
      const column = { type, length, offset: 0, nullBitmap, valueOffsets, values }
      if (type.typeId !== ARROW_TYPE.dictionary) columns.push(column)
      else
        columns.push({
          ...column,
          dictionary: { data: this.#dictionaries.get(type.id ?? -1) ?? [] },
        })
    }
    return buffers.areAll ? columns : null
  }
}

/** A struct of two 64-bit numbers in the metadata, which come without the bigints of its own readers. */
type Pair = Pick<FieldNode, 'bb' | 'bb_pos'> | null

/** -1 where there is none, or it is greater than any of this has. */
function firstOf(pair: Pair): number {
  return countAt(pair, 0)
}

function secondOf(pair: Pair): number {
  return countAt(pair, 8)
}

function countAt(pair: Pair, at: number): number {
  if (pair === null || pair.bb === null) return -1
  const position = pair.bb_pos + at
  return pair.bb.readInt32(position + 4) === 0 ? pair.bb.readUint32(position) : -1
}

/** The buffers of a batch in their order, each inside of its body. */
class BufferPlaces {
  readonly #batch: RecordBatch
  readonly #body: Uint8Array
  readonly #place = new BufferPlace()
  #next = 0

  constructor(batch: RecordBatch, body: Uint8Array) {
    this.#batch = batch
    this.#body = body
  }

  get areAll(): boolean {
    return this.#next === this.#batch.buffersLength()
  }

  /** @throws RangeError */
  next(): Uint8Array {
    const place = this.#batch.buffers(this.#next++, this.#place)
    const position = firstOf(place)
    const length = secondOf(place)
    if (!(position >= 0 && length >= 0 && position + length <= this.#body.length))
      throw new RangeError('a buffer lies outside of its message')
    return this.#body.subarray(position, position + length)
  }
}
