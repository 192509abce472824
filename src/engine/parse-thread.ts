/**
 * What the parsing thread runs, and what it and the main thread say to each other. This file knows no threads:
 * `engine/workers` starts one and hands its channel over.
 */
import type { ColumnData } from '../format/column.ts'
import type { BufferSource, ColumnSize } from '../format/growing-column.ts'
import type { Field } from '../format/schema.ts'
import type { ColumnInput } from '../log/row-appender.ts'
import { columnsOfLines } from './columns-of-lines.ts'

export interface ToParser {
  readonly id: number
  /** The lines are its first `length` bytes. */
  readonly buffer: ArrayBuffer
  readonly length: number
  readonly fields: readonly Field[]
  /** Of columns that are of no more use. */
  readonly returned: readonly ArrayBuffer[]
}

/** One for each, in the order that they were asked in. */
export interface FromParser {
  readonly id: number
  /** That of the question, to be used again. */
  readonly buffer: ArrayBuffer
  /** Null where a line needs a closer look. */
  readonly records: ColumnInput | null
  /** Those that the columns lie in. */
  readonly buffers: readonly ArrayBuffer[]
}

/** Shapes whose sizes are kept. */
const SHAPES_MAX = 64

export class ParseThread {
  readonly #post: (message: FromParser, transfer: readonly ArrayBuffer[]) => void
  readonly #source = new ReturnedBuffers()
  /** By the shape of the records, what the last ones came to. */
  readonly #sizes = new Map<string, readonly ColumnSize[]>()

  constructor(post: (message: FromParser, transfer: readonly ArrayBuffer[]) => void) {
    this.#post = post
  }

  receive({ id, buffer, length, fields, returned }: ToParser): void {
    for (const each of returned) this.#source.add(each)
    const shape = fields.map(({ name, type }) => `${type} ${name}`).join('\n')
    const bytes = new Uint8Array(buffer, 0, length)
    const parsed = columnsOfLines(bytes, fields, this.#source, this.#sizes.get(shape))
    const records = parsed?.records ?? null
    if (parsed !== null) {
      if (this.#sizes.size >= SHAPES_MAX) this.#sizes.clear()
      this.#sizes.set(shape, parsed.sizes)
    }
    const buffers = [...new Set(records?.columns.flatMap(buffersOf))]
    this.#post({ id, buffer, records, buffers }, [buffer, ...buffers])
  }
}

/** Bytes of buffers that wait for their next use. */
const RETURNED_BYTES_MAX = 16 * 1024 * 1024
/** Buffers are so much bigger than what is asked for that they fit the next ones too, which are seldom as long. */
const ROOM = 1.25

/** The buffers of columns, used again: V8 collects all its garbage for every few megabytes of fresh ones. */
class ReturnedBuffers implements BufferSource {
  #free: ArrayBuffer[] = []
  #bytes = 0

  add(buffer: ArrayBuffer): void {
    if (this.#bytes + buffer.byteLength > RETURNED_BYTES_MAX) return
    this.#free.push(buffer)
    this.#bytes += buffer.byteLength
  }

  acquire(minBytes: number): Uint8Array {
    const wanted = Math.ceil((minBytes * ROOM) / 64) * 64
    const at = this.#free.findIndex(
      ({ byteLength }) => byteLength >= minBytes && byteLength <= 2 * wanted,
    )
    const [found] = at === -1 ? [] : this.#free.splice(at, 1)
    if (found !== undefined) this.#bytes -= found.byteLength
    return new Uint8Array(found ?? new ArrayBuffer(wanted))
  }

  retire({ buffer }: Uint8Array): void {
    if (buffer instanceof ArrayBuffer && buffer.byteLength > 0) this.add(buffer)
  }

  shrink(buffer: Uint8Array, bytes: number): Uint8Array {
    return buffer.subarray(0, bytes)
  }
}

/** What lies in the same buffer as something else, or in that of the language's empty arrays, is there once. */
function buffersOf(column: ColumnData): readonly ArrayBuffer[] {
  const { validity, offsets, values, dictionary, children = [] } = column
  const own = [validity, offsets, values].flatMap((part) =>
    part !== null && part.buffer instanceof ArrayBuffer && part.byteLength > 0 ? [part.buffer] : [],
  )
  return [
    ...own,
    ...(dictionary === null ? [] : buffersOf(dictionary)),
    ...children.flatMap(buffersOf),
  ]
}
