/**
 * What the encoding thread runs, and what it and the main thread say to each other. This file knows no threads:
 * `engine/workers` starts one and hands its channel over.
 *
 * One segment after the other, in the order they were asked for. The thread reads the shared buffers of the batches and
 * is a few pieces ahead of whoever takes them.
 */
import { type ClonedError, toClonedError } from '../base/cloned-error.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { copyBytes } from '../format/copy-bytes.ts'
import { segmentSteps } from '../format/segment-steps.ts'
import type { EncodedSegment, SegmentHeader } from '../format/segment.ts'

export type ToEncoder =
  | {
      readonly kind: 'encode'
      readonly id: number
      readonly header: SegmentHeader
      readonly batches: readonly RecordBatch[]
    }
  /** A piece was taken; the buffer that it was lent is free again. */
  | { readonly kind: 'taken'; readonly id: number; readonly buffer: SharedArrayBuffer | null }
  /** No more pieces are wanted; `stopped` answers, and nothing of the batches is read after it. */
  | { readonly kind: 'stop'; readonly id: number }

/** For each segment any number of `piece`, then one of the others. */
export type FromEncoder =
  | { readonly kind: 'piece'; readonly id: number; readonly piece: Uint8Array }
  | { readonly kind: 'done'; readonly id: number; readonly segment: EncodedSegment }
  | { readonly kind: 'failed'; readonly id: number; readonly failure: ClonedError }
  | { readonly kind: 'stopped'; readonly id: number }

/** Pieces that were sent and not taken yet. */
const AHEAD_MAX = 4
/**
 * Pieces of up to so many bytes go in shared buffers that are used again: V8 would count what is handed over as fresh,
 * and collects all garbage of the thread that gets it for every few megabytes.
 */
const LENT_BYTES_MAX = 2 * 1024 * 1024
const LENT_BYTES_MIN = 256 * 1024

export class EncoderThread {
  readonly #post: (message: FromEncoder, transfer: readonly ArrayBuffer[]) => void
  #last: Promise<void> = Promise.resolve()
  /** Of the segments that were asked for and have no end yet. */
  readonly #open = new Map<number, Progress>()
  readonly #free: SharedArrayBuffer[] = []

  constructor(post: (message: FromEncoder, transfer: readonly ArrayBuffer[]) => void) {
    this.#post = post
  }

  receive(message: ToEncoder): void {
    if (message.kind === 'encode') {
      const progress = new Progress()
      this.#open.set(message.id, progress)
      this.#last = this.#last.then(() => this.#encode(message, progress))
      return
    }
    const progress = this.#open.get(message.id)
    if (message.kind === 'stop') progress?.stop()
    else {
      if (message.buffer !== null && this.#free.length < AHEAD_MAX) this.#free.push(message.buffer)
      progress?.taken()
    }
  }

  async #encode(
    { id, header, batches }: ToEncoder & { kind: 'encode' },
    progress: Progress,
  ): Promise<void> {
    try {
      const started = segmentSteps(header, batches)
      const steps = started instanceof Promise ? await started : started
      const segment = await this.#pieces(id, steps, progress)
      this.#post(segment === null ? { kind: 'stopped', id } : { kind: 'done', id, segment }, [])
    } catch (error) {
      this.#post({ kind: 'failed', id, failure: toClonedError(error) }, [])
    } finally {
      this.#open.delete(id)
    }
  }

  /** Null when nobody wanted the rest. */
  async #pieces(
    id: number,
    steps: Generator<Uint8Array, EncodedSegment, void>,
    progress: Progress,
  ): Promise<EncodedSegment | null> {
    for (;;) {
      await progress.room()
      if (progress.isStopped) return null
      const step = steps.next()
      if (step.done === true) return step.value
      if (step.value.length === 0) continue
      progress.sent()
      if (step.value.length > LENT_BYTES_MAX) {
        const piece = ownBytes(step.value)
        this.#post({ kind: 'piece', id, piece }, [piece.buffer])
      } else this.#post({ kind: 'piece', id, piece: this.#lend(step.value) }, [])
    }
  }

  #lend(bytes: Uint8Array): Uint8Array {
    const { length } = bytes
    const at = this.#free.findIndex(({ byteLength }) => byteLength >= length)
    const [free] = at === -1 ? [] : this.#free.splice(at, 1)
    // One that is too small makes room for one that is not.
    if (free === undefined) this.#free.pop()
    const buffer = free ?? new SharedArrayBuffer(Math.max(LENT_BYTES_MIN, length))
    const piece = new Uint8Array(buffer, 0, length)
    copyBytes(piece, 0, bytes)
    return piece
  }
}

class Progress {
  isStopped = false
  #ahead = 0
  #wake: () => void = () => {}

  sent(): void {
    this.#ahead++
  }

  taken(): void {
    this.#ahead--
    this.#wake()
  }

  stop(): void {
    this.isStopped = true
    this.#wake()
  }

  /** Resolves when one more piece may be sent, or none is wanted. */
  async room(): Promise<void> {
    while (this.#ahead >= AHEAD_MAX && !this.isStopped) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}

/** A piece is the caller's, but may be part of a bigger buffer. */
function ownBytes(piece: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = piece
  return buffer instanceof ArrayBuffer && buffer.byteLength === piece.length
    ? new Uint8Array(buffer)
    : Uint8Array.from(piece)
}
