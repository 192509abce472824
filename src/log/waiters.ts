/** Those who wait for a condition that others bring about: each is asked again whenever one says that it may hold. */
export class Waiters {
  readonly #waiting = new Set<() => void>()

  /** Resolves when `isOver`, at once when it is already, and on abort. */
  wait(isOver: () => boolean, signal: AbortSignal | null = null): Promise<void> {
    return new Promise((resolve) => {
      if (isOver() || signal?.aborted === true) {
        resolve()
        return
      }
      const look = (): void => {
        if (!isOver() && signal?.aborted !== true) return
        this.#waiting.delete(look)
        signal?.removeEventListener('abort', look)
        resolve()
      }
      this.#waiting.add(look)
      signal?.addEventListener('abort', look)
    })
  }

  wake(): void {
    if (this.#waiting.size === 0) return
    for (const look of [...this.#waiting]) look()
  }
}
