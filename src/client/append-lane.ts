/**
 * The appends of one client to one partition, in order, each applied once however often it is sent.
 *
 * A lane is a producer (docs/rfcs/0001-idempotent-producers.md) with one request in flight. Appends that wait behind it
 * and ask for the same go together in the next request. Invariant: a sequence belongs to one request for good, so
 *
 * 1. an acknowledged request takes its sequence, and the next one has the one after it;
 * 2. a request that failed may still land when its outcome is not known, with its sequence. The lane goes on in a
 *    higher epoch, which fences it: what comes later can never be taken for a repetition of it;
 * 3. a gap at the first attempt says that the server knows of nothing with this sequence (it forgot the producer, or
 *    lost what was acknowledged in RAM): the request was not applied, and begins the next epoch;
 * 4. appends that went together go apart only where the server itself refused all of them, and none may still land.
 */
import { StratalogError, isStratalogError, toStratalogError } from '../base/errors.ts'
import type { AppendResult } from '../log/live-log.ts'
import type { AppendBody } from './append-body.ts'
import type { ClientRequest, RequestFate, Transport } from './transport.ts'

export interface LaneTerms {
  /** Parameters of the request. */
  readonly parameters: Readonly<Record<string, string | number | undefined>>
  /** Whether it may share a request with others of the same parameters. */
  readonly isAlone: boolean
}

interface Waiting extends LaneTerms {
  readonly body: AppendBody
  readonly signal: AbortSignal | undefined
  readonly isOver: () => boolean
  readonly resolve: (result: AppendResult) => void
  readonly reject: (error: unknown) => void
}

/** Of what is sent together: far below what a request may have, and enough to make its cost small. */
const GROUP_CHARS_MAX = 1_048_576
const GROUP_COUNT_MAX = 256

export class AppendLane {
  readonly #transport: Transport
  readonly #path: string
  readonly #producerId: string
  #epoch = 0
  #sequence = 0
  #waiting: Waiting[] = []
  #isSending = false

  constructor(transport: Transport, path: string, producerId: string) {
    this.#transport = transport
    this.#path = path
    this.#producerId = producerId
  }

  append(
    body: AppendBody,
    terms: LaneTerms,
    signal: AbortSignal | undefined,
  ): Promise<AppendResult> {
    return new Promise((resolve, reject) => {
      let isOver = false
      const end = (settle: () => void): void => {
        isOver = true
        signal?.removeEventListener('abort', onAbort)
        settle()
      }
      const onAbort = (): void => end(() => reject(aborted(signal)))
      if (signal?.aborted === true) {
        reject(aborted(signal))
        return
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiting.push({
        ...terms,
        body,
        signal,
        isOver: () => isOver,
        resolve: (result) => end(() => resolve(result)),
        reject: (error) => end(() => reject(toStratalogError(error))),
      })
      if (!this.#isSending) void this.#sendAll()
    })
  }

  async #sendAll(): Promise<void> {
    this.#isSending = true
    // What is appended in one turn goes together from the first on.
    await Promise.resolve()
    for (let group = this.#takeGroup(); group.length > 0; group = this.#takeGroup())
      await this.#sendGroup(group)
    this.#isSending = false
  }

  #takeGroup(): readonly Waiting[] {
    this.#waiting = this.#waiting.filter((append) => !append.isOver())
    const [first] = this.#waiting
    if (first === undefined) return []
    let chars = 0
    let count = 0
    for (const append of this.#waiting) {
      chars += append.body.bytes.length
      const isOneMore = count === 0 || (isTogether(first, append) && chars <= GROUP_CHARS_MAX)
      if (!isOneMore || count === GROUP_COUNT_MAX) break
      count++
    }
    return this.#waiting.splice(0, count)
  }

  async #sendGroup(group: readonly Waiting[]): Promise<void> {
    const [first] = group
    if (first === undefined) return
    const ender = new AbortController()
    // The request of many goes on for those who still wait.
    const endWhenOver = (): void => {
      if (group.every((append) => append.isOver())) ender.abort()
    }
    for (const { signal } of group) signal?.addEventListener('abort', endWhenOver, { once: true })
    const fate = { isUnknown: false }
    try {
      const { partition, offset } = await this.#send(joined(group), first, ender.signal, fate)
      let place = offset
      for (const { body, resolve } of group) {
        resolve({ partition, offset: place, count: body.count })
        place += body.count
      }
    } catch (error) {
      // What is wrong with one of them is no error of the others.
      if (group.length > 1 && !fate.isUnknown && isOfRecords(error))
        for (const append of group) await this.#sendGroup(append.isOver() ? [] : [append])
      else for (const { reject } of group) reject(error)
    } finally {
      for (const { signal } of group) signal?.removeEventListener('abort', endWhenOver)
    }
  }

  async #send(
    body: AppendBody,
    terms: LaneTerms,
    signal: AbortSignal,
    fate: RequestFate,
  ): Promise<AppendResult> {
    for (let isAgain = false; ; isAgain = true) {
      try {
        const result = await this.#request(body, terms, signal, fate)
        this.#sequence++
        return result
      } catch (error) {
        const code = isStratalogError(error) ? error.code : null
        const isFirst = this.#sequence === 0
        this.#epoch++
        this.#sequence = 0
        if (code === 'producers_full' && !fate.isUnknown)
          return this.#sendOnce(body, terms, signal, fate)
        if (code === 'producer_sequence_gap' && !isFirst && !fate.isUnknown && !isAgain) continue
        throw error
      }
    }
  }

  #request(
    body: AppendBody,
    terms: LaneTerms,
    signal: AbortSignal,
    fate: RequestFate,
  ): Promise<AppendResult> {
    const headers = producerHeaders(this.#producerId, this.#epoch, this.#sequence)
    return this.#post(body, terms, { headers, isRepeatable: true, signal, fate })
  }

  /** Where a partition has as many producers as it remembers: without one, and so never twice. */
  #sendOnce(
    body: AppendBody,
    terms: LaneTerms,
    signal: AbortSignal,
    fate: RequestFate,
  ): Promise<AppendResult> {
    return this.#post(body, terms, { isRepeatable: false, signal, fate })
  }

  #post(
    { bytes, contentType }: AppendBody,
    { parameters }: LaneTerms,
    how: Pick<ClientRequest, 'headers' | 'isRepeatable' | 'signal' | 'fate'>,
  ): Promise<AppendResult> {
    const what = { method: 'POST', parameters, body: bytes, contentType } as const
    return this.#transport.json<AppendResult>(this.#path, { ...what, ...how })
  }
}

export function producerHeaders(
  producerId: string,
  epoch: number,
  sequence: number,
): Readonly<Record<string, string>> {
  return {
    'producer-id': producerId,
    'producer-epoch': String(epoch),
    'producer-seq': String(sequence),
  }
}

function isTogether(first: Waiting, other: Waiting): boolean {
  if (first.isAlone || other.isAlone || first.body.rows === null) return first === other
  return (
    first.body.contentType === other.body.contentType &&
    JSON.stringify(first.parameters) === JSON.stringify(other.parameters)
  )
}

/** Whether the server read the records, or tried to, and refused them. A proxy's 404 has the same kind. */
function isOfRecords(error: unknown): boolean {
  if (!isStratalogError(error) || error.kind !== 'invalid') return false
  const { problem } = error.details
  return problem === undefined || problem === 'request_invalid'
}

function joined(group: readonly Waiting[]): AppendBody {
  const [first] = group
  if (first === undefined || group.length === 1) return (first as Waiting).body
  const bytes = group.map(({ body }) => body.bytes as string).join('')
  return { ...first.body, bytes, count: group.reduce((sum, { body }) => sum + body.count, 0) }
}

function aborted(signal: AbortSignal | undefined): StratalogError {
  return new StratalogError('aborted', 'The operation was aborted.', { cause: signal?.reason })
}
