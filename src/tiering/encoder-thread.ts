/**
 * What the encoding thread runs, and what it and the main thread say to each other. This file knows no threads:
 * `engine/workers` starts one and hands its channel over.
 *
 * One segment after the other, in the order they were asked for. The thread reads the shared buffers of the batches and
 * is a few pieces ahead of whoever takes them.
 */
import { type ClonedError, toClonedError } from '../base/cloned-error.ts'
import type { RecordBatch } from '../format/record-batch.ts'
import { segmentSteps } from '../format/segment-steps.ts'
import type { EncodedSegment, SegmentHeader } from '../format/segment.ts'

export type ToEncoder =
  | {
      readonly kind: 'encode'
      readonly id: number
      readonly header: SegmentHeader
      readonly batches: readonly RecordBatch[]
    }
  /** A piece was taken. */
  | { readonly kind: 'taken'; readonly id: number }
  /** No more pieces are wanted; `stopped` answers, and nothing of the batches is read after it. */
  | { readonly kind: 'stop'; readonly id: number }

/** For each segment any number of `piece`, then one of the others. */
export type FromEncoder =
  | { readonly kind: 'piece'; readonly id: number; readonly piece: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'done'; readonly id: number; readonly segment: EncodedSegment }
  | { readonly kind: 'failed'; readonly id: number; readonly failure: ClonedError }
  | { readonly kind: 'stopped'; readonly id: number }

/** Pieces that were sent and not taken yet. */
const AHEAD_MAX = 4

export class EncoderThread {
  readonly #post: (message: FromEncoder, transfer: readonly ArrayBuffer[]) => void
  #last: Promise<void> = Promise.resolve()
  /** Of the segments that were asked for and have no end yet. */
  readonly #open = new Map<number, Progress>()

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
    if (message.kind === 'taken') progress?.taken()
    else progress?.stop()
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
      const piece = ownBytes(step.value)
      progress.sent()
      this.#post({ kind: 'piece', id, piece }, [piece.buffer])
    }
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
