/**
 * What a cache keeps within its bytes: 2Q, in its full version, counted in bytes instead of pages (T. Johnson and
 * D. Shasha, "2Q: A Low Overhead High Performance Buffer Management Replacement Algorithm", VLDB 1994). Pure.
 *
 * What comes in first waits in a short queue (the paper's A1in), first in, first out. What leaves it is remembered by
 * name (A1out). Only what is wanted again while it is remembered is kept by last use (Am). A scan of everything passes
 * through the short queue, and what is read again and again stays.
 */

/** Part of the bytes that new things get, before they take what the others do not need. The paper's Kin. */
const RECENT_PART = 1 / 4

/** How many bytes are remembered by name alone, as a part of the bytes kept. The paper's Kout. */
const REMEMBERED_PART = 1 / 2

export class TwoQueue {
  readonly #bytesMax: number
  // Bytes by name, what goes first in front.
  readonly #recent = new Map<string, number>()
  readonly #frequent = new Map<string, number>()
  readonly #remembered = new Map<string, number>()
  #recentBytes = 0
  #frequentBytes = 0
  #rememberedBytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get usedBytes(): number {
    return this.#recentBytes + this.#frequentBytes
  }

  /** Says that a kept thing was used. */
  touch(name: string): void {
    const bytes = this.#frequent.get(name)
    if (bytes === undefined) return
    this.#frequent.delete(name)
    this.#frequent.set(name, bytes)
  }

  /** Keeps something new, at once by last use when `isPreferred`. The names of what has to go, itself perhaps. */
  add(name: string, bytes: number, isPreferred = false): readonly string[] {
    this.remove(name)
    const isWantedAgain = this.#forget(name)
    if (isPreferred || isWantedAgain) {
      this.#frequent.set(name, bytes)
      this.#frequentBytes += bytes
    } else {
      this.#recent.set(name, bytes)
      this.#recentBytes += bytes
    }
    const removed: string[] = []
    while (this.usedBytes > this.#bytesMax) removed.push(this.#evict())
    return removed
  }

  remove(name: string): void {
    this.#recentBytes -= this.#recent.get(name) ?? 0
    this.#frequentBytes -= this.#frequent.get(name) ?? 0
    this.#recent.delete(name)
    this.#frequent.delete(name)
  }

  #evict(): string {
    const isRecent = this.#recentBytes > this.#bytesMax * RECENT_PART || this.#frequent.size === 0
    const [first = ['', 0]] = isRecent ? this.#recent : this.#frequent
    const [name, bytes] = first
    this.remove(name)
    if (isRecent) this.#remember(name, bytes)
    return name
  }

  #remember(name: string, bytes: number): void {
    this.#remembered.set(name, bytes)
    this.#rememberedBytes += bytes
    for (const oldest of this.#remembered.keys()) {
      if (this.#rememberedBytes <= this.#bytesMax * REMEMBERED_PART) return
      this.#forget(oldest)
    }
  }

  #forget(name: string): boolean {
    this.#rememberedBytes -= this.#remembered.get(name) ?? 0
    return this.#remembered.delete(name)
  }
}
