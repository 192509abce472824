/** Removes a file, or decides that it stays. Never rejects. */
type Removal = () => Promise<void> | void

/**
 * Which segment files, and which objects of segments, are being read by this engine. A file whose copy was dropped from
 * the manifest is deleted when the last reader lets go, and an object is not collected before, so a view never loses
 * them under its feet.
 */
export class SegmentPins {
  readonly #pins = new Map<string, number>()
  readonly #doomed = new Map<string, Removal>()
  readonly #going = new Map<string, number>()

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
    if (remove !== undefined) this.#remove(file, remove)
  }

  isPinned(file: string): boolean {
    return this.#pins.has(file)
  }

  /** Whether it was dropped, and is there until its last reader lets go and it is removed: its name is not free. */
  isGoing(file: string): boolean {
    return this.#doomed.has(file) || this.#going.has(file)
  }

  /** Calls `remove` once nobody reads the file: now, or at the last unpin. */
  whenFree(file: string, remove: Removal): void {
    if (this.#pins.has(file)) this.#doomed.set(file, remove)
    else this.#remove(file, remove)
  }

  #remove(file: string, remove: Removal): void {
    const removed = remove()
    if (!(removed instanceof Promise)) return
    this.#going.set(file, (this.#going.get(file) ?? 0) + 1)
    void removed.finally(() => {
      const count = (this.#going.get(file) ?? 0) - 1
      if (count > 0) this.#going.set(file, count)
      else this.#going.delete(file)
    })
  }
}
