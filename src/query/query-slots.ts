import { StratalogError } from '../base/errors.ts'

interface Waiter {
  readonly proceed: () => void
}

/** Lets a fixed number of queries run; the rest wait in the order they came. */
export class QuerySlots {
  readonly #capacity: number
  readonly #queueMax: number
  readonly #onChange: (running: number, waiting: number) => void
  #taken = 0
  #waiting: Waiter[] = []

  constructor(
    capacity: number,
    queueMax: number,
    onChange: (running: number, waiting: number) => void = () => {},
  ) {
    this.#capacity = capacity
    this.#queueMax = queueMax
    this.#onChange = onChange
  }

  /** Resolves with a slot, which is given back by calling the function once. @throws StratalogError `queue_full`. */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.#taken < this.#capacity) {
      this.#taken++
      this.#changed()
    } else await this.#wait(signal)
    return () => this.#giveBack()
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiting.length >= this.#queueMax) {
      throw new StratalogError('queue_full', `${this.#queueMax} queries wait already.`)
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        proceed: () => {
          signal.removeEventListener('abort', onAbort)
          resolve()
        },
      }
      const onAbort = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== waiter)
        this.#changed()
        reject(signal.reason as Error)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiting.push(waiter)
      this.#changed()
    })
  }

  /** The slot goes straight to the next in line. */
  #giveBack(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#taken--
    else next.proceed()
    this.#changed()
  }

  #changed(): void {
    this.#onChange(this.#taken, this.#waiting.length)
  }
}
