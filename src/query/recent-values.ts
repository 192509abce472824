/** Values by text, within a budget of characters: the least recently used go first. */
interface KeptValue<Value> {
  readonly value: Value
  readonly length: number
}

export class RecentValues<Value> {
  readonly #lengthMax: number
  /** The least recently used first. */
  readonly #kept = new Map<string, KeptValue<Value>>()
  #length = 0

  constructor(lengthMax: number) {
    this.#lengthMax = lengthMax
  }

  /** Characters that are kept. */
  get length(): number {
    return this.#length
  }

  get(text: string): Value | undefined {
    const kept = this.#kept.get(text)
    if (kept === undefined) return undefined
    this.#kept.delete(text)
    this.#kept.set(text, kept)
    return kept.value
  }

  /** @param length of what the value was made of. What would take a quarter of the budget is not kept. */
  set(text: string, value: Value, length: number): void {
    const whole = text.length + length
    if (whole > this.#lengthMax / 4 || this.#kept.has(text)) return
    this.#kept.set(text, { value, length: whole })
    this.#length += whole
    for (const [oldest, kept] of this.#kept) {
      if (this.#length <= this.#lengthMax) return
      this.#kept.delete(oldest)
      this.#length -= kept.length
    }
  }
}
