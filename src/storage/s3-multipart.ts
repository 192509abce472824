/**
 * A put in parts. The object appears whole with the last request, or not at all.
 *
 * 1. begin;
 * 2. parts, some at a time, each with its length and SHA-256, which the store checks on arrival;
 * 3. end, which names every part with its checksum, and carries the condition that the key is free.
 *
 * Whatever fails, the parts are given up, so that they cost nothing. (a crash leaves them, and so may a begin or an
 * abort whose answer was lost; collection finds those.) One try is one put in parts: retries begin anew.
 */
import { createHash } from 'node:crypto'
import { sha256Hex } from './checksum.ts'
import { objectCorrupt } from './store-errors.ts'

export interface Part {
  /** From 1. */
  readonly number: number
  readonly bytes: Uint8Array
  /** Hex. */
  readonly sha256: string
}

export interface SentPart extends Omit<Part, 'bytes'> {
  /** What the store calls it. */
  readonly tag: string
}

/** The requests of one put, each with its own deadline. */
export interface PartRequests {
  begin(signal: AbortSignal): Promise<string>
  part(id: string, part: Part, signal: AbortSignal): Promise<string>
  /** The store's checksum of all checksums, as the protocol writes it; null where it gives none. */
  end(id: string, parts: readonly SentPart[], signal: AbortSignal): Promise<string | null>
  abort(id: string): Promise<void>
}

export interface PutInParts {
  readonly requests: PartRequests
  /** For messages. */
  readonly url: string
  readonly key: string
  readonly bytes: Uint8Array
  readonly partBytes: number
  readonly parallel: number
  readonly signal: AbortSignal
}

/** @throws StratalogError what the requests throw; `object_corrupt` when the store has put together something else. */
export async function putInParts(put: PutInParts): Promise<void> {
  const { requests, signal, url, key } = put
  const id = await requests.begin(signal)
  let checksum: string | null
  let parts: readonly SentPart[]
  try {
    parts = await sendParts(put, id)
    checksum = await requests.end(id, parts, signal)
  } catch (error) {
    await requests.abort(id).catch(() => {})
    throw error
  }
  const expected = checksumOfChecksums(parts)
  if (checksum === null || checksum === expected) return
  throw objectCorrupt(url, key, 'the store put its parts together to something else', {
    expectedChecksum: expected,
    givenChecksum: checksum,
  })
}

/** All have ended when it returns or throws: a part that arrives after the abort would stay. */
async function sendParts(put: PutInParts, id: string): Promise<readonly SentPart[]> {
  const { requests, bytes, partBytes, parallel } = put
  const failed = new AbortController()
  const signal = AbortSignal.any([put.signal, failed.signal])
  const sent: SentPart[] = []
  const count = Math.ceil(bytes.length / partBytes)
  let next = 0
  let failure: { readonly error: unknown } | null = null
  const work = async (): Promise<void> => {
    for (let index = next++; index < count && failure === null; index = next++) {
      const part = bytes.subarray(index * partBytes, (index + 1) * partBytes)
      try {
        const sha256 = await sha256Hex(part)
        const number = index + 1
        const tag = await requests.part(id, { number, bytes: part, sha256 }, signal)
        sent[index] = { number, sha256, tag }
      } catch (error) {
        failure ??= { error }
        failed.abort()
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(parallel, count) }, work))
  // Workers set it, which the compiler does not see.
  const thrown = failure as { readonly error: unknown } | null
  if (thrown !== null) throw thrown.error
  return sent
}

function checksumOfChecksums(parts: readonly SentPart[]): string {
  const hash = createHash('sha256')
  for (const { sha256 } of parts) hash.update(sha256, 'hex')
  return `${hash.digest('base64')}-${parts.length}`
}
