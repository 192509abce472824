/** Objects of which every byte is known, for caches of their parts; each fetch is counted and can go wrong. */
import type { Range } from '../../src/base/range.ts'
import type { CachedObject, CachedPart } from '../../src/storage/part-cache.ts'

/** Byte p of object n is a mix of both, so that bytes of the wrong place are noticed. */
export function byteAt(number: number, position: number): number {
  return (number * 31 + position * 7 + Math.floor(position / 256)) % 251
}

export function part(
  number: number,
  start: number,
  end: number,
  kind: CachedPart['kind'] = 'data',
): CachedPart {
  const isSound = (bytes: Uint8Array): boolean =>
    bytes.length === end - start &&
    bytes.every((byte, index) => byte === byteAt(number, start + index))
  return { start, end, kind, isSound }
}

export class Origin {
  readonly fetched: Range[] = []
  /** Changes what is given; called with the number of the fetch. */
  fault: (bytes: Uint8Array, fetch: number) => Uint8Array | Promise<Uint8Array> = (bytes) => bytes
  signals: AbortSignal[] = []

  object(number: number): CachedObject {
    return {
      sha256: number.toString(16).padStart(64, '0'),
      fetch: async (range, signal) => {
        const fetch = this.fetched.push(range) - 1
        this.signals.push(signal)
        const bytes = Uint8Array.from({ length: range.end - range.start }, (_, index) =>
          byteAt(number, range.start + index),
        )
        return this.fault(bytes, fetch)
      },
    }
  }
}
