/**
 * Parses lines of JSON on a thread of its own, which starts with the first lines that are worth it, so that the thread
 * that answers everybody does not stand still for somebody's megabytes. The thread may say that it cannot, or end: then
 * whoever asked parses by itself.
 */
import { copyBytes } from '../format/copy-bytes.ts'
import type { Field } from '../format/schema.ts'
import type { ColumnInput } from '../log/row-appender.ts'
import type { FromParser, ToParser } from './parse-thread.ts'

/** A running parsing thread, seen from the main thread. */
export interface ParserChannel {
  post(message: ToParser): void
  onMessage(receive: (message: FromParser) => void): void
  onExit(exited: () => void): void
  /** Whether the thread keeps the process alive. */
  setActive(isActive: boolean): void
  terminate(): Promise<void>
}

/** Telling a thread takes longer than parsing less than this; more is not copied to it. */
const THREAD_BYTES_MIN = 16 * 1024
const THREAD_BYTES_MAX = 16 * 1024 * 1024
/** Questions that wait for the thread. */
const WAITING_MAX = 32
/** Buffers of questions that are used again, and the greatest of them. */
const KEPT_MAX = 8
const KEPT_BYTES_MAX = 2 * 1024 * 1024
/** A thread that ended so often does so because of what it is given. */
const ENDINGS_MAX = 3

export interface ParsedLines {
  readonly records: ColumnInput
  /** Blank ones too. */
  readonly lineCount: number
  /** To be called when the columns were copied, which are of no more use then. */
  readonly release: () => void
}

export class LineParser {
  readonly #spawn: () => ParserChannel
  readonly #waiting = new Map<number, (parsed: ParsedLines | null) => void>()
  #returned: SharedArrayBuffer[] = []
  readonly #kept: SharedArrayBuffer[] = []
  #channel: ParserChannel | null = null
  #nextId = 1
  #endings = 0
  #isClosed = false

  constructor(spawn: () => ParserChannel) {
    this.#spawn = spawn
  }

  /**
   * The lines, which lie in parts behind one another, as columns of `fields`. Null where they are not worth a thread,
   * or a line needs a closer look. The bytes are the caller's again when this returns.
   */
  parse(
    parts: readonly Uint8Array[],
    fields: readonly Field[],
  ): Promise<ParsedLines | null> | null {
    const length = parts.reduce((sum, part) => sum + part.length, 0)
    if (length < THREAD_BYTES_MIN || length > THREAD_BYTES_MAX || fields.length === 0) return null
    if (this.#isClosed || this.#waiting.size >= WAITING_MAX || this.#endings >= ENDINGS_MAX)
      return null
    const channel = (this.#channel ??= this.#start())
    const buffer = this.#bufferOf(length)
    const bytes = new Uint8Array(buffer)
    let position = 0
    for (const part of parts) {
      copyBytes(bytes, position, part)
      position += part.length
    }
    const id = this.#nextId++
    const returned = this.#returned
    this.#returned = []
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve)
      if (this.#waiting.size === 1) channel.setActive(true)
      channel.post({ id, buffer, length, fields, returned })
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const channel = this.#channel
    this.#channel = null
    await channel?.terminate()
  }

  #start(): ParserChannel {
    const channel = this.#spawn()
    channel.onMessage(({ id, buffer, records, lineCount, buffers }) => {
      if (this.#kept.length < KEPT_MAX && buffer.byteLength <= KEPT_BYTES_MAX)
        this.#kept.push(buffer)
      const release = (): void => {
        this.#returned.push(...buffers)
      }
      this.#waiting.get(id)?.(records && { records, lineCount, release })
      this.#waiting.delete(id)
      if (this.#waiting.size === 0) channel.setActive(false)
    })
    channel.onExit(() => {
      if (this.#channel === channel) {
        this.#channel = null
        this.#endings++
      }
      for (const resolve of this.#waiting.values()) resolve(null)
      this.#waiting.clear()
    })
    return channel
  }

  #bufferOf(length: number): SharedArrayBuffer {
    const at = this.#kept.findIndex(({ byteLength }) => byteLength >= length)
    const [kept] = at === -1 ? [] : this.#kept.splice(at, 1)
    return kept ?? new SharedArrayBuffer(Math.ceil(length * 1.25))
  }
}
