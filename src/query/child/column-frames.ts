/**
 * The frames of the pipe for columns.
 *
 *     request   u32 n | n bytes of JSON: ColumnRequest
 *     answer    u32 n | u32 m | n bytes of JSON: ColumnAnswer | m bytes of columns
 *
 * Integers are little-endian. One request is answered before the next is made.
 */
import type { ColumnAnswer, ColumnRequest } from './child-protocol.ts'
import type { PackedColumns } from './packed-columns.ts'

export const REQUEST_HEAD_BYTES = 4
export const ANSWER_HEAD_BYTES = 8

const NOTHING: PackedColumns = { plans: [], pieces: [], byteLength: 0 }

export function requestFrame(request: ColumnRequest): Uint8Array {
  const body = new TextEncoder().encode(JSON.stringify(request))
  const frame = new Uint8Array(REQUEST_HEAD_BYTES + body.byteLength)
  new DataView(frame.buffer).setUint32(0, body.byteLength, true)
  frame.set(body, REQUEST_HEAD_BYTES)
  return frame
}

/** Takes requests out of a stream of bytes. */
export class RequestReader {
  #pending: Uint8Array = new Uint8Array(0)

  push(bytes: Uint8Array): readonly ColumnRequest[] {
    const requests: ColumnRequest[] = []
    const pending = new Uint8Array(this.#pending.byteLength + bytes.byteLength)
    pending.set(this.#pending)
    pending.set(bytes, this.#pending.byteLength)
    this.#pending = pending
    for (;;) {
      const { buffer, byteOffset, byteLength } = this.#pending
      if (byteLength < REQUEST_HEAD_BYTES) return requests
      const end = REQUEST_HEAD_BYTES + new DataView(buffer, byteOffset).getUint32(0, true)
      if (byteLength < end) return requests
      const body = this.#pending.subarray(REQUEST_HEAD_BYTES, end)
      this.#pending = this.#pending.slice(end)
      requests.push(JSON.parse(new TextDecoder().decode(body)) as ColumnRequest)
    }
  }
}

/** `columns` is null where the query has ended. */
export function answerPieces(columns: PackedColumns | null): readonly Uint8Array[] {
  const { pieces, byteLength } = columns ?? NOTHING
  const answer: ColumnAnswer = { plans: columns === null ? null : columns.plans }
  const body = new TextEncoder().encode(JSON.stringify(answer))
  const head = new DataView(new ArrayBuffer(ANSWER_HEAD_BYTES))
  head.setUint32(0, body.byteLength, true)
  head.setUint32(4, byteLength, true)
  return [new Uint8Array(head.buffer), body, ...pieces]
}

export function readAnswerHead(head: Uint8Array): {
  readonly jsonBytes: number
  readonly columnBytes: number
} {
  const view = new DataView(head.buffer, head.byteOffset, ANSWER_HEAD_BYTES)
  return { jsonBytes: view.getUint32(0, true), columnBytes: view.getUint32(4, true) }
}
