/**
 * Growing columns of lists and structs: builders around the builders of what lies inside.
 *
 * Invariant: behind `length`, the columns inside may hold rows of a push that failed or threw; they are forgotten
 * before the next row comes. So `truncate` of the committed rows is all that undoes an append, as with other columns.
 */
import { assert } from '../base/assert.ts'
import { listItems, valueRange } from './column-concat.ts'
import type { ColumnData } from './column.ts'
import {
  type BufferSource,
  type ColumnBuilder,
  type ColumnSize,
  NO_BYTES,
  type PushResult,
  ValidityBuilder,
} from './growing-column.ts'
import { VALUE_BYTES_MAX } from './limits.ts'
import type { ColumnType, NestedLayout, StructField } from './schema.ts'

/** Makes the builder of a column inside. */
export type MakeBuilder = (type: ColumnType) => ColumnBuilder

export function createNestedBuilder(
  type: ColumnType,
  layout: NestedLayout,
  source: BufferSource,
  make: MakeBuilder,
): ColumnBuilder {
  return layout.kind === 'list'
    ? new ListBuilder(type, source, make('int32'), make(layout.item))
    : new StructBuilder(
        type,
        source,
        layout.fields,
        layout.fields.map((field) => make(field.type)),
      )
}

/** More rows at once than this are looked at by the whole, as a vector of numbers is. */
const SINGLE_PUSHES_MAX = 8

class ListBuilder implements ColumnBuilder {
  readonly type: ColumnType
  length = 0
  readonly #validity: ValidityBuilder
  /** One row more than there are lists; none before the first. */
  readonly #offsets: ColumnBuilder
  readonly #items: ColumnBuilder

  constructor(
    type: ColumnType,
    source: BufferSource,
    offsets: ColumnBuilder,
    items: ColumnBuilder,
  ) {
    this.type = type
    this.#validity = new ValidityBuilder(source)
    this.#offsets = offsets
    this.#items = items
  }

  push(value: unknown): PushResult {
    const start = this.#begin()
    const isNull = value === null || value === undefined
    if (!isNull) {
      const result = this.#pushItems(value, start)
      if (result !== 'ok') {
        this.#items.truncate(start)
        return result
      }
    }
    this.#validity.reserve(this.length, 1)
    if (isNull) this.#validity.clear(this.length, this.length + 1)
    this.#offsets.push(this.#items.length)
    this.length++
    return 'ok'
  }

  pushAll(values: readonly unknown[], count: number): number {
    return pushEach(this, values, count)
  }

  append(column: ColumnData): void {
    assert(column.type === this.type, 'a column is appended to one of its type')
    const { start } = valueRange(column)
    const shift = this.#begin() - start
    this.#items.append(listItems(column))
    const ends = new Int32Array(column.length)
    for (let row = 0; row < ends.length; row++) ends[row] = (column.offsets?.[row + 1] ?? 0) + shift
    this.#offsets.append(int32Column(ends))
    this.#validity.append(column, this.length)
    this.length += column.length
  }

  truncate(length: number): void {
    this.length = length
  }

  size(): ColumnSize {
    return { rows: this.length, valueBytes: this.length * 4 + this.#items.size().valueBytes }
  }

  seal(): void {
    this.#begin()
    this.#offsets.seal()
    this.#items.seal()
    this.#validity.seal(this.length)
  }

  numberAt(): number {
    return 0
  }

  slice(start: number, end: number): ColumnData {
    const offsets = this.#offsetsOf(start, end)
    return {
      type: this.type,
      length: end - start,
      ...this.#validity.slice(start, end),
      offsets,
      values: NO_BYTES,
      dictionary: null,
      children: [this.#items.slice(0, offsets[end - start] ?? 0)],
    }
  }

  /** Forgets what a failed push left; returns where the next list begins. */
  #begin(): number {
    if (this.#offsets.length === 0) this.#offsets.push(0)
    if (this.#offsets.length > this.length + 1) this.#offsets.truncate(this.length + 1)
    const start = this.#offsets.numberAt(this.length)
    if (this.#items.length > start) this.#items.truncate(start)
    return start
  }

  #offsetsOf(start: number, end: number): Int32Array {
    if (this.#offsets.length === 0) return new Int32Array(1)
    const { values } = this.#offsets.slice(start, end + 1)
    return new Int32Array(values.buffer, values.byteOffset, end - start + 1)
  }

  #pushItems(value: unknown, start: number): PushResult {
    if (!isListValue(value)) return 'mismatch'
    const count = value.length
    // Each takes a bit at least, and no list is as long without being too much.
    if (count > VALUE_BYTES_MAX) return 'too_large'
    const before = this.#items.size().valueBytes
    if (count > SINGLE_PUSHES_MAX && this.#items.pushAll(value, count) !== -1)
      return this.#boundedFrom(before)
    this.#items.truncate(start)
    for (let index = 0; index < count; index++) {
      const result = this.#items.push(value[index])
      if (result !== 'ok') return result
    }
    return this.#boundedFrom(before)
  }

  #boundedFrom(before: number): PushResult {
    return this.#items.size().valueBytes - before > VALUE_BYTES_MAX ? 'too_large' : 'ok'
  }
}

class StructBuilder implements ColumnBuilder {
  readonly type: ColumnType
  length = 0
  readonly #validity: ValidityBuilder
  readonly #names: readonly string[]
  readonly #fields: readonly ColumnBuilder[]

  constructor(
    type: ColumnType,
    source: BufferSource,
    fields: readonly StructField[],
    builders: readonly ColumnBuilder[],
  ) {
    this.type = type
    this.#validity = new ValidityBuilder(source)
    this.#names = fields.map((field) => field.name)
    this.#fields = builders
  }

  push(value: unknown): PushResult {
    this.#begin()
    const isNull = value === null || value === undefined
    if (!isNull && !isStructValue(value, this.#names)) return 'mismatch'
    for (const [index, field] of this.#fields.entries()) {
      const result = field.push(isNull ? null : fieldOf(value, this.#names[index] ?? ''))
      if (result !== 'ok') return result
    }
    this.#validity.reserve(this.length, 1)
    if (isNull) this.#validity.clear(this.length, this.length + 1)
    this.length++
    return 'ok'
  }

  pushAll(values: readonly unknown[], count: number): number {
    return pushEach(this, values, count)
  }

  append(column: ColumnData): void {
    assert(column.type === this.type, 'a column is appended to one of its type')
    this.#begin()
    this.#fields.forEach((field, index) => {
      const child = column.children?.[index]
      assert(child !== undefined, 'a struct has a column a field')
      field.append(child)
    })
    this.#validity.append(column, this.length)
    this.length += column.length
  }

  truncate(length: number): void {
    this.length = length
  }

  size(): ColumnSize {
    const valueBytes = this.#fields.reduce((sum, field) => sum + field.size().valueBytes, 0)
    return { rows: this.length, valueBytes }
  }

  seal(): void {
    this.#begin()
    for (const field of this.#fields) field.seal()
    this.#validity.seal(this.length)
  }

  numberAt(): number {
    return 0
  }

  slice(start: number, end: number): ColumnData {
    return {
      type: this.type,
      length: end - start,
      ...this.#validity.slice(start, end),
      offsets: null,
      values: NO_BYTES,
      dictionary: null,
      children: this.#fields.map((field) => field.slice(start, end)),
    }
  }

  /** Forgets what a failed push left. */
  #begin(): void {
    for (const field of this.#fields) {
      if (field.length > this.length) field.truncate(this.length)
    }
  }
}

function pushEach(builder: ColumnBuilder, values: readonly unknown[], count: number): number {
  let nullCount = 0
  for (let index = 0; index < count; index++) {
    const value = values[index]
    if (value === null || value === undefined) nullCount++
    if (builder.push(value) !== 'ok') return -1
  }
  return nullCount
}

/** Arrays, and typed arrays of numbers, as vectors come. */
export function isListValue(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))
}

/** Plain objects with no other fields than these: what a struct cannot hold is refused, not left out. */
export function isStructValue(value: unknown, names: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return false
  return Object.keys(value).every((key) => names.includes(key) || fieldOf(value, key) === undefined)
}

export function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined
}

function int32Column(values: Int32Array): ColumnData {
  return {
    type: 'int32',
    length: values.length,
    nullCount: 0,
    validity: null,
    offsets: null,
    values: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    dictionary: null,
  }
}
