/**
 * The frames of the pipe for columns.
 *
 *     request   u32 n | n bytes of JSON: ColumnRequest
 *     answer    u32 n | n bytes of JSON: ColumnAnswer | the bytes of each column
 *
 * Integers are little-endian. One request is answered before the next is made.
 */
import type { ColumnAnswer, ColumnRequest } from './child-protocol.ts'
import type { PackedColumns } from './packed-columns.ts'

/** Of a request and of an answer. */
export const HEAD_BYTES = 4

export function requestFrame(request: ColumnRequest): Uint8Array {
  const body = new TextEncoder().encode(JSON.stringify(request))
  const frame = new Uint8Array(HEAD_BYTES + body.byteLength)
  new DataView(frame.buffer).setUint32(0, body.byteLength, true)
  frame.set(body, HEAD_BYTES)
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
      const { byteLength } = this.#pending
      if (byteLength < HEAD_BYTES) return requests
      const end = HEAD_BYTES + readHead(this.#pending)
      if (byteLength < end) return requests
      const body = this.#pending.subarray(HEAD_BYTES, end)
      this.#pending = this.#pending.slice(end)
      requests.push(JSON.parse(new TextDecoder().decode(body)) as ColumnRequest)
    }
  }
}

/** `columns` is null where the query has ended. */
export function answerPieces(columns: readonly PackedColumns[] | null): readonly Uint8Array[] {
  const answer: ColumnAnswer = {
    columns: columns?.map(({ plans, byteLength }) => ({ plans, byteLength })) ?? null,
  }
  const body = new TextEncoder().encode(JSON.stringify(answer))
  const head = new Uint8Array(HEAD_BYTES)
  new DataView(head.buffer).setUint32(0, body.byteLength, true)
  return [head, body, ...(columns ?? []).flatMap(({ pieces }) => pieces)]
}

/** How long the JSON is that follows. */
export function readHead({ buffer, byteOffset }: Uint8Array): number {
  return new DataView(buffer, byteOffset).getUint32(0, true)
}
