/**
 * What the parsing thread runs, and what it and the main thread say to each other. This file knows no threads:
 * `engine/workers` starts one and hands its channel over.
 */
import type { BufferSource } from '../format/growing-column.ts'
import type { Field } from '../format/schema.ts'
import type { ColumnInput } from '../log/row-appender.ts'
import { ColumnsOfLines } from './columns-of-lines.ts'

/**
 * Buffers are shared, and belong to one side at a time by what was said of them: V8 would count one that is handed over
 * as a fresh one, and collects all garbage of a thread for every few megabytes of those.
 */
export interface ToParser {
  readonly id: number
  /** The lines are its first `length` bytes. */
  readonly buffer: SharedArrayBuffer
  readonly length: number
  readonly fields: readonly Field[]
  /** Of columns that are of no more use. */
  readonly returned: readonly SharedArrayBuffer[]
}

/** One for each, in the order that they were asked in. */
export interface FromParser {
  readonly id: number
  /** That of the question, to be used again. */
  readonly buffer: SharedArrayBuffer
  /** Null where a line needs a closer look. */
  readonly records: ColumnInput | null
  readonly lineCount: number
  /** Those that the columns lie in. */
  readonly buffers: readonly SharedArrayBuffer[]
}

const NO_RECORDS = { records: null, lineCount: 0 }
/** Shapes that are kept. */
const SHAPES_MAX = 64

export class ParseThread {
  readonly #post: (message: FromParser) => void
  readonly #source = new ReturnedBuffers()
  readonly #shapes = new Map<string, ColumnsOfLines>()

  constructor(post: (message: FromParser) => void) {
    this.#post = post
  }

  receive({ id, buffer, length, fields, returned }: ToParser): void {
    for (const each of returned) this.#source.add(each)
    const bytes = new Uint8Array(buffer, 0, length)
    const { records, lineCount } = this.#shapeOf(fields).parse(bytes, this.#source) ?? NO_RECORDS
    const buffers = this.#source.takeLent()
    if (records === null) for (const each of buffers) this.#source.add(each)
    this.#post({ id, buffer, records, lineCount, buffers: records === null ? [] : buffers })
  }

  #shapeOf(fields: readonly Field[]): ColumnsOfLines {
    const name = JSON.stringify(fields)
    const known = this.#shapes.get(name)
    if (known !== undefined) return known
    const made = new ColumnsOfLines(fields)
    if (this.#shapes.size >= SHAPES_MAX) this.#shapes.clear()
    this.#shapes.set(name, made)
    return made
  }
}

/** Bytes of buffers that wait for their next use. */
const RETURNED_BYTES_MAX = 16 * 1024 * 1024
/** Buffers are so much bigger than what is asked for that they fit the next ones too, which are seldom as long. */
const ROOM = 1.25

/** The buffers of columns, used again. */
class ReturnedBuffers implements BufferSource {
  readonly #free: SharedArrayBuffer[] = []
  #freeBytes = 0
  /** Those of the columns at hand. */
  readonly #lent = new Set<SharedArrayBuffer>()

  add(buffer: SharedArrayBuffer): void {
    if (this.#freeBytes + buffer.byteLength > RETURNED_BYTES_MAX) return
    this.#free.push(buffer)
    this.#freeBytes += buffer.byteLength
  }

  /** What the columns lie in, which are handed over. */
  takeLent(): readonly SharedArrayBuffer[] {
    const lent = [...this.#lent]
    this.#lent.clear()
    return lent
  }

  acquire(minBytes: number): Uint8Array {
    const wanted = Math.ceil((minBytes * ROOM) / 64) * 64
    const at = this.#free.findIndex(
      ({ byteLength }) => byteLength >= minBytes && byteLength <= 2 * wanted,
    )
    const [found] = at === -1 ? [] : this.#free.splice(at, 1)
    if (found !== undefined) this.#freeBytes -= found.byteLength
    const buffer = found ?? new SharedArrayBuffer(wanted)
    this.#lent.add(buffer)
    return new Uint8Array(buffer)
  }

  retire({ buffer }: Uint8Array): void {
    if (buffer instanceof SharedArrayBuffer && this.#lent.delete(buffer)) this.add(buffer)
  }

  shrink(buffer: Uint8Array, bytes: number): Uint8Array {
    return buffer.subarray(0, bytes)
  }
}
