/**
 * Order among the appends of one stream. Plain ones overlap and share the syncs of the disk; what depends on all that
 * came before it (closing, `Stream-Seq`) runs alone: after those that are under way, and before those that come later.
 */
export class AppendGate {
  #alone: Promise<void> | null = null
  readonly #running = new Set<Promise<unknown>>()

  /** Resolves when what runs alone now is over; null when nothing does. */
  get alone(): Promise<void> | null {
    return this.#alone
  }

  shared<T>(section: () => Promise<T>): Promise<T> {
    return this.#alone === null ? this.#begin(section) : this.#beginLater(section, this.#alone)
  }

  async exclusive<T>(section: () => Promise<T>): Promise<T> {
    while (this.#alone !== null) await this.#alone
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#alone = promise
    try {
      await Promise.allSettled(this.#running)
      return await section()
    } finally {
      this.#alone = null
      resolve()
    }
  }

  /** Resolves once what is under way now is over. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running)
  }

  #begin<T>(section: () => Promise<T>): Promise<T> {
    const running = section()
    this.#running.add(running)
    const ended = (): boolean => this.#running.delete(running)
    running.then(ended, ended)
    return running
  }

  async #beginLater<T>(section: () => Promise<T>, alone: Promise<void>): Promise<T> {
    await alone
    while (this.#alone !== null) await this.#alone
    return this.#begin(section)
  }
}
