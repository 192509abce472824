/** Choices by a seed. Streams of different names are independent: a change in one leaves the others as they were. */
import { type Random, randomFraction, seededRandom } from '../../src/base/random.ts'

export class Dice implements Random {
  readonly #seed: number
  readonly #random: Random

  constructor(seed: number) {
    this.#seed = seed >>> 0
    this.#random = seededRandom(this.#seed)
  }

  /** A stream of its own. */
  fork(name: string): Dice {
    let hash = 0x811c9dc5 ^ this.#seed
    for (let index = 0; index < name.length; index++)
      hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193)
    return new Dice(hash ^ (hash >>> 15))
  }

  uint32(): number {
    return this.#random.uint32()
  }

  /** Uniform in [0, 1). */
  fraction(): number {
    return randomFraction(this.#random)
  }

  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  /** A whole number in `[from, to]`. */
  int(from: number, to: number): number {
    return from + Math.floor(this.fraction() * (to - from + 1))
  }

  /** A whole number in `[1, max]`, each order of magnitude as likely as the others. */
  magnitude(max: number): number {
    return Math.floor(Math.exp(this.fraction() * Math.log(max + 1)))
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.int(0, items.length - 1)]
    if (item === undefined) throw new RangeError('there is nothing to pick from')
    return item
  }

  /** By weights above 0. */
  weighted<T extends string>(weights: Readonly<Record<T, number>>): T {
    const entries = Object.entries(weights) as [T, number][]
    let left = this.fraction() * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [name, weight] of entries) {
      left -= weight
      if (left < 0) return name
    }
    return this.pick(entries)[0]
  }
}
