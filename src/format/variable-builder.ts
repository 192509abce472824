/** Growing columns of JSON and of bytes; text has one of its own, text-builder.ts. */
import { assert } from '../base/assert.ts'
import type { ColumnData } from './column.ts'
import {
  type BufferSource,
  type ColumnBuilder,
  type ColumnSize,
  type PushResult,
  ValidityBuilder,
} from './growing-column.ts'
import { APPEND_BYTES_MAX } from './limits.ts'
import type { ColumnType } from './schema.ts'
import { VariableValues } from './variable-values.ts'

export class VariableBuilder implements ColumnBuilder {
  readonly type: ColumnType
  length = 0
  readonly #validity: ValidityBuilder
  readonly #values: VariableValues

  constructor(type: ColumnType, source: BufferSource, expected: ColumnSize) {
    this.type = type
    this.#validity = new ValidityBuilder(source)
    this.#values = new VariableValues(source, expected)
  }

  push(value: unknown): PushResult {
    const row = this.length
    this.#validity.reserve(row, 1)
    if (value === null || value === undefined) {
      this.#validity.clear(row, row + 1)
      this.#values.pushEmpty()
    } else {
      const result = this.type === 'binary' ? this.#pushBytes(value) : this.#pushJson(value)
      if (result !== 'ok') return result
    }
    this.length++
    return 'ok'
  }

  pushAll(values: readonly unknown[], count: number): number {
    const start = this.#values.byteLength
    let nullCount = 0
    for (let index = 0; index < count; index++) {
      const value = values[index]
      if (value === null || value === undefined) nullCount++
      if (this.push(value) !== 'ok') return -1
      // One value may stand in every row; that it is too much is said by who looks at row after row.
      if (this.#values.byteLength - start > APPEND_BYTES_MAX) return -1
    }
    return nullCount
  }

  append(column: ColumnData): void {
    assert(column.type === this.type, 'a column is appended to one of its type')
    assert(column.offsets !== null, 'a variable column has offsets')
    this.#values.append(column.offsets, column.values, column.length)
    this.#validity.append(column, this.length)
    this.length += column.length
  }

  truncate(length: number): void {
    this.length = length
    this.#values.truncate(length)
  }

  size(): ColumnSize {
    const { byteLength: valueBytes, offsetBytes } = this.#values
    return { rows: this.length, valueBytes, offsetBytes }
  }

  seal(): void {
    this.#values.seal()
    this.#validity.seal(this.length)
  }

  numberAt(): number {
    return 0
  }

  slice(start: number, end: number): ColumnData {
    const { validity, nullCount } = this.#validity.slice(start, end)
    const { offsets, values } = this.#values.slice(start, end)
    return {
      type: this.type,
      length: end - start,
      nullCount,
      validity,
      offsets,
      values,
      dictionary: null,
    }
  }

  #pushJson(value: unknown): PushResult {
    const text = jsonText(value)
    return text === undefined ? 'mismatch' : this.#values.pushText(text)
  }

  #pushBytes(value: unknown): PushResult {
    const bytes = value instanceof ArrayBuffer ? new Uint8Array(value) : value
    return bytes instanceof Uint8Array ? this.#values.pushBytes(bytes) : 'mismatch'
  }
}

/** Classes whose contents JSON leaves out, without a word: `{}` is not what the caller has. */
const OPAQUE_CLASSES = [Map, Set, WeakMap, WeakSet, Promise, RegExp] as const

/**
 * JSON of a value; undefined where there is none, as for a bigint or a circle. What a getter or a `toJSON` throws goes
 * on to the caller, unless it is a TypeError or, as that of too many levels, a RangeError.
 */
function jsonText(value: unknown): string | undefined {
  if (OPAQUE_CLASSES.some((opaque) => value instanceof opaque)) return undefined
  try {
    return JSON.stringify(value)
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) return undefined
    throw error
  }
}
