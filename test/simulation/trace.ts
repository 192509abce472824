/** What happened in a run: a hash of all of it, and its last steps in words. */
import { createHash } from 'node:crypto'

const KEPT_LINES = 10_000
const HASH_BYTES = 1 << 14

export class Trace {
  readonly #hash = createHash('sha256')
  readonly #lines: string[] = []
  #pending = ''
  #count = 0

  constructor(now: () => number) {
    this.#now = now
  }

  readonly #now: () => number

  add(line: string): void {
    const stamped = `${this.#now().toFixed(3)} ${line}`
    this.#pending += `${stamped}\n`
    if (this.#pending.length > HASH_BYTES) this.#flush()
    this.#lines[this.#count++ % KEPT_LINES] = stamped
  }

  get count(): number {
    return this.#count
  }

  hash(): string {
    this.#flush()
    return this.#hash.copy().digest('hex')
  }

  /** The newest lines, oldest first. */
  last(count: number): readonly string[] {
    const lines =
      this.#count <= KEPT_LINES
        ? this.#lines
        : [
            ...this.#lines.slice(this.#count % KEPT_LINES),
            ...this.#lines.slice(0, this.#count % KEPT_LINES),
          ]
    return lines.slice(-count)
  }

  #flush(): void {
    this.#hash.update(this.#pending)
    this.#pending = ''
  }
}
