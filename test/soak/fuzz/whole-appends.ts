/**
 * Appends of which each record says to which it belongs, whole ones and broken ones: whatever comes of a request, its
 * records are all there or none of them is.
 */
import { gzipSync } from 'node:zlib'
import { type Random, randomFraction } from '../../../src/base/random.ts'
import type { SoakCounts } from '../report.ts'
import type { BadRequest } from './bad-requests.ts'
import type { RawAnswer } from './raw-answer.ts'

export const WHOLE_LOG = 'whole'

interface Sent {
  readonly count: number
  readonly status: number
  /** The body as it was sent is one of that append. */
  readonly isSound: boolean
}

export class WholeAppends {
  readonly #sent = new Map<number, Sent>()
  #next = 0

  request(random: Random, token: string): { id: number; request: BadRequest; isSound: boolean } {
    const id = this.#next++
    const count = 1 + (random.uint32() % 40)
    const records = Array.from({ length: count }, (_, row) => `{"id":${id},"row":${row}}`)
    const fault = Math.floor(randomFraction(random) * 8)
    // Half way through, a record that is none.
    if (fault === 1) records.splice(count >> 1, 0, '{"id":')
    if (fault === 2) records.splice(count >> 1, 0, '{"id":"text"}')
    const text = `${records.join('\n')}\n`
    const body = fault === 3 ? gzipSync(text) : Buffer.from(text)
    if (fault === 3) body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 0x55
    const head = [
      `POST /v1/logs/${WHOLE_LOG}/records HTTP/1.1`,
      'host: localhost',
      'connection: close',
      'content-type: application/x-ndjson',
      `authorization: Bearer ${token}`,
      ...(fault === 3 ? ['content-encoding: gzip'] : []),
    ]
    const start = `${head.join('\r\n')}\r\n`
    this.#sent.set(id, { count, status: 0, isSound: fault === 0 || fault >= 6 })
    return {
      id,
      isSound: fault === 0 || fault >= 6,
      request: { isForbidden: false, ...broken(random, fault, start, body) },
    }
  }

  answered(id: number, { status }: RawAnswer): void {
    const sent = this.#sent.get(id)
    if (sent !== undefined) this.#sent.set(id, { ...sent, status })
  }

  /** `records` are those of the log, in the order of their offsets. */
  check(
    records: readonly { readonly id: number; readonly row: number }[],
    counts: SoakCounts,
  ): void {
    const found = new Map<number, number>()
    let before = -1
    for (const { id, row } of records) {
      const have = found.get(id) ?? 0
      // The records of an append follow one another.
      if (row !== have || (row > 0 && before !== id))
        counts.violation('wrong', 'I5', `append ${id} has its record ${row} where ${have} belongs`)
      found.set(id, have + 1)
      before = id
    }
    for (const [id, { count, status, isSound }] of this.#sent) {
      const have = found.get(id) ?? 0
      const isAcknowledged = status >= 200 && status < 300
      if (have !== 0 && have !== count)
        counts.violation('wrong', 'I5', `append ${id} has ${have} of its ${count} records`)
      if (isAcknowledged) counts.acknowledged++
      if (isAcknowledged && have === 0) counts.violation('lost', 'I1', `append ${id} is not there`)
      if (have > 0 && (!isSound || status >= 400))
        counts.violation('invented', 'I2', `append ${id} was broken or refused, and is there`)
    }
  }
}

function broken(
  random: Random,
  fault: number,
  start: string,
  body: Buffer,
): Pick<BadRequest, 'bytes' | 'behaviour'> {
  const sized = (length: number, sent: Buffer): Buffer =>
    Buffer.concat([Buffer.from(`${start}content-length: ${length}\r\n\r\n`), sent])
  const part = body.subarray(0, Math.floor(randomFraction(random) * body.length))
  const chunk = (bytes: Buffer): readonly Buffer[] => [
    Buffer.from(`${bytes.length.toString(16)}\r\n`),
    bytes,
    Buffer.from('\r\n'),
  ]
  const chunked = (...parts: readonly Buffer[]): Buffer =>
    Buffer.concat([Buffer.from(`${start}transfer-encoding: chunked\r\n\r\n`), ...parts])
  switch (fault) {
    // The upload ends early: the connection is closed, or half closed.
    case 4:
      return {
        bytes: sized(body.length, part),
        behaviour: random.uint32() % 2 === 0 ? 'hangs up' : 'ends',
      }
    // The last chunk never comes, or another one is no chunk.
    case 5: {
      const end = random.uint32() % 2 === 0 ? [] : [Buffer.from('zz\r\n')]
      return { bytes: chunked(...chunk(part), ...end), behaviour: 'ends' }
    }
    case 6:
      return { bytes: chunked(...chunk(body), Buffer.from('0\r\n\r\n')), behaviour: 'sends' }
    // Sound, but nobody waits for the answer.
    case 7:
      return { bytes: sized(body.length, body), behaviour: 'hangs up' }
    default:
      return { bytes: sized(body.length, body), behaviour: 'sends' }
  }
}
