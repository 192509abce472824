/** What an import refused: counted, the first few kept for people, all of it written to a file where one is named. */
import { type WriteStream, createWriteStream } from 'node:fs'
import { once } from 'node:events'
import { finished } from 'node:stream/promises'

export interface Reject {
  readonly file: string
  /** Line of a text file, from 1. */
  readonly line: number
  readonly reason: string
  readonly text: string
}

const KEPT_MAX = 3

export class Rejects {
  count = 0
  readonly #kept: Reject[] = []
  readonly #file: WriteStream | null

  /** @param isAdded what is in the file stays. */
  constructor(path: string | null, isAdded = false) {
    const options = { mode: 0o600, flags: isAdded ? 'a' : 'w' }
    this.#file = path === null ? null : createWriteStream(path, options)
  }

  /** The first rejects. */
  get first(): readonly Reject[] {
    return this.#kept
  }

  async add(reject: Reject): Promise<void> {
    this.count++
    if (this.#kept.length < KEPT_MAX) this.#kept.push(reject)
    if (this.#file !== null && !this.#file.write(`${JSON.stringify(reject)}\n`))
      await once(this.#file, 'drain')
  }

  async close(): Promise<void> {
    if (this.#file === null) return
    this.#file.end()
    await finished(this.#file)
  }
}
