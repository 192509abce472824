/**
 * Which segment files, and which objects of segments, are being read by this engine. A file whose copy was dropped from
 * the manifest is deleted when the last reader lets go, and an object is not collected before, so a view never loses
 * them under its feet.
 */
export class SegmentPins {
  readonly #pins = new Map<string, number>()
  readonly #doomed = new Map<string, () => void>()

  pin(file: string): void {
    this.#pins.set(file, (this.#pins.get(file) ?? 0) + 1)
  }

  unpin(file: string): void {
    const count = (this.#pins.get(file) ?? 0) - 1
    if (count > 0) {
      this.#pins.set(file, count)
      return
    }
    this.#pins.delete(file)
    const remove = this.#doomed.get(file)
    this.#doomed.delete(file)
    remove?.()
  }

  isPinned(file: string): boolean {
    return this.#pins.has(file)
  }

  /** Calls `remove` once nobody reads the file: now, or at the last unpin. */
  whenFree(file: string, remove: () => void): void {
    if (this.#pins.has(file)) this.#doomed.set(file, remove)
    else remove()
  }
}
