/**
 * Where the columns of a block lie in its body, as the segment's facts say it: a reader of some columns knows from the
 * footer alone which bytes to fetch, and can verify exactly these. The body is its columns' ranges in the order of the
 * schema, without a gap, so the lengths of the buffers tell every position.
 *
 * A column's facts are whole numbers: the CRC-32C of its range, then for it and for each column inside, in Arrow's
 * order:
 *
 * ```
 * items, for the column inside of a list only | null count | stored length of each buffer, without its padding
 * ```
 */
import { present } from '../base/assert.ts'
import type { Range } from '../base/range.ts'
import { type WrittenColumn, padded } from './arrow-message.ts'
import type { BufferPlace, ColumnPlace, ColumnShape } from './arrow-message-reader.ts'
import { crc32c } from './checksum.ts'
import type { Fail } from './json-fields.ts'
import type { ColumnType } from './schema.ts'
import type { BatchFacts, ColumnFacts, SegmentFacts } from './segment.ts'
import { columnShape } from './segment-column.ts'
import { storedFields } from './sparse-rows.ts'

/** Bytes of a segment that have a checksum of their own. */
export interface StoredRange extends Range {
  readonly checksum: number
}

/** The stored range of one column of a block, and what lies where in it. */
export interface StoredColumn extends StoredRange {
  /** Positions count from the range's first byte. */
  readonly place: ColumnPlace
}

/** The facts of the columns of a block. @param lengths of the stored buffers, in the order of the message. */
export function describeColumns(
  columns: readonly WrittenColumn[],
  types: readonly ColumnType[],
  lengths: readonly number[],
  body: Uint8Array,
): readonly ColumnFacts[] {
  const remaining = lengths.values()
  let start = 0
  return columns.map((column, index) => {
    let end = start
    const layout: number[] = []
    const describe = (written: WrittenColumn, shape: ColumnShape, isItem: boolean): void => {
      if (isItem) layout.push(written.length)
      layout.push(written.nullCount)
      for (let count = 0; count < shape.bufferCount; count++) {
        const length = remaining.next().value ?? 0
        layout.push(length)
        end += padded(length)
      }
      for (const [position, inside] of shape.children.entries())
        describe(present(written.children?.[position], 'a column inside'), inside, shape.isList)
    }
    // A coded column has a bitmap and its codes, whatever its type.
    const type = present(types[index], 'a type')
    describe(column, columnShape(type, type === 'utf8' && column.buffers.length === 2), false)
    const checksum = crc32c(body.subarray(start, end))
    start = end
    return [checksum, ...layout]
  })
}

/** The shapes of a segment's stored columns. */
export function columnShapes(
  facts: Pick<SegmentFacts, 'schema' | 'sparse' | 'dictionaries'>,
): readonly ColumnShape[] {
  const encoded = new Set(facts.dictionaries.map(({ column }) => column))
  return storedFields(facts).map(({ type }, position) => columnShape(type, encoded.has(position)))
}

/** By position in `storedFields`. @throws `fail` when the numbers are not of such columns, or not of such a body. */
export function storedColumns(
  block: BatchFacts,
  shapes: readonly ColumnShape[],
  fail: Fail,
): readonly StoredColumn[] {
  if (block.columns.length !== shapes.length) fail('a block has another count of columns')
  const bodyEnd = block.position + block.metadataLength + block.bodyLength
  let start = block.position + block.metadataLength
  const columns = shapes.map((shape, index): StoredColumn => {
    const layout = new LayoutReader(block.columns[index] ?? [], fail)
    const checksum = layout.next()
    const place = layout.place(shape, block.length)
    layout.end()
    const column = { start, end: start + layout.position, checksum, place }
    start = column.end
    return column
  })
  if (start !== bodyEnd) fail(`the columns of a block end at ${start}, not ${bodyEnd}`)
  return columns
}

class LayoutReader {
  readonly #numbers: ColumnFacts
  readonly #fail: Fail
  #index = 0
  /** After the buffers so far. */
  position = 0

  constructor(numbers: ColumnFacts, fail: Fail) {
    this.#numbers = numbers
    this.#fail = fail
  }

  next(): number {
    return this.#numbers[this.#index++] ?? this.#fail('a column says too little of itself')
  }

  /** @param length rows; null where the numbers say them. */
  place(shape: ColumnShape, length: number | null): ColumnPlace {
    const rows = length ?? this.next()
    if (rows > 2 ** 31 - 8) this.#fail('a column has too many rows')
    const nullCount = this.next()
    if (nullCount > rows) this.#fail('a column has an impossible null count')
    const buffers: BufferPlace[] = []
    for (let count = 0; count < shape.bufferCount; count++) {
      const bytes = this.next()
      if (bytes > 2 ** 31 - 8) this.#fail('a buffer is too long')
      buffers.push({ position: this.position, length: bytes })
      this.position += padded(bytes)
    }
    const children = shape.children.map((child) => this.place(child, shape.isList ? null : rows))
    return { length: rows, nullCount, buffers, children }
  }

  end(): void {
    if (this.#index !== this.#numbers.length) this.#fail('a column says too much of itself')
  }
}
