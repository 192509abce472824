/** The random port: identifiers, jitter, sampling; secrets have `secretBytes`. This file owns the real source. */
export interface Random {
  /** A whole number, uniform in [0, 2^32). */
  uint32(): number
}

export const systemRandom: Random = {
  uint32: () => {
    const words = new Uint32Array(1)
    globalThis.crypto.getRandomValues(words)
    return words[0] ?? 0
  },
}

/** Random bytes for secrets. Not a port: nothing may repeat them. */
export function secretBytes(byteCount: number): Uint8Array {
  return globalThis.crypto.getRandomValues(new Uint8Array(byteCount))
}

/** A repeatable source: equal seeds give equal sequences (mulberry32, a public-domain 32-bit generator). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return {
    uint32: () => {
      state = (state + 0x6d2b79f5) >>> 0
      let mixed = Math.imul(state ^ (state >>> 15), state | 1)
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
      return (mixed ^ (mixed >>> 14)) >>> 0
    },
  }
}

/** A number uniform in [0, 1). */
export function randomFraction(random: Random): number {
  return random.uint32() / 2 ** 32
}

/** `byteCount` random bytes as lowercase hex; for identifiers. */
export function randomHex(random: Random, byteCount: number): string {
  let hex = ''
  while (hex.length < byteCount * 2) hex += random.uint32().toString(16).padStart(8, '0')
  return hex.slice(0, byteCount * 2)
}
