/**
 * Encodes segments on a thread of its own, which starts with the first segment that is worth it and ends with the
 * engine. Batches lie in shared memory, so the thread reads them where they are; what is small, or lies in memory that
 * would have to be copied, is encoded here.
 */
import { fromClonedError } from '../base/cloned-error.ts'
import type { Clock } from '../base/clock.ts'
import { StratalogError } from '../base/errors.ts'
import type { ColumnData } from '../format/column.ts'
import { type RecordBatch, recordBatchBytes } from '../format/record-batch.ts'
import type { EncodedSegment, SegmentHeader } from '../format/segment.ts'
import type { FromEncoder, ToEncoder } from './encoder-thread.ts'
import { type PieceSink, type SegmentEncoder, inlineEncoder } from './segment-encoder.ts'

/** A running encoding thread, seen from the main thread. */
export interface EncoderChannel {
  post(message: ToEncoder): void
  onMessage(receive: (message: FromEncoder) => void): void
  /** With the error that nobody caught, if there was one. */
  onExit(exited: (error: Error | null) => void): void
  /** Whether the thread keeps the process alive. */
  setActive(isActive: boolean): void
  terminate(): Promise<void>
}

/** Starting a thread, and telling it what to do, takes longer than encoding less than this. */
const THREAD_BYTES_MIN = 512 * 1024

interface Encoding {
  readonly resolve: (segment: EncodedSegment) => void
  readonly reject: (error: unknown) => void
  readonly sink: PieceSink
  /** Ends when every piece so far was taken. */
  taking: Promise<void>
  /** What `sink` threw. */
  failure: { readonly error: unknown } | null
}

export class ThreadedEncoder implements SegmentEncoder {
  readonly #spawn: () => EncoderChannel
  readonly #inline: SegmentEncoder
  #channel: EncoderChannel | null = null
  #nextId = 1
  readonly #open = new Map<number, Encoding>()

  constructor(spawn: () => EncoderChannel, clock: Clock) {
    this.#spawn = spawn
    this.#inline = inlineEncoder(clock)
  }

  encode(
    header: SegmentHeader,
    batches: readonly RecordBatch[],
    sink: PieceSink,
  ): Promise<EncodedSegment> {
    const bytes = batches.reduce((sum, batch) => sum + recordBatchBytes(batch), 0)
    const isShared = batches.every(({ columns }) => columns.every(liesInSharedMemory))
    return bytes < THREAD_BYTES_MIN || !isShared
      ? this.#inline.encode(header, batches, sink)
      : this.#encodeThere(header, batches, sink)
  }

  async close(): Promise<void> {
    const channel = this.#channel
    this.#channel = null
    await channel?.terminate()
  }

  #encodeThere(
    header: SegmentHeader,
    batches: readonly RecordBatch[],
    sink: PieceSink,
  ): Promise<EncodedSegment> {
    const channel = (this.#channel ??= this.#start())
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject, sink, taking: Promise.resolve(), failure: null })
      if (this.#open.size === 1) channel.setActive(true)
      channel.post({ kind: 'encode', id, header, batches })
    })
  }

  #start(): EncoderChannel {
    const channel = this.#spawn()
    channel.onMessage((message) => this.#receive(channel, message))
    channel.onExit((error) => {
      if (this.#channel === channel) this.#channel = null
      const failure = new StratalogError(
        'internal',
        'The thread that encodes segments has ended.',
        error === null ? {} : { cause: error },
      )
      for (const { reject } of this.#open.values()) reject(failure)
      this.#open.clear()
    })
    return channel
  }

  #receive(channel: EncoderChannel, message: FromEncoder): void {
    const { id } = message
    const encoding = this.#open.get(id)
    if (encoding === undefined) return
    if (message.kind === 'piece') {
      encoding.taking = encoding.taking.then(() => this.#take(channel, id, encoding, message.piece))
      return
    }
    this.#open.delete(id)
    if (this.#open.size === 0) channel.setActive(false)
    void encoding.taking.then(() => {
      if (encoding.failure !== null) encoding.reject(encoding.failure.error)
      else if (message.kind === 'done') encoding.resolve(message.segment)
      else if (message.kind === 'failed') encoding.reject(fromClonedError(message.failure))
    })
  }

  async #take(
    channel: EncoderChannel,
    id: number,
    encoding: Encoding,
    piece: Uint8Array,
  ): Promise<void> {
    if (encoding.failure !== null) return
    try {
      await encoding.sink(piece)
      const buffer = piece.buffer instanceof SharedArrayBuffer ? piece.buffer : null
      channel.post({ kind: 'taken', id, buffer })
    } catch (error) {
      encoding.failure = { error }
      channel.post({ kind: 'stop', id })
    }
  }
}

function liesInSharedMemory({
  validity,
  offsets,
  values,
  dictionary,
  children,
}: ColumnData): boolean {
  const buffers = [validity, offsets, values].filter((part) => part !== null && part.length > 0)
  const inside = [...(dictionary === null ? [] : [dictionary]), ...(children ?? [])]
  return (
    buffers.every((part) => part?.buffer instanceof SharedArrayBuffer) &&
    inside.every(liesInSharedMemory)
  )
}
