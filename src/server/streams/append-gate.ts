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

  async shared<T>(section: () => Promise<T>): Promise<T> {
    while (this.#alone !== null) await this.#alone
    const running = section()
    const settled = running.catch(() => {})
    this.#running.add(settled)
    try {
      return await running
    } finally {
      this.#running.delete(settled)
    }
  }

  async exclusive<T>(section: () => Promise<T>): Promise<T> {
    while (this.#alone !== null) await this.#alone
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#alone = promise
    try {
      await Promise.all(this.#running)
      return await section()
    } finally {
      this.#alone = null
      resolve()
    }
  }

  /** Resolves once what is under way now is over. */
  async settled(): Promise<void> {
    await Promise.all(this.#running)
  }
}
